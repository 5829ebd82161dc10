"""The Vandermonde product of S4D: shapes, checks and preparation of a call."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import dtype
from ssmgen.ops.launch import Call
from ssmgen.ops.op import Op, Options, require_tensor
from ssmgen.ops.poles import broadcast_leading, complex_dtype, matrix, require_length, require_same_poles
from ssmgen.problem import Problem

__all__ = ["log_vandermonde"]


def log_vandermonde(v: Tensor, x: Tensor, L: int, *, target: str | None = None) -> Tensor:
    """`out_l = 2 Re sum_n v_n exp(x_n l)` for l = 0 ... L - 1: the kernel of a diagonal model (S4D, arXiv 2206.11893).

    v and x hold one of each conjugate pair, as in state-spaces/s4. Phases `Im(x) l` are exact, however many turns they
    are. Differentiable in v and x, by kernels that give the same bits every time.

    Args:
        v: (..., N), the residues, complex (a real tensor is taken as complex).
        x: (..., N), the exponents, complex: of a discretised model `step * Lambda`. Leading dims broadcast.
        L: The length, at least 1.
        target: What runs it; see `selective_scan`.

    Returns:
        (..., L), float32, or float64 if an input is of double precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((v, x), (L,), target)[0]


class _LogVandermonde(Op):
    name = "log_vandermonde"
    schema = "(Tensor v, Tensor x, SymInt L, *, str? target=None) -> Tensor"

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        v, x = map(require_tensor, ("v", "x"), tensors)
        leading, length = _check(v, x), require_length(options[0])
        chosen = pick_target(target, tensors)
        name = complex_dtype({"v": v, "x": x})
        sizes = {"rows": prod(leading), "poles": x.shape[-1], "seqlen": length}
        kind = dtype(name).torch
        adapters = tuple(matrix(index, y, leading, kind) for index, y in enumerate((v, x)))
        shape = (*leading, length)
        problem = Problem.of(self.name, sizes, name)
        return Call(problem, chosen, adapters, lambda outputs: (outputs[0].reshape(shape),))

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        v, x = map(require_tensor, ("v", "x"), tensors)
        _check(v, x)
        kind = dtype(complex_dtype({"v": v, "x": x})).torch
        return (reference.log_vandermonde(v, x, require_length(options[0]), dtype=kind),)


_call = _LogVandermonde().call


def _check(v: Tensor, x: Tensor) -> torch.Size:
    """The broadcast leading dims of a call whose tensors fit together."""
    leading = broadcast_leading({"v": v, "x": x})
    require_same_poles(v, "x", x)
    return leading
