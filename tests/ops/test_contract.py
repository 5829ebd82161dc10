"""What every op promises, on every target: right results, shapes and dtypes for every layout, option and dtype."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import ssmgen
from ssmgen import reference
from ssmgen.kernels.oracle import relative_error
from tests.helpers import GPU, ON_GPU

TARGETS = ["cpu", "interpret", "reference", ON_GPU]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4, torch.float64: 1e-12}
DTYPES = list(TOLERANCE)

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]


def _scan_inputs(
    batch: int = 2,
    dim: int = 6,
    seqlen: int = 11,
    states: int = 4,
    groups: int = 1,
    dtype: torch.dtype = torch.float32,
) -> dict[str, torch.Tensor]:
    torch.manual_seed(batch + dim + seqlen + states)
    rows = (batch, states, seqlen) if groups == 1 else (batch, groups, states, seqlen)
    return {
        "u": torch.randn(batch, dim, seqlen).to(dtype),
        "delta": (0.1 * torch.rand(batch, dim, seqlen)).to(dtype),
        "A": -torch.rand(dim, states) * 8,
        "B": torch.randn(rows).to(dtype),
        "C": torch.randn(rows).to(dtype),
        "D": torch.randn(dim),
        "z": torch.randn(batch, dim, seqlen).to(dtype),
        "delta_bias": torch.rand(dim),
    }


def _on(target: str, *tensors: torch.Tensor | None) -> list[torch.Tensor]:
    """The tensors where the target works."""
    device = "cuda" if target == GPU else "cpu"
    return [x if x is None else x.to(device) for x in tensors]  # type: ignore[misc]


def _inputs_on(target: str, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(zip(inputs, _on(target, *inputs.values()), strict=True))


def _check_scan(target: str, inputs: dict[str, torch.Tensor], softplus: bool = True) -> None:
    inputs = _inputs_on(target, inputs)
    dtype = inputs["u"].dtype
    out, last = ssmgen.selective_scan(
        **inputs, delta_softplus=softplus, return_last_state=True, target=target
    )
    wanted, wanted_last = reference.selective_scan(**inputs, delta_softplus=softplus, dtype=torch.float64)
    assert out.dtype == dtype
    assert out.shape == inputs["u"].shape
    assert last.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert relative_error(out, wanted) <= TOLERANCE[dtype]
    assert relative_error(last, wanted_last) <= min(TOLERANCE[dtype], 2e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_selective_scan_in_every_dtype(target: str, dtype: torch.dtype) -> None:
    _check_scan(target, _scan_inputs(dtype=dtype))


@pytest.mark.parametrize("target", TARGETS)
def test_selective_scan_with_groups(target: str) -> None:
    _check_scan(target, _scan_inputs(groups=3))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("constant", ["B", "C", "BC"])
def test_selective_scan_with_constant_rows(target: str, constant: str) -> None:
    """Constant B beside grouped C, and the last state of constant B: both wrong in a peer."""
    inputs = _scan_inputs(groups=2)
    for name in constant:
        inputs[name] = torch.randn(6, 4)
    _check_scan(target, inputs)


@pytest.mark.parametrize("target", TARGETS)
def test_selective_scan_without_options(target: str) -> None:
    inputs = {name: x for name, x in _scan_inputs().items() if name in ("u", "delta", "A", "B", "C")}
    inputs = _inputs_on(target, inputs)
    out = ssmgen.selective_scan(**inputs, target=target)
    wanted, _ = reference.selective_scan(**inputs, dtype=torch.float64)
    assert relative_error(out, wanted) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seqlen", [1, 2, 17])
def test_selective_scan_of_any_length(target: str, seqlen: int) -> None:
    _check_scan(target, _scan_inputs(batch=1, dim=3, seqlen=seqlen))


@pytest.mark.parametrize("target", TARGETS)
def test_selective_scan_of_strided_inputs(target: str) -> None:
    plain = _inputs_on(target, _scan_inputs())
    channel_last = {
        name: x.transpose(1, 2).contiguous().transpose(1, 2) if name in ("u", "delta", "z") else x
        for name, x in plain.items()
    }
    every_other = {
        name: x.repeat_interleave(2, dim=-1)[..., ::2] if name != "D" else x for name, x in plain.items()
    }
    mixed = {**plain, "delta": channel_last["delta"]}
    wanted = ssmgen.selective_scan(**plain, delta_softplus=True, target="reference")
    for inputs in (channel_last, every_other, mixed):
        out = ssmgen.selective_scan(**inputs, delta_softplus=True, target=target)
        assert relative_error(out, wanted) <= 4e-6


@pytest.mark.parametrize("target", TARGETS)
def test_selective_scan_of_mixed_dtypes_computes_in_the_widest(target: str) -> None:
    inputs = _inputs_on(target, _scan_inputs())
    inputs["u"] = inputs["u"].bfloat16()
    out = ssmgen.selective_scan(**inputs, target=target)
    wanted, _ = reference.selective_scan(**inputs, dtype=torch.float64)
    assert out.dtype == torch.bfloat16
    assert relative_error(out, wanted) <= 4e-3


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1,), (13,), (3, 1), (2, 3, 9), (2, 1, 3, 5)], ids=str)
def test_linear_scan(target: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    torch.manual_seed(sum(shape))
    a, b, h0 = torch.rand(shape).to(dtype), torch.randn(shape).to(dtype), torch.randn(shape[:-1]).to(dtype)
    a, b, h0 = _on(target, a, b, h0)
    for reverse, start in ((False, None), (True, h0)):
        h = ssmgen.linear_scan(a, b, initial_state=start, reverse=reverse, target=target)
        wanted = reference.linear_scan(a, b, initial_state=start, reverse=reverse, dtype=torch.float64)
        assert h.dtype == dtype
        assert h.shape == shape
        assert relative_error(h, wanted) <= TOLERANCE[dtype]


@pytest.mark.parametrize("target", TARGETS)
def test_linear_scan_of_complex_inputs(target: str) -> None:
    a, b = torch.randn(2, 7, dtype=torch.complex64) * 0.5, torch.randn(2, 7, dtype=torch.complex64)
    a, b = _on(target, a, b)
    wanted = reference.linear_scan(a, b, dtype=torch.complex128)
    assert relative_error(ssmgen.linear_scan(a, b, target=target), wanted) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    "shapes",
    [((5,), (9,), (5,)), ((3, 7), (9,), (7,)), ((3, 1), (3, 4), (1, 1)), ((2, 3, 5), (2, 1, 9), (3, 5))],
    ids=str,
)
def test_cauchy_mult(
    target: str, dtype: torch.dtype, symmetric: bool, shapes: tuple[tuple[int, ...], ...]
) -> None:
    torch.manual_seed(0)
    v, z, w = (torch.randn(shape, dtype=dtype) for shape in shapes)
    w = w - 2 * w.real.abs() - 0.5  # poles left of the nodes, as in a stable model
    z = torch.complex(torch.zeros_like(z.real), 3 * z.imag)
    v, z, w = _on(target, v, z, w)
    out = ssmgen.cauchy_mult(v, z, w, symmetric, target=target)
    wanted = reference.cauchy_mult(v, z, w, symmetric, dtype=torch.complex128)
    assert out.dtype == dtype
    assert out.shape == wanted.shape
    assert relative_error(out, wanted) <= (2e-6 if dtype == torch.complex64 else 1e-13)


@pytest.mark.parametrize("target", TARGETS)
def test_cauchy_mult_of_conjugate_views(target: str) -> None:
    v, z, w = _on(target, *(torch.randn(3, 4, dtype=torch.complex64) for _ in range(3)))
    wanted = reference.cauchy_mult(v.conj(), z, w.conj(), False, dtype=torch.complex128)
    assert relative_error(ssmgen.cauchy_mult(v.conj(), z, w.conj(), False, target=target), wanted) <= 1e-5


def _loss_selective(target: str) -> Callable[..., torch.Tensor]:
    def loss(*xs: torch.Tensor) -> torch.Tensor:
        out, last = ssmgen.selective_scan(*xs, True, True, target=target)
        return out.square().sum() + last.sum()

    return loss


def _loss_linear(target: str) -> Callable[..., torch.Tensor]:
    return lambda a, b, h: (
        ssmgen.linear_scan(a, b, initial_state=h, reverse=True, target=target).square().sum()
    )


def _loss_cauchy(target: str) -> Callable[..., torch.Tensor]:
    return lambda v, z, w: ssmgen.cauchy_mult(v, z, w, target=target).abs().square().sum()


def _gradient_inputs(op: str) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    if op == "selective":
        return tuple(x.double() for x in _scan_inputs(1, 2, 4, 3).values())
    if op == "linear":
        return (torch.rand(2, 5).double(), torch.randn(2, 5).double(), torch.randn(2).double())
    return tuple(torch.randn(2, 3, dtype=torch.complex128) for _ in range(3))


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("op", ["selective", "linear", "cauchy"])
def test_gradients(op: str, target: str) -> None:
    loss = {"selective": _loss_selective, "linear": _loss_linear, "cauchy": _loss_cauchy}[op](target)
    inputs = [x.requires_grad_() for x in _gradient_inputs(op)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_gradients_of_some_inputs_only_and_twice() -> None:
    inputs = _scan_inputs(1, 2, 4, 3, dtype=torch.float64)
    delta = inputs["delta"].requires_grad_()
    out = ssmgen.selective_scan(**inputs, delta_softplus=True)
    (first,) = torch.autograd.grad(out.square().sum(), delta, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), delta)
    assert second.abs().max() > 0
    assert torch.autograd.gradgradcheck(
        lambda d: ssmgen.selective_scan(**{**inputs, "delta": d}, delta_softplus=True), [delta]
    )


def test_gradients_of_half_precision_keep_its_dtype() -> None:
    inputs = {k: x.requires_grad_() for k, x in _scan_inputs(dtype=torch.bfloat16).items()}
    ssmgen.selective_scan(**inputs).float().sum().backward()
    for name, x in inputs.items():
        assert x.grad is not None, name
        assert x.grad.dtype == x.dtype
