"""The Cauchy product of S4: shapes, checks and preparation of a call."""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import dtype, with_real
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Call
from ssmgen.ops.op import Op, Options, require_tensor
from ssmgen.ops.poles import broadcast_leading, complex_dtype, matrix, require_same_poles
from ssmgen.problem import Problem

__all__ = ["cauchy_mult"]

_NODES = ("complex", "imaginary")


def cauchy_mult(
    v: Tensor,
    z: Tensor,
    w: Tensor,
    symmetric: bool = True,
    *,
    nodes: Literal["complex", "imaginary"] = "complex",
    target: str | None = None,
) -> Tensor:
    """`out_l = sum_n v_n / (z_l - w_n)`, the Cauchy product that S4 computes its kernel with (arXiv 2111.00396).

    Nothing is conjugated inside, as in state-spaces/s4; the Annotated S4's products conjugate the left factor of v
    first. Sums are kept in the precision of the inputs; in complex64 poles should lie between 1e-5 and 1e5 in size,
    as those of models in units of a second or a step do. Differentiable in every tensor, by kernels that give the same
    bits every time.

    Args:
        v: (..., N), the residues, complex (a real tensor is taken as complex).
        z: (..., L), the nodes, complex; with `nodes="imaginary"` real: y, for nodes i y.
        w: (..., N), the poles, complex; their number is free. The leading dims of v, z and w broadcast.
        symmetric: Whether v and w hold one of each conjugate pair: then `conj(v_n) / (z_l - conj(w_n))` is added.
        nodes: `imaginary` says that the real parts of all nodes are 0, as S4's are: it takes three quarters of
            the arithmetic, and z half of the memory.
        target: What runs it; see `selective_scan`.

    Returns:
        (..., L), complex64, or complex128 if an input is of double precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((v, z, w), (bool(symmetric), nodes), target)[0]


class _CauchyMult(Op):
    name = "cauchy_mult"
    schema = "(Tensor v, Tensor z, Tensor w, bool symmetric=True, *, str nodes='complex', str? target=None) -> Tensor"

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        v, z, w = map(require_tensor, ("v", "z", "w"), tensors)
        leading, (symmetric, nodes) = _check(v, z, w, options), options
        chosen = pick_target(target, tensors)
        name = complex_dtype({"v": v, "z": z, "w": w})
        sizes = {"rows": prod(leading), "poles": w.shape[-1], "nodes": z.shape[-1]}
        problem = Problem.of(
            self.name,
            sizes,
            name,
            {"symmetric": bool(symmetric), "imaginary": nodes == "imaginary", "dz": False},
        )
        kinds = (name, name if nodes == "complex" else with_real(name), name)
        adapters = tuple(
            matrix(index, x, leading, dtype(kind).torch)
            for index, (x, kind) in enumerate(zip((v, z, w), kinds, strict=True))
        )
        shape = (*leading, sizes["nodes"])
        return Call(problem, chosen, adapters, lambda outputs: (outputs[0].reshape(shape),))

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        v, z, w = map(require_tensor, ("v", "z", "w"), tensors)
        _check(v, z, w, options)
        kind = dtype(complex_dtype({"v": v, "z": z, "w": w})).torch
        if options[1] == "imaginary":
            z = torch.complex(torch.zeros_like(z), z)
        return (reference.cauchy_mult(v, z, w, bool(options[0]), dtype=kind),)


_call = _CauchyMult().call


def _check(v: Tensor, z: Tensor, w: Tensor, options: Options) -> torch.Size:
    """The broadcast leading dims of a call whose arguments fit together."""
    leading = broadcast_leading({"v": v, "z": z, "w": w})
    require_same_poles(v, "w", w)
    if options[1] not in _NODES:
        raise InvalidInputError(f"nodes must be one of {', '.join(_NODES)}, not {options[1]!r}.")
    if options[1] == "imaginary" and z.is_complex():
        raise InvalidInputError(
            f"z is {z.dtype}; with nodes='imaginary' it holds the real y of nodes i y: pass z.imag."
        )
    return leading
