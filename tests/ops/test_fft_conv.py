"""The long convolution against the sum that defines it, in float64, by both plans."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.testing import assert_close

import ssmgen
from ssmgen.errors import InvalidInputError
from ssmgen.ops.fft_conv import _transform_length

METHODS = ("auto", "direct", "fft")


def definition(u: Tensor, k: Tensor, D: Tensor | None = None, reverse_kernel: Tensor | None = None) -> Tensor:
    """The docstring's formula, a step at a time."""
    length = u.shape[-1]
    outputs = []
    for t in range(length):
        past = min(t + 1, k.shape[-1])
        y = (k[..., :past] * u[..., t - past + 1 : t + 1].flip(-1)).sum(-1)
        if reverse_kernel is not None:
            ahead = min(length - 1 - t, reverse_kernel.shape[-1])
            y = y + (reverse_kernel[..., :ahead] * u[..., t + 1 : t + 1 + ahead]).sum(-1)
        outputs.append(y if D is None else y + D * u[..., t])
    return torch.stack(outputs, -1)


def tensors(
    u: tuple[int, ...],
    k: tuple[int, ...],
    D: tuple[int, ...] | None = None,
    r: tuple[int, ...] | None = None,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    shapes = {"u": u, "k": k, "D": D, "reverse_kernel": r}
    generator = torch.Generator().manual_seed(sum(map(hash, shapes.values())) % 2**31)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in shapes.items()
        if shape is not None
    }


def wanted(case: dict[str, Tensor]) -> Tensor:
    return definition(**{name: x.double() for name, x in case.items()})


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(
    length=st.integers(1, 40),
    taps=st.integers(1, 50),
    ahead=st.integers(0, 50),
    leading=st.sampled_from(
        [
            ((), (), ()),
            ((2, 3), (3,), (3,)),
            ((2, 1, 3), (2, 1, 3), (2, 1, 3)),
            ((3,), (2, 3), (1, 1)),
            ((), (2,), (2, 1)),
        ]
    ),
    skip=st.booleans(),
)
def test_it_is_the_sum(
    method: str, length: int, taps: int, ahead: int, leading: tuple[tuple[int, ...], ...], skip: bool
) -> None:
    u, k, r = leading
    case = tensors((*u, length), (*k, taps), k if skip else None, (*r, ahead) if ahead else None)
    assert_close(ssmgen.fft_conv(**case, method=method), wanted(case), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [127, 128, 129, 1000])
def test_long_kernels_do_not_wrap_around(method: str, length: int) -> None:
    """Transforms are as short as they may be: one step less, and the first outputs would see the last inputs."""
    case = tensors((2, length), (2, length), (2,), (2, length))
    case["u"][..., -1] = case["u"][..., 0] = 1e3
    assert_close(ssmgen.fft_conv(**case, method=method), wanted(case), rtol=1e-11, atol=1e-8)


def test_transforms_are_long_enough_and_quick() -> None:
    for least in range(1, 5000):
        n = _transform_length(least)
        assert least <= n <= max(least + 1, least * 9 / 8)
        assert n % 2 == 0
        for factor in (2, 3, 5, 7, 11, 13):
            while n % factor == 0:
                n //= factor
        assert n == 1


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8), (torch.float16, 2**-11)]
)
@pytest.mark.parametrize("autocast", [False, True])
def test_narrow_inputs_are_summed_in_float32(
    method: str, dtype: torch.dtype, tolerance: float, autocast: bool
) -> None:
    """The error is that of rounding the output once, but for what float32 itself loses."""
    case = tensors((2, 3, 300), (3, 300), (3,), (3, 20), dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = ssmgen.fft_conv(**case, method=method)
    assert found.dtype == dtype
    right = wanted(case)
    assert_close(found.double(), right, rtol=tolerance, atol=1e-6 * float(right.abs().max()))


def test_the_output_has_the_dtype_of_u_and_the_precision_of_the_widest() -> None:
    case = tensors((2, 9), (2, 5), (2,))
    assert ssmgen.fft_conv(case["u"].float(), case["k"]).dtype == torch.float32
    assert ssmgen.fft_conv(case["u"].bfloat16(), case["k"].float(), case["D"].float()).dtype == torch.bfloat16
    rounded = {"u": case["u"].float(), "k": case["k"], "D": case["D"]}
    assert torch.equal(ssmgen.fft_conv(**rounded), wanted(rounded).float())


def test_few_taps_are_summed_and_many_transformed() -> None:
    """By the zeros of a sum, which transforms only come near."""
    u = torch.zeros(64)
    u[32:] = torch.randn(32)
    for taps, ahead, exact in ((4, 0, True), (2, 2, True), (5, 0, False), (4, 1, False)):
        k, r = torch.randn(taps), torch.randn(ahead) if ahead else None
        found = ssmgen.fft_conv(u, k, reverse_kernel=r)
        assert bool((found[: 32 - ahead] == 0).all()) == exact


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients(method: str, bidirectional: bool) -> None:
    case = tensors((2, 1, 1, 4), (2, 1, 5), (1,), (1, 1, 2) if bidirectional else None)
    names = list(case)

    def run(*xs: Tensor) -> Tensor:
        return ssmgen.fft_conv(**dict(zip(names, xs, strict=True)), method=method)

    leaves = tuple(x.requires_grad_() for x in case.values())
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)
    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True, check_batched_grad=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "mapped", [("u",), ("k",), ("D",), ("reverse_kernel",), ("u", "k", "D", "reverse_kernel")]
)
def test_vmap_is_a_loop(method: str, mapped: tuple[str, ...]) -> None:
    case = tensors((3, 9), (3, 3), (3,), (3, 4))
    case |= {name: torch.stack([case[name], -2 * case[name], case[name] + 1]) for name in mapped}
    dims = {name: 0 if name in mapped else None for name in case}

    def run(**xs: Tensor) -> Tensor:
        return ssmgen.fft_conv(**xs, method=method)

    found = torch.func.vmap(lambda xs: run(**xs), in_dims=(dims,))(case)
    for i, row in enumerate(found):
        assert_close(row, run(**{name: x[i] if name in mapped else x for name, x in case.items()}))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("autocast", [pytest.param(False, marks=pytest.mark.slow), True])
