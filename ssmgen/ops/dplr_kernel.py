"""The convolution kernel of S4's DPLR model: shapes, checks and preparation of a call."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import dtype, with_real
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, require_shape, require_tensor
from ssmgen.ops.poles import complex_dtype, require_length
from ssmgen.problem import Problem

__all__ = ["dplr_kernel"]

_NAMES = ("Lambda", "P", "Q", "B", "C", "step")
# Where the axis of rank or of channels goes that a tensor may lack.
_AXES = {"P": 1, "Q": 1, "C": 0}


def dplr_kernel(
    Lambda: Tensor,
    P: Tensor,
    Q: Tensor,
    B: Tensor,
    C: Tensor,
    step: Tensor,
    L: int,
    *,
    pairs: bool = False,
    target: str | None = None,
) -> Tensor:
    """The convolution kernel `K_l = C* Abar^l Bbar` of `A = diag(Lambda) - P Q*`, bilinear (S4, arXiv 2111.00396).

    One kernel computes the truncated generating function at the roots of unity: one reciprocal for each pole, or pair
    of poles, and node serves all `(channels + rank) (1 + rank)` Cauchy products, Woodbury's identity joins them, and
    the spectrum is written once; an inverse real FFT follows. Nodes are exact, the one of Nyquist among them, where z
    is infinite. Memory is O(H L). Differentiable in every tensor, by kernels that give the same bits every time.

    Where a pole adds so much to `Q* (z - Lambda)^-1 P` that its terms would cancel in what is left, as LegT's undamped
    poles do, it is resolved apart from the others, and nothing is lost. On GPUs `1 + Q* (z - Lambda)^-1 P` of rank 2
    and more is eliminated without pivoting, which is safe where Q = P and no eigenvalue grows.

    Conjugation is that of The Annotated S4: C and Q are conjugated inside, `A = diag(Lambda) - P Q*` has `Q = P` for
    HiPPO, and for a model `y = c x` C is conj(c). Where state-spaces/s4 takes C unconjugated, pass C.conj().

    Args:
        Lambda: (H, N), the eigenvalues of the diagonal part, complex.
        P: (H, N), or (H, rank, N), complex.
        Q: Like P.
        B: (H, N), complex: the continuous model's.
        C: (H, N), or (channels, H, N), complex: the truncated C~, `C~* = C* (I - Abar^L)`, which a layer holds as its
            parameter; `ssmgen.nn.truncated` computes it from C.
        step: (H,), real, positive: the step size.
        L: The length, at least 1.
        pairs: Whether N counts one of each conjugate pair of eigenvalues, which takes half the time; otherwise it
            counts all of them, each beside its conjugate.
        target: What runs it; see `selective_scan`.

    Returns:
        (H, L), or (channels, H, L), float32, or float64 if an input is of double precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((Lambda, P, Q, B, C, step), (L, bool(pairs)), target)[0]


class _DplrKernel(Op):
    name = "dplr_kernel"
    schema = (
        "(Tensor Lambda, Tensor P, Tensor Q, Tensor B, Tensor C, Tensor step, SymInt L, *, bool pairs=False, "
        "str? target=None) -> Tensor"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        given = dict(zip(_NAMES, map(require_tensor, _NAMES, tensors), strict=True))
        _check(given)
        length, channels = require_length(options[0]), given["C"].shape[0] if given["C"].ndim == 3 else 1
        chosen = pick_target(target, tensors)
        name = complex_dtype(given)
        dim, poles = given["Lambda"].shape
        sizes = {
            "channels": channels,
            "dim": dim,
            "rank": given["P"].shape[1] if given["P"].ndim == 3 else 1,
            "poles": poles,
            "seqlen": length,
        }
        problem = Problem.of(self.name, sizes, name, {"pairs": bool(options[1])})
        adapters = tuple(
            _adapter(index, given[x], _AXES.get(x), dtype(with_real(name) if x == "step" else name).torch)
            for index, x in enumerate(_NAMES)
        )
        return Call(problem, chosen, adapters, partial(_finish, length, given["C"].ndim == 2))

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        given = dict(zip(_NAMES, map(require_tensor, _NAMES, tensors), strict=True))
        _check(given)
        kind = dtype(complex_dtype(given)).torch
        Lambda, P, Q, B, C, step = (_with_axis(_AXES.get(name), x) for name, x in given.items())
        length, pairs = require_length(options[0]), bool(options[1])
        spectrum = reference.dplr_spectrum(Lambda, P, Q, B, C, step, length, pairs=pairs, dtype=kind)
        return _finish(length, given["C"].ndim == 2, (spectrum,))


_call = _DplrKernel().call


def _with_axis(axis: int | None, x: Tensor) -> Tensor:
    return x if axis is None or x.ndim == 3 else x.unsqueeze(axis)


def _adapter(index: int, x: Tensor, axis: int | None, kind: torch.dtype) -> Adapter:
    """The adapter that gives tensor `index` this dtype and its axis of ranks or channels, contiguous."""
    added = axis if x.ndim == 2 else None
    if x.dtype == kind and x.is_contiguous() and added is None:
        return Adapter(index, None)

    def convert(x: Tensor) -> Tensor:
        return _with_axis(axis, x).to(kind).contiguous()

    def revert(gradient: Tensor) -> Tensor:
        return gradient if added is None else gradient.squeeze(added)

    return Adapter(index, convert, revert=revert if x.dtype == kind else None)


def _finish(length: int, is_single: bool, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (spectrum,) = outputs
    return (torch.fft.irfft(spectrum.select(0, 0) if is_single else spectrum, n=length),)


def _check(given: dict[str, Tensor]) -> None:
    """Raise an `InvalidInputError` for shapes and dtypes that do not fit together."""
    Lambda, P, C, step = given["Lambda"], given["P"], given["C"], given["step"]
    if Lambda.ndim != 2 or Lambda.numel() == 0:
        raise InvalidInputError(
            f"Lambda has shape {tuple(Lambda.shape)}, but must be (H, N), each at least 1."
        )
    H, N = Lambda.shape
    if P.ndim not in (2, 3) or P.numel() == 0:
        raise InvalidInputError(f"P has shape {tuple(P.shape)}, but must be (H, N) or (H, rank, N).")
    if C.ndim not in (2, 3) or C.numel() == 0:
        raise InvalidInputError(f"C has shape {tuple(C.shape)}, but must be (H, N) or (channels, H, N).")
    low_rank = (("H", "N"), (H, N)) if P.ndim == 2 else (("H", "rank", "N"), (H, P.shape[1], N))
    outer = (("H", "N"), (H, N)) if C.ndim == 2 else (("channels", "H", "N"), (C.shape[0], H, N))
    require_shape("P", P, *low_rank)
    require_shape("Q", given["Q"], *low_rank)
    require_shape("B", given["B"], ("H", "N"), (H, N))
    require_shape("C", C, *outer)
    require_shape("step", step, ("H",), (H,))
    if step.is_complex():
        raise InvalidInputError(f"step is {step.dtype}, but must be real.")
