"""S4's ops on every target: against float64, the kernel by powers, and finite differences; and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen import reference
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from tests.helpers import GPU, ON_GPU

TARGETS = ["cpu", "interpret", "reference", ON_GPU]
pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]


def model(
    H: int = 2, N: int = 3, rank: int = 1, channels: int = 1, dtype: torch.dtype = torch.complex128
) -> dict[str, Tensor]:
    """The parameters of a stable model, one of each conjugate pair; some of the pairs by their lower pole."""
    torch.manual_seed(N + rank)
    sign = torch.tensor([1.0, -1.0]).repeat(H * N)[: H * N].view(H, N)
    P = 0.5 * torch.randn(H, rank, N, dtype=dtype)
    return {
        "Lambda": torch.complex(-0.3 - torch.rand(H, N), sign * math.pi * torch.arange(1.0, N + 1)).to(dtype),
        "P": P,
        "Q": P + 0.1 * torch.randn(H, rank, N, dtype=dtype),
        "B": torch.randn(H, N, dtype=dtype),
        "C": torch.randn(channels, H, N, dtype=dtype),
        "step": torch.rand(H, dtype=dtype.to_real()) * 0.2 + 0.01,
    }


def all_poles(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same model by all of its eigenvalues."""
    return {name: x if name == "step" else torch.cat([x, x.conj()], dim=-1) for name, x in given.items()}


def by_powers(given: dict[str, Tensor], L: int) -> tuple[Tensor, Tensor]:
    """C* Abar^l Bbar of a model given by all of its eigenvalues, and the truncated C, in complex128."""
    wide = {name: x.to(torch.complex128) for name, x in given.items()}
    A = torch.diag_embed(wide["Lambda"]) - torch.einsum("hrn,hrm->hnm", wide["P"], wide["Q"].conj())
    half = wide["step"][:, None, None] / 2
    one = torch.eye(A.shape[-1], dtype=A.dtype)
    Abar = torch.linalg.solve(one - half * A, one + half * A)
    state = 2 * half[..., 0] * torch.linalg.solve(one - half * A, wide["B"])
    C = wide["C"].conj()
    kernel = []
    for _ in range(L):
        kernel.append(torch.einsum("chn,hn->ch", C, state))
        state = torch.einsum("hnm,hm->hn", Abar, state)
    truncated = torch.einsum("chn,hnm->chm", C, one - torch.linalg.matrix_power(Abar, L)).conj()
    return torch.stack(kernel, dim=-1).real, truncated


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("L", "rank", "channels"), [(1, 1, 1), (2, 2, 1), (16, 1, 2), (33, 2, 1)])
def test_the_dplr_kernel_is_that_of_the_recurrence(
    target: str, dtype: torch.dtype, pairs: bool, L: int, rank: int, channels: int
) -> None:
    given = model(rank=rank, channels=channels, dtype=dtype)
    full = all_poles(given)
    wanted, truncated = by_powers(full, L)
    given = {**given, "C": truncated[..., :3]} if pairs else {**full, "C": truncated}
    device = "cuda" if target == GPU else "cpu"
    given = {name: x.to(dtype.to_real() if name == "step" else dtype).to(device) for name, x in given.items()}
    found = ssmgen.dplr_kernel(**given, L=L, pairs=pairs, target=target)
    assert found.dtype == dtype.to_real()
    assert found.shape == (channels, 2, L)
    assert relative_error(found, wanted.to(device)) <= (3e-6 if dtype == torch.complex64 else 1e-13)


