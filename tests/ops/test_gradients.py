"""Gradients of the scans, whatever computes them, and the options that peers get wrong."""

from __future__ import annotations

import itertools

import pytest
import torch

import ssmgen
from ssmgen import reference
from ssmgen.kernels.oracle import relative_error

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    # What is said to go through kernels does.
    pytest.mark.filterwarnings("error::ssmgen.errors.ReferenceWarning"),
]
TARGETS = ["cpu", "reference"]
# Both targets with both kinds of numbers in the whole suite, each once in the inner loop.
IN_TURNS = [
    pytest.param(target, is_complex, marks=[] if (target == "cpu") == is_complex else [pytest.mark.slow])
    for target in TARGETS
    for is_complex in (False, True)
]


def inputs(seqlen: int = 19, *, is_complex: bool = False, batch: int = 2) -> dict[str, torch.Tensor]:
    """Every tensor of a call, in float64; constant B beside grouped C."""
    torch.manual_seed(seqlen)
    kind = torch.complex128 if is_complex else torch.float64

    def normal(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype)

    return {
        "u": normal(batch, 6, seqlen),
        "delta": 0.5 * normal(batch, 6, seqlen),
        "A": (1j * normal(6, 3) if is_complex else 0) - 4 * torch.rand(6, 3, dtype=torch.float64),
        "B": normal(6, 3, dtype=kind),
        "C": normal(batch, 2, 3, seqlen, dtype=kind),
        "D": normal(6),
        "z": normal(batch, 6, seqlen),
        "delta_bias": normal(6),
        "initial_state": normal(batch, 6, 3, dtype=kind),
    }