def test_compiled_whole_it_is_eager(backend: str, method: str, autocast: bool) -> None:
    torch._dynamo.reset()
    # A compiler takes long over a sum of many taps.
    case = tensors((2, 3, 50), (3, 5 if method == "direct" else 50), (3,), (3, 2), torch.float32)

    def run(**xs: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return ssmgen.fft_conv(**xs, method=method)

    def outputs(run: Any) -> list[Tensor]:
        leaves = {name: x.clone().requires_grad_() for name, x in case.items()}
        y = run(**leaves)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), list(leaves.values()))]

    for x, y in zip(outputs(torch.compile(run, backend=backend, fullgraph=True)), outputs(run), strict=True):
        assert_close(x, y, rtol=1e-5, atol=1e-6 * float(y.abs().max()))


def test_lengths_of_an_octave_compile_once() -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(
        lambda u, k: ssmgen.fft_conv(u, k), backend=counter, fullgraph=True, dynamic=True
    )
    for length in (150, 200, 251):
        case = tensors((2, 3, length), (3, length))
        assert_close(compiled(**case), wanted(case))
    assert counter.frame_count == 1


def test_a_bidirectional_kernel_is_padded_as_in_s4() -> None:
    case = tensors((2, 3, 20), (3, 20), None, (3, 20))
    pad = torch.nn.functional.pad
    k = pad(case["k"], (0, 20)) + pad(case["reverse_kernel"].flip(-1), (20, 0))
    y = torch.fft.irfft(torch.fft.rfft(case["u"], n=40) * torch.fft.rfft(k, n=40), n=40)[..., :20]
    assert_close(ssmgen.fft_conv(**case), y)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": torch.zeros(())}, r"u has shape \(\); every size must be at least 1"),
        ({"k": torch.zeros(3, 0)}, r"k has shape \(3, 0\)"),
        ({"D": torch.zeros(0)}, r"D has shape \(0,\)"),
        ({"k": torch.zeros(4, 5)}, r"do not broadcast: u \(2, 3\), k \(4,\)"),
        ({"D": torch.zeros(3, 9)}, r"do not broadcast: .*D \(3, 9\)"),
        ({"reverse_kernel": torch.zeros(2, 9)}, r"do not broadcast: .*reverse_kernel \(2,\)"),
        ({"k": torch.zeros(3, 5, dtype=torch.complex64)}, "k is torch.complex64; supported here are fp32"),
        ({"u": torch.zeros(3, 5, dtype=torch.int64)}, "u is torch.int64; supported are"),
        ({"D": 1.0}, "D must be a torch.Tensor, not float"),
        ({"k": torch.zeros(3, 5, device="meta")}, "k is on meta, but u is on cpu"),
        ({"method": "toeplitz"}, "method must be one of auto, direct, fft, not 'toeplitz'"),
    ],
)
def test_errors(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ssmgen.fft_conv(**({"u": torch.zeros(2, 3, 8), "k": torch.zeros(3, 8)} | changed))
