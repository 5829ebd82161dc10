"""The Cauchy product of S4: shapes, checks and preparation of a call."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import FLOATING, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, common_dtype, require_tensor
from ssmgen.problem import Problem

__all__ = ["cauchy_mult"]


def cauchy_mult(
    v: Tensor, z: Tensor, w: Tensor, symmetric: bool = True, *, target: str | None = None
) -> Tensor:
    """`out_l = sum_n v_n / (z_l - w_n)`, the Cauchy product that S4 computes its kernel with (arXiv 2111.00396).

    Nothing is conjugated inside, as in state-spaces/s4; the Annotated S4's products conjugate the left factor of v
    first. Sums are kept in the precision of the inputs. Differentiable in every tensor.

    Args:
        v: (..., N), the residues, complex (a real tensor is taken as complex).
        z: (..., L), the nodes, complex.
        w: (..., N), the poles, complex; their number is free. The leading dims of v, z and w broadcast.
        symmetric: Whether v and w hold one of each conjugate pair: then `conj(v_n) / (z_l - conj(w_n))` is added.
        target: What runs it; see `selective_scan`.

    Returns:
        (..., L), complex64, or complex128 if an input is of double precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((v, z, w), (bool(symmetric),), target)[0]


class _CauchyMult(Op):
    name = "cauchy_mult"
    schema = "(Tensor v, Tensor z, Tensor w, bool symmetric=True, *, str? target=None) -> Tensor"

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        v, z, w = map(require_tensor, ("v", "z", "w"), tensors)
        leading = _check(v, z, w)
        chosen = pick_target(target, tensors)
        name = _complex_dtype(v, z, w)
        sizes = {"rows": prod(leading), "poles": w.shape[-1], "nodes": z.shape[-1]}
        problem = Problem.of(self.name, sizes, name, {"symmetric": bool(options[0])})
        kind = dtype(name).torch
        adapters = tuple(Adapter(index, _matrix(x, leading, kind)) for index, x in enumerate((v, z, w)))
        shape = (*leading, sizes["nodes"])
        return Call(problem, chosen, adapters, lambda outputs: (outputs[0].reshape(shape),))

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        v, z, w = tensors
        assert v is not None and z is not None and w is not None
        kind = dtype(_complex_dtype(v, z, w)).torch
        return (reference.cauchy_mult(v, z, w, bool(options[0]), dtype=kind),)


_call = _CauchyMult().call


def _check(v: Tensor, z: Tensor, w: Tensor) -> torch.Size:
    """The broadcast leading dims of a call whose shapes fit together."""
    for name, x in (("v", v), ("z", z), ("w", w)):
        if x.ndim == 0 or x.numel() == 0:
            raise InvalidInputError(f"{name} has shape {tuple(x.shape)}; every size must be at least 1.")
    if v.shape[-1] != w.shape[-1]:
        raise InvalidInputError(
            f"v and w must hold as many poles, but v is {tuple(v.shape)} and w is {tuple(w.shape)}."
        )
    try:
        return torch.Size(torch.broadcast_shapes(v.shape[:-1], z.shape[:-1], w.shape[:-1]))
    except RuntimeError:
        raise InvalidInputError(
            "the leading dims of v, z and w do not broadcast: "
            f"{tuple(v.shape[:-1])}, {tuple(z.shape[:-1])}, {tuple(w.shape[:-1])}."
        ) from None


def _complex_dtype(v: Tensor, z: Tensor, w: Tensor) -> str:
    name = common_dtype({"v": v, "z": z, "w": w}, FLOATING)
    return "c128" if name in ("fp64", "c128") else "c64"


def _matrix(x: Tensor, leading: torch.Size, kind: torch.dtype) -> Callable[[Tensor], Tensor] | None:
    """What turns a tensor into (rows, last) with unit stride along the last dim; shared rows stay shared."""
    if (
        x.ndim == 2
        and len(leading) == 1
        and x.shape[0] == leading[0]
        and x.dtype == kind
        and x.stride(1) == 1
    ):
        return None

    rows = prod(leading)

    def convert(x: Tensor) -> Tensor:
        x = x.to(kind)
        if x.stride(-1) != 1:
            x = x.contiguous()
        return x.expand(*leading, -1).reshape(rows, -1)

    return convert