@pytest.mark.parametrize(("target", "is_complex"), IN_TURNS)
def test_gradcheck_with_every_option_and_through_both_states(target: str, is_complex: bool) -> None:
    given = inputs(is_complex=is_complex)

    def scan(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        named = dict(zip(given, tensors, strict=True))
        found = ssmgen.selective_scan(**named, delta_softplus=True, return_last_state=True, target=target)
        return found[0], found[1]

    leaves = [x.requires_grad_() for x in given.values()]
    assert torch.autograd.gradcheck(scan, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(scan, leaves, fast_mode=True)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(
    "rows", [*itertools.product(("constant", "variable", "grouped"), repeat=2)], ids="-".join
)
def test_gradcheck_with_every_kind_of_rows(target: str, is_complex: bool, rows: tuple[str, str]) -> None:
    given = inputs(is_complex=is_complex)
    bare = {name: given[name] for name in ("u", "delta", "A")}
    shapes = {"constant": (6, 3), "variable": (2, 3, 19), "grouped": (2, 2, 3, 19)}
    for name, kind in zip("BC", rows, strict=True):
        bare[name] = torch.randn(*shapes[kind], dtype=given["B"].dtype)

    def scan(*tensors: torch.Tensor) -> torch.Tensor:
        return ssmgen.selective_scan(*tensors, target=target)

    assert torch.autograd.gradcheck(scan, [x.requires_grad_() for x in bare.values()], fast_mode=True)


def test_gradients_are_the_same_bits_every_time_and_close_to_float64() -> None:
    wide = inputs(seqlen=300)
    results = []
    for dtype in (torch.float64, torch.float32, torch.float32):
        leaves = {name: x.detach().to(dtype).requires_grad_() for name, x in wide.items()}
        out = ssmgen.selective_scan(**leaves, delta_softplus=True, target="cpu")
        # An expanded gradient, as sum() gives.
        results.append(torch.autograd.grad(out.sum(), list(leaves.values())))
    for exact, once, again in zip(*results, strict=True):
        assert torch.equal(once, again)
        assert relative_error(once, exact) <= 2e-5


def test_the_gradient_of_the_last_state_alone() -> None:
    leaves = {name: x.requires_grad_() for name, x in inputs(seqlen=40).items()}
    _, mine = ssmgen.selective_scan(**leaves, delta_softplus=True, return_last_state=True, target="cpu")
    _, wanted = reference.selective_scan(**leaves, delta_softplus=True, dtype=torch.float64)
    names = ["u", "delta", "A", "B", "initial_state"]
    found = torch.autograd.grad(mine.square().sum(), [leaves[name] for name in names])
    exact = torch.autograd.grad(wanted.square().sum(), [leaves[name] for name in names])
    for name, x, y in zip(names, found, exact, strict=True):
        assert relative_error(x, y) <= 1e-12, name


@pytest.mark.parametrize("is_complex", [False, True])
def test_packed_sequences_equal_the_sequences_one_by_one(is_complex: bool) -> None:
    ends = [0, 1, 1, 8, 19]
    given = inputs(is_complex=is_complex, batch=1)
    given["initial_state"] = given["initial_state"].expand(4, -1, -1).contiguous()
    out, last = ssmgen.selective_scan(**given, cu_seqlens=torch.tensor(ends), return_last_state=True)
    assert last.shape == (4, 6, 3)
    for index, (start, end) in enumerate(itertools.pairwise(ends)):
        own = slice(index, index + 1)
        if start == end:
            assert torch.equal(last[own], given["initial_state"][own])
            continue
        piece = {n: x[..., start:end] if n in ("u", "delta", "z", "C") else x for n, x in given.items()}
        piece["initial_state"] = given["initial_state"][own]
        one, state = ssmgen.selective_scan(**piece, return_last_state=True, target="reference")
        assert relative_error(out[..., start:end], one) <= 1e-12
        assert relative_error(last[own], state) <= 1e-12


@pytest.mark.parametrize(("target", "is_complex"), IN_TURNS)
def test_gradcheck_of_packed_sequences(target: str, is_complex: bool) -> None:
    given = inputs(is_complex=is_complex, batch=1)
    given["initial_state"] = torch.randn(3, 6, 3, dtype=given["B"].dtype)

    def scan(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        named = dict(zip(given, tensors, strict=True))
        found = ssmgen.selective_scan(
            **named,
            delta_softplus=True,
            cu_seqlens=torch.tensor([0, 7, 7, 19]),
            return_last_state=True,
            target=target,
        )
        return found[0], found[1]

    leaves = [x.requires_grad_() for x in given.values()]
    assert torch.autograd.gradcheck(scan, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(scan, leaves, fast_mode=True)


def test_interleaved_rows_are_complex_rows() -> None:
    given = inputs(is_complex=True)
    out = ssmgen.selective_scan(**given)
    given["C"] = torch.view_as_real(given["C"]).flatten(-2)
    assert torch.equal(ssmgen.selective_scan(**given), out)


def test_offsets_that_are_none() -> None:
    for ends in ([0, 5, 4, 19], [1, 19], [0, 18]):
        with pytest.raises(ssmgen.errors.InvalidInputError, match="cu_seqlens must rise from 0 to seqlen=19"):
            ssmgen.selective_scan(
                **inputs(batch=1) | {"initial_state": torch.zeros(len(ends) - 1, 6, 3)},
                cu_seqlens=torch.tensor(ends),
                target="cpu",
            )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("initial_state", [False, True])
def test_gradcheck_of_the_linear_scan(
    target: str, reverse: bool, dtype: torch.dtype, initial_state: bool
) -> None:
    torch.manual_seed(0)
    shapes = [(2, 3, 11), (2, 3, 11), (2, 3)][: 3 if initial_state else 2]
    leaves = [torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes]

    def scan(a: torch.Tensor, b: torch.Tensor, state: torch.Tensor | None = None) -> torch.Tensor:
        return ssmgen.linear_scan(a, b, initial_state=state, reverse=reverse, target=target)

    assert torch.autograd.gradcheck(scan, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(scan, leaves, fast_mode=True)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_offsets_are_looked_at_in_every_call(kind: torch.dtype) -> None:
    call = inputs(batch=1) | {"initial_state": torch.zeros(2, 6, 3)}
    with torch.no_grad():
        ssmgen.selective_scan(**call, cu_seqlens=torch.tensor([0, 5, 19], dtype=kind), target="cpu")
        with pytest.raises(ssmgen.errors.InvalidInputError, match="must rise"):
            ssmgen.selective_scan(**call, cu_seqlens=torch.tensor([0, 25, 19], dtype=kind), target="cpu")
