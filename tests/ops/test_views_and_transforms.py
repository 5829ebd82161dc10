"""Views that only promise a sign, inputs that depend on one another, and transforms: right, or a clear error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.autograd import forward_ad

import ssmgen
from ssmgen import reference
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
TARGETS = ["cpu", "interpret"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_conjugate_after_a_plain_call_of_the_same_shape(target: str) -> None:
    """Both share a key of shapes and strides; which is first must not matter."""
    torch.manual_seed(0)
    v, w, z = (torch.randn(4, 4, dtype=torch.complex64) for _ in range(3))
    w = w - 4
    for x in (v, v.conj(), v):
        wanted = reference.cauchy_mult(x, z, w, dtype=torch.complex128)
        assert relative_error(ssmgen.cauchy_mult(x, z, w, target=target), wanted) <= 2e-6


def test_a_conjugate_of_an_expanded_operand_and_then_the_operand() -> None:
    torch.manual_seed(0)
    v, w = (torch.randn(64, 4, dtype=torch.complex64) for _ in range(2))
    z = torch.randn(1, 100, dtype=torch.complex64).expand(64, -1)[:, :64]
    w = w - 4
    for x in (z.conj(), z):
        wanted = reference.cauchy_mult(v, x, w, dtype=torch.complex128)
        assert relative_error(ssmgen.cauchy_mult(v, x, w), wanted) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
def test_lazily_negated_inputs(target: str) -> None:
    torch.manual_seed(0)
    a, b = 0.3 * torch.randn(20, dtype=torch.complex64), torch.randn(20, dtype=torch.complex64)
    a, b = a.conj().imag, b.conj().imag
    assert a.is_neg()
    wanted = reference.linear_scan(a, b, dtype=torch.float64)
    assert relative_error(ssmgen.linear_scan(a, b, target=target), wanted) <= 2e-6


def test_lazily_conjugated_gradients() -> None:
    torch.manual_seed(0)
    a, b, g = (torch.randn(1, 3, 7, dtype=torch.complex128) for _ in range(3))
    found = []
    for target in ("cpu", "reference"):
        leaves = [a.clone().requires_grad_(), b.clone().requires_grad_()]
        h = ssmgen.linear_scan(*leaves, target=target)
        found.append(torch.autograd.grad(h.conj(), leaves, g))
    for mine, wanted in zip(*found, strict=True):
        assert relative_error(mine, wanted) <= 1e-12


@pytest.mark.parametrize("mixed", [lambda x: (x, x), lambda x: (x, 2 * x.sin()), lambda x: (x.cos() / 2, x)])
def test_gradients_where_one_input_depends_on_another(
    mixed: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> None:
    x = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor) -> torch.Tensor:
        return ssmgen.linear_scan(*mixed(x))

    (once,) = torch.autograd.grad(run(x).sum(), x)
    (again,) = torch.autograd.grad(run(x).sum(), x, create_graph=True)
    torch.testing.assert_close(once, again.detach())
    assert torch.autograd.gradcheck(run, [x])
    assert torch.autograd.gradgradcheck(run, [x])


def test_transforms_pass_through_the_reference() -> None:
    torch.manual_seed(0)
    a, b, t = (torch.rand(3, 5, dtype=torch.float64) for _ in range(3))
    batched = torch.func.vmap(ssmgen.linear_scan)(a, b)
    torch.testing.assert_close(batched, ssmgen.linear_scan(a, b))
    wanted = reference.linear_scan(a, t, dtype=torch.float64)  # linear in b
    _, tangent = torch.func.jvp(lambda b: ssmgen.linear_scan(a, b), (b,), (t,))
    torch.testing.assert_close(tangent, wanted)
    with forward_ad.dual_level():
        dual = ssmgen.linear_scan(a, forward_ad.make_dual(b, t))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, wanted)
    gradient = torch.func.grad(lambda b: ssmgen.linear_scan(a, b).sum())(b)
    b.requires_grad_()
    torch.testing.assert_close(gradient, *torch.autograd.grad(ssmgen.linear_scan(a, b).sum(), b))


def test_tensors_without_dense_memory() -> None:
    a = torch.rand(3, 4)
    for x, word in ((a.to_sparse(), "sparse"), (torch.nested.nested_tensor([a, a]), "nested")):
        with pytest.raises(InvalidInputError, match=word):
            ssmgen.linear_scan(x, x)
