"""The transposed Vandermonde product of S4D: shapes, checks and preparation of a call."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import dtype, with_real
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Call
from ssmgen.ops.op import Op, Options, require_tensor
from ssmgen.ops.poles import broadcast_leading, complex_dtype, matrix, require_length, require_same_poles
from ssmgen.problem import Problem

__all__ = ["log_vandermonde_transpose"]


def log_vandermonde_transpose(
    u: Tensor, v: Tensor, x: Tensor, L: int, *, target: str | None = None
) -> Tensor:
    """`out_n = v_n sum_l u_l exp(x_n l)` for l = 0 ... L - 1: the state that a sequence leaves in a diagonal model.

    The transpose of the Vandermonde matrix of `log_vandermonde`, as in state-spaces/s4: of u reversed in time, with
    `v = Bbar`, the last state. Phases `Im(x) l` are exact. Differentiable in every tensor, by kernels that give the
    same bits every time.

    Args:
        u: (..., L), real.
        v: (..., N), complex (a real tensor is taken as complex).
        x: (..., N), the exponents, complex. Leading dims of u, v and x broadcast.
        L: The length, which is u's.
        target: What runs it; see `selective_scan`.

    Returns:
        (..., N), complex64, or complex128 if an input is of double precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((u, v, x), (L,), target)[0]


class _LogVandermondeTranspose(Op):
    name = "log_vandermonde_transpose"
    schema = "(Tensor u, Tensor v, Tensor x, SymInt L, *, str? target=None) -> Tensor"

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        u, v, x = map(require_tensor, ("u", "v", "x"), tensors)
        leading, length = _check(u, v, x, options), require_length(options[0])
        chosen = pick_target(target, tensors)
        name = complex_dtype({"u": u, "v": v, "x": x})
        sizes = {"rows": prod(leading), "poles": x.shape[-1], "seqlen": length}
        kinds = (with_real(name), name, name)
        adapters = tuple(
            matrix(index, y, leading, dtype(kind).torch)
            for index, (y, kind) in enumerate(zip((u, v, x), kinds, strict=True))
        )
        shape = (*leading, sizes["poles"])
        problem = Problem.of(self.name, sizes, name)
        return Call(problem, chosen, adapters, lambda outputs: (outputs[0].reshape(shape),))

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        u, v, x = map(require_tensor, ("u", "v", "x"), tensors)
        _check(u, v, x, options)
        kind = dtype(complex_dtype({"u": u, "v": v, "x": x})).torch
        return (reference.log_vandermonde_transpose(u, v, x, require_length(options[0]), dtype=kind),)


_call = _LogVandermondeTranspose().call


def _check(u: Tensor, v: Tensor, x: Tensor, options: Options) -> torch.Size:
    """The broadcast leading dims of a call whose arguments fit together."""
    leading = broadcast_leading({"u": u, "v": v, "x": x})
    require_same_poles(v, "x", x)
    if u.is_complex():
        raise InvalidInputError(f"u is {u.dtype}, but must be real; give real and imaginary part in turn.")
    if u.shape[-1] != require_length(options[0]):
        raise InvalidInputError(f"u has shape {tuple(u.shape)}, but its last dim must be L = {options[0]}.")
    return leading