@pytest.mark.parametrize("target", ["cpu", "interpret", "reference"])
@pytest.mark.parametrize("last", [-1.0, -1.0001])
def test_no_pole_is_left_out_where_the_others_alone_are_singular(target: str, last: float) -> None:
    """1 + R_QP is 1, or nearly, for both poles together, and 0 for one of them at the first node."""
    one = torch.ones(1, 2, dtype=torch.complex128)
    Q = torch.tensor([[1.0, last]], dtype=torch.complex128)
    given = {"Lambda": -one, "P": one[:, None], "Q": Q[:, None], "B": one, "C": one[None]}
    given["step"] = torch.tensor([0.1], dtype=torch.float64)
    wanted, truncated = by_powers(given, 64)
    narrow = {name: x.to(torch.complex64) for name, x in {**given, "C": truncated}.items() if name != "step"}
    found = ssmgen.dplr_kernel(**narrow, step=given["step"].float(), L=64, target=target)
    assert relative_error(found, wanted) <= 1e-6


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_a_pivot_may_vanish(target: str) -> None:
    one = torch.ones(1, 2, dtype=torch.complex128)
    P, Q = (torch.tensor([x], dtype=torch.complex128) for x in ([[1, 1], [0.5, 1]], [[1, -2], [1, 1]]))
    given = {"Lambda": -one, "P": P, "Q": Q, "B": one, "C": one[None]}
    given["step"] = torch.tensor([0.1], dtype=torch.float64)
    wanted, truncated = by_powers(given, 32)
    found = ssmgen.dplr_kernel(**{**given, "C": truncated}, L=32, target=target)
    assert relative_error(found, wanted) <= 1e-12


@pytest.mark.parametrize("target", ["cpu", "interpret"])
@pytest.mark.parametrize("unit", [1e-12, 1e-7, 1e7, 1e12])
def test_the_unit_of_time_is_free(target: str, unit: float) -> None:
    given = model(dtype=torch.complex64)
    wanted = ssmgen.dplr_kernel(**given, L=16, pairs=True, target=target)
    low_rank = unit**0.5
    scaled = {
        "Lambda": given["Lambda"] * unit,
        "P": given["P"] * low_rank,
        "Q": given["Q"] * low_rank,
        "B": given["B"] * unit,
        "C": given["C"],
        "step": given["step"] / unit,
    }
    found = ssmgen.dplr_kernel(**scaled, L=16, pairs=True, target=target)
    assert relative_error(found, wanted) <= 2e-6


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_axes_of_size_one_may_be_missing(target: str) -> None:
    given = model()
    wanted = ssmgen.dplr_kernel(**given, L=9, target=target)
    plain = {name: x.squeeze({"P": 1, "Q": 1, "C": 0}.get(name, -1)) for name, x in given.items()}
    found = ssmgen.dplr_kernel(**plain, L=9, target=target)
    assert found.shape == (2, 9)
    assert torch.equal(found, wanted[0])


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("pairs", "rank", "channels", "L"), [(True, 1, 1, 8), (False, 2, 1, 5), (True, 2, 2, 7)]
)
def test_gradcheck_of_every_dplr_parameter(
    target: str, pairs: bool, rank: int, channels: int, L: int
) -> None:
    given = model(rank=rank, channels=channels)

    def kernel(*tensors: Tensor) -> Tensor:
        return ssmgen.dplr_kernel(*tensors, L, pairs=pairs, target=target)

    assert torch.autograd.gradcheck(kernel, [x.requires_grad_() for x in given.values()])


def test_the_dplr_kernel_has_second_derivatives() -> None:
    leaves = [x.requires_grad_() for x in model(H=1, N=2).values()]
    assert torch.autograd.gradgradcheck(
        lambda *x: ssmgen.dplr_kernel(*x, 4, pairs=True, target="cpu"), leaves, fast_mode=True
    )


