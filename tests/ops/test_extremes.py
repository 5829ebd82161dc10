"""Sizes and values at the edge: a million steps, 2^31 elements, half precision, no decay and decay that underflows."""

from __future__ import annotations

import pytest
import torch

import ssmgen
from ssmgen import reference
from ssmgen.kernels.oracle import relative_error

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")

# mamba-ssm's own tests: rtol and atol of the output; gradients of u twice, of delta five and ten times as much.
PEER_TOLERANCES = {
    torch.float32: (6e-4, 2e-3),
    torch.float16: (3e-3, 5e-3),
    torch.bfloat16: (3e-2, 5e-2),
}


def inputs(
    dtype: torch.dtype, seqlen: int, *, variable: tuple[bool, bool] = (True, True)
) -> list[torch.Tensor]:
    """u, delta, A, B, C, D, z, delta_bias as mamba-ssm's tests draw them: batch 2, dim 4, 8 states, groups of 2."""
    torch.manual_seed(0)
    batch, dim, states = 2, 4, 8
    rows = [
        torch.randn(batch, 2, states, seqlen, dtype=dtype) if varies else torch.randn(dim, states)
        for varies in variable
    ]
    return [
        torch.randn(batch, dim, seqlen, dtype=dtype),
        0.5 * torch.rand(batch, dim, seqlen, dtype=dtype),
        -0.5 * torch.rand(dim, states),
        *rows,
        torch.randn(dim),
        torch.randn(batch, dim, seqlen, dtype=dtype),
        0.5 * torch.rand(dim),
    ]


@pytest.mark.parametrize("dtype", PEER_TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "seqlen",
    [8, 64, 133, *(pytest.param(2**n, marks=pytest.mark.slow) for n in (4, 5, 7, 8, 9, 10, 11, 12))],
)
@pytest.mark.parametrize(
    "variable",
    [(True, True), *(pytest.param(x, marks=pytest.mark.slow) for x in ((False, True), (False, False)))],
    ids=str,
)
def test_outputs_and_gradients_are_within_the_tolerances_of_mamba_ssm(
    dtype: torch.dtype, seqlen: int, variable: tuple[bool, bool]
) -> None:
    given = inputs(dtype, seqlen, variable=variable)
    leaves = [x.clone().requires_grad_() for x in given]
    wide = [x.double().requires_grad_() for x in given]
    found = ssmgen.selective_scan(*leaves, delta_softplus=True, target="cpu")
    wanted, _ = reference.selective_scan(*wide, True, dtype=torch.float64)
    gradient = torch.randn_like(found)
    found.backward(gradient)
    wanted.backward(gradient.double())

    rtol, atol = PEER_TOLERANCES[dtype]
    torch.testing.assert_close(found.double(), wanted, rtol=rtol, atol=atol)
    scales = {0: (2, 2), 1: (5, 10), 6: (1, 1)}
    for index, (relative, absolute) in scales.items():
        mine, theirs = leaves[index].grad, wide[index].grad
        assert mine is not None
        assert theirs is not None
        torch.testing.assert_close(mine.double(), theirs, rtol=relative * rtol, atol=absolute * atol)
    for mine_leaf, wide_leaf in zip(leaves, wide, strict=True):
        assert mine_leaf.grad is not None
        assert wide_leaf.grad is not None
        # Sums over the sequence are in fp32 whatever the inputs are; those of half precision are rounded once.
        limit = {torch.float32: 2e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
        assert relative_error(mine_leaf.grad, wide_leaf.grad) <= limit


def test_more_than_a_million_steps_forward_and_backward() -> None:
    torch.manual_seed(0)
    seqlen = (1 << 20) + 3
    # The state of a constant input settles, and is known: h = delta B u / (1 - exp(delta A)).
    u, delta = torch.ones(1, 1, seqlen, requires_grad=True), torch.full((1, 1, seqlen), 0.5)
    A, B, C = torch.tensor([[-0.25]]), torch.tensor([[2.0]]), torch.tensor([[3.0]])
    y = ssmgen.selective_scan(u, delta, A, B, C, target="cpu")
    settled = 3.0 * 0.5 * 2.0 / (1 - torch.exp(torch.tensor(-0.125)))
    torch.testing.assert_close(y[0, 0, 1000:], settled.expand(seqlen - 1000), rtol=1e-5, atol=0.0)
    y.sum().backward()
    assert u.grad is not None
    torch.testing.assert_close(u.grad[0, 0, :-1000], settled.expand(seqlen - 1000), rtol=1e-5, atol=0.0)

    a, b = torch.full((1, 1, seqlen), 0.5, requires_grad=True), torch.ones(1, 1, seqlen)
    h = ssmgen.linear_scan(a, b, target="cpu")
    torch.testing.assert_close(h[..., 100:], torch.full_like(h[..., 100:], 2.0))
    h.sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad[..., 100:-100], torch.full_like(a[..., 100:-100], 4.0))


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_offsets_beyond_two_to_the_31_elements(target: str) -> None:
    torch.manual_seed(0)
    far, seqlen = (1 << 31) + 64, 9
    # Only the pages that are written take memory.
    rows = [
        torch.empty(far + 64, dtype=torch.bfloat16).as_strided((1, 2, seqlen), (0, far, 1)) for _ in range(2)
    ]
    for x in rows:
        x.copy_(torch.rand(1, 2, seqlen))
    near = [x.clone() for x in rows]
    u, delta = rows
    A, B, C = -torch.rand(2, 3), torch.randn(1, 3, seqlen), torch.randn(1, 3, seqlen)
    outputs = []
    for given in (rows, near):
        leaves = [x.detach().requires_grad_() for x in given]
        y = ssmgen.selective_scan(*leaves, A, B, C, target=target)
        y.sum().backward()
        outputs.append((y.detach(), *(x.grad for x in leaves)))
    for mine, theirs in zip(*outputs, strict=True):
        assert mine is not None
        assert torch.equal(mine, theirs)
    assert torch.equal(
        ssmgen.linear_scan(delta, u, target=target), ssmgen.linear_scan(near[1], near[0], target=target)
    )


