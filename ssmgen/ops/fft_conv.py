"""The long convolution of S4: checks, the two plans, and the rule between them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.errors import InvalidInputError
from ssmgen.ops.op import common_dtype, require_tensor
from ssmgen.ops.passes import without_autocast

__all__ = ["fft_conv"]

_DTYPES = ("fp32", "bf16", "fp16", "fp64")
_METHODS = ("auto", "direct", "fft")
# Up to where the sum is faster than transforms. By benchmarks/fft_conv.py --threads 1, in float32, of (8, 256, 1024)
# and (1, 64, 16384), transforms take 1.3 to 2.8 times as long as the sum of 4 taps in inference, 1.3 to 3.2 times in
# training; of 8 taps, 0.8 to 1.8 and 0.7 to 1.9 times.
_DIRECT_TAPS = 4


def fft_conv(
    u: Tensor,
    k: Tensor,
    D: Tensor | None = None,
    *,
    reverse_kernel: Tensor | None = None,
    method: str = "auto",
) -> Tensor:
    """`y_t = sum_{s>=0} k_s u_{t-s} + sum_{s>=0} r_s u_{t+1+s} + D u_t`, where u is zero outside of its L steps.

    The causal convolution that S4 computes its outputs with (arXiv 2111.00396), by FFTs of padded sequences, in
    O(L log L). r is the reverse kernel of a bidirectional layer. It starts one step ahead, so that only one of the
    kernels weighs u_t: this is the padded kernel of state-spaces/s4, `pad(k, (0, L)) + pad(r.flip(-1), (L, 0))`.

    Composed of PyTorch's ops: it differentiates any number of times, and compiles, also for lengths that change.
    Transforms and sums are in float64 if any input is, otherwise in float32, also under autocast.

    Args:
        u: (..., L), the input; float32, bfloat16, float16 or float64, as all others.
        k: (..., K), the kernel of any length; what lies beyond L is not used. The leading dims of all tensors
            broadcast: u (batch, H, L) takes k (H, K), and for several channels u (batch, 1, H, L) takes
            k (channels, H, K).
        D: (...), the skip term, without a dim for time.
        reverse_kernel: (..., R), r; None for a causal convolution.
        method: `fft`, `direct`, which is the sum itself, tap by tap, or `auto`: `direct` for up to 4 taps.

    Returns:
        y (..., L), in the dtype of u. An FFT's error is relative to the largest outputs, not to each.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together, or there is no such method.
    """
    named = {"u": u, "k": k, "D": D, "reverse_kernel": reverse_kernel}
    tensors = {name: require_tensor(name, x) for name, x in named.items() if x is not None}
    kind = torch.float64 if common_dtype(tensors, _DTYPES) == "fp64" else torch.float32
    _check(tensors)
    if method not in _METHODS:
        raise InvalidInputError(f"method must be one of {', '.join(_METHODS)}, not {method!r}.")
    with without_autocast(u.device):
        wide, length = u.to(kind), u.shape[-1]
        k = _until(k, length).to(kind)
        r = None if reverse_kernel is None else _until(reverse_kernel, max(length - 1, 1)).to(kind)
        taps = k.shape[-1] + (0 if r is None else r.shape[-1])
        direct = method == "direct" or (method == "auto" and taps <= _DIRECT_TAPS)
        y = (_by_sum if direct else _by_fft)(wide, k, r)
        if D is not None:
            y = y + D.to(kind)[..., None] * wide
        return y.to(u.dtype)


def _until(k: Tensor, taps: int) -> Tensor:
    return k[..., :taps] if k.shape[-1] > taps else k


def _by_sum(u: Tensor, k: Tensor, r: Tensor | None) -> Tensor:
    """One product of shifted sequences for each tap.

    A grouped convolution would stand against FFTs up to 16 taps, but on GPUs PyTorch's are in TF32 by default.
    """
    length, now = u.shape[-1], k.shape[-1] - 1
    padded = F.pad(u, (now, 0 if r is None else r.shape[-1]))
    y = u * k[..., :1]
    for s in range(1, k.shape[-1]):
        y = y + padded[..., now - s : now - s + length] * k[..., s : s + 1]
    if r is not None:
        for s in range(r.shape[-1]):
            y = y + padded[..., now + 1 + s : now + 1 + s + length] * r[..., s : s + 1]
    return y


def _by_fft(u: Tensor, k: Tensor, r: Tensor | None) -> Tensor:
    """The product of transforms that are long enough for what wraps around to miss the L outputs."""
    length, taps = u.shape[-1], k.shape[-1]
    if r is None:
        n = _transform_length(length + taps - 1)
    else:
        ahead = r.shape[-1]
        n = _transform_length(length + max(taps - 1, ahead))
        # A step ahead is a step back from the end of the circle.
        k = F.pad(k, (0, n - taps)) + F.pad(r.flip(-1), (n - ahead, 0))
    y: Tensor = torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)
    return y[..., :length]


def _transform_length(least: int) -> int:
    """The least m 2^j, m = 9 to 16, that is no shorter, and even: no factor is greater than 13.

    Against transforms of 2 L, by benchmarks/fft_conv.py: 3 to 5 times faster where L has a large factor (1021, 4097),
    as fast elsewhere (0.9 to 1.2), but for 0.7 at 16000, where 2^15 is slower than 32000. The least length with no
    factor above 5 is hardly better, and a search for it would compile anew for each length; this does for each octave.
    """
    step = 2
    while 16 * step < least:
        step *= 2
    return (least + step - 1) // step * step


def _check(tensors: dict[str, Tensor]) -> None:
    for name, x in tensors.items():
        if (x.ndim == 0 and name != "D") or 0 in x.shape:
            raise InvalidInputError(f"{name} has shape {tuple(x.shape)}; every size must be at least 1.")
        if x.device != tensors["u"].device:
            raise InvalidInputError(f"{name} is on {x.device}, but u is on {tensors['u'].device}; move one.")
    leading = {name: tuple(x.shape if name == "D" else x.shape[:-1]) for name, x in tensors.items()}
    for sizes in zip(
        *(_aligned(shape, max(map(len, leading.values()))) for shape in leading.values()), strict=True
    ):
        if len({size for size in sizes if size != 1}) > 1:
            found = ", ".join(f"{name} {shape}" for name, shape in leading.items())
            raise InvalidInputError(f"the leading dims do not broadcast: {found}.")


def _aligned(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return (1,) * (ndim - len(shape)) + shape