def cauchy_inputs(imaginary: bool, dtype: torch.dtype = torch.complex128) -> list[Tensor]:
    torch.manual_seed(0)
    v, w = torch.randn(2, 3, 4, dtype=dtype)
    y = torch.linspace(-2.0, 3.0, 7, dtype=dtype.to_real())
    z = y if imaginary else torch.complex(0.3 * torch.randn_like(y).abs(), y)
    return [v, z, torch.complex(-w.real.abs() - 0.5, w.imag)]


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("needed", [(0, 1, 2), (0, 2), (1,)])
def test_gradcheck_of_the_cauchy_product(
    target: str, imaginary: bool, symmetric: bool, needed: tuple[int, ...]
) -> None:
    leaves = cauchy_inputs(imaginary)
    for index in needed:
        leaves[index].requires_grad_()

    def product(*tensors: Tensor) -> Tensor:
        nodes = "imaginary" if imaginary else "complex"
        return ssmgen.cauchy_mult(*tensors, symmetric, nodes=nodes, target=target)

    assert torch.autograd.gradcheck(product, leaves)
    assert torch.autograd.gradgradcheck(product, leaves, fast_mode=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_imaginary_nodes(target: str, symmetric: bool, dtype: torch.dtype) -> None:
    v, y, w = (x.to("cuda" if target == GPU else "cpu") for x in cauchy_inputs(True, dtype))
    found = ssmgen.cauchy_mult(v, y, w, symmetric, nodes="imaginary", target=target)
    wanted = reference.cauchy_mult(v, 1j * y, w, symmetric, dtype=torch.complex128)
    assert found.dtype == dtype
    assert relative_error(found, wanted) <= (1e-6 if dtype == torch.complex64 else 1e-14)


def test_batched_nodes_have_gradients_of_their_own() -> None:
    v, z, w = cauchy_inputs(False)
    z = (z[None] * torch.tensor([[1.0], [2.0], [3.0]])).requires_grad_()
    wanted = reference.cauchy_mult(v, z, w, dtype=torch.complex128)
    out = ssmgen.cauchy_mult(v, z, w, target="cpu")
    g = torch.randn_like(out)
    mine, exact = (torch.autograd.grad(x, z, g)[0] for x in (out, wanted))
    assert mine.shape == z.shape
    assert relative_error(mine, exact) <= 1e-14


def _dplr(**changes: Tensor | int) -> Callable[[], Tensor]:
    return lambda: ssmgen.dplr_kernel(**{**model(), "L": 8, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (_dplr(Lambda=torch.zeros(3)), r"Lambda has shape \(3,\), but must be \(H, N\)"),
        (_dplr(P=torch.zeros(2, 1, 4)), r"P has shape \(2, 1, 4\), but must be \(H=2, rank=1, N=3\)"),
        (_dplr(Q=torch.zeros(2, 3)), r"Q has shape \(2, 3\), but must be \(H=2, rank=1, N=3\)"),
        (_dplr(C=torch.zeros(3)), r"C has shape \(3,\), but must be \(H, N\) or \(channels, H, N\)"),
        (_dplr(step=torch.zeros(2, 1)), r"step has shape \(2, 1\), but must be \(H=2\)"),
        (_dplr(step=torch.zeros(2, dtype=torch.complex64)), "step is torch.complex64, but must be real"),
        (_dplr(L=0), "L must be an integer of at least 1, not 0"),
        (lambda: ssmgen.log_vandermonde(torch.ones(3), torch.ones(4), 5), "as many poles"),
        (lambda: ssmgen.log_vandermonde(torch.ones(3), torch.ones(3), 2.5), "L must be an integer"),  # type: ignore[arg-type]
        (
            lambda: ssmgen.log_vandermonde_transpose(torch.ones(4), torch.ones(3), torch.ones(3), 5),
            "its last dim must be L = 5",
        ),
        (
            lambda: ssmgen.cauchy_mult(*cauchy_inputs(False), nodes="imaginary"),
            "z is torch.complex128; with nodes='imaginary' it holds the real y",
        ),
        (
            lambda: ssmgen.cauchy_mult(*cauchy_inputs(False), nodes="real"),  # type: ignore[arg-type]
            "nodes must be one of complex, imaginary, not 'real'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        call()