@pytest.mark.parametrize("rate", [0.0, -1e-8, -1e4])
def test_long_memories_and_fast_decay_are_both_right(rate: float) -> None:
    torch.manual_seed(0)
    u, delta = torch.randn(1, 3, 500), torch.rand(1, 3, 500)
    A, B, C = torch.full((3, 2), rate), torch.randn(1, 2, 500), torch.randn(1, 2, 500)
    leaves = [x.requires_grad_() for x in (u, delta, A, B, C)]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    found = ssmgen.selective_scan(*leaves, target="cpu")
    wanted, _ = reference.selective_scan(*wide, dtype=torch.float64)
    assert relative_error(found.detach(), wanted.detach()) <= 2e-6
    gradient = torch.randn_like(found)
    found.backward(gradient)
    wanted.backward(gradient.double())
    for x, y in zip(leaves, wide, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        # With a decay of 10^4 the gradient of A underflows in both.
        assert relative_error(x.grad, y.grad) <= 2e-5 or float(y.grad.abs().max()) < 1e-30


def test_states_beyond_float16_are_no_overflow_but_outputs_are() -> None:
    u = torch.full((1, 1, 64), 60000.0, dtype=torch.float16)
    delta = torch.ones(1, 1, 64, dtype=torch.float16)
    A, B = torch.zeros(1, 1), torch.ones(1, 1)
    small = ssmgen.selective_scan(u, delta, A, B, torch.full((1, 1), 1e-3), target="cpu")
    wanted = 60.0 * torch.arange(1, 65)
    torch.testing.assert_close(small[0, 0].float(), wanted.float(), rtol=2e-3, atol=0.0)
    large = ssmgen.selective_scan(u, delta, A, B, torch.ones(1, 1), target="cpu")
    assert large[0, 0, 0] == 60000.0
    assert bool(large[0, 0, 1:].isinf().all())
