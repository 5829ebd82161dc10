"""KeOps: sums over pairs, compiled from a formula; what state-spaces/s4 falls back on without its extension."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, Function, Inputs, TorchProvider
from ssmgen.bench.providers.plain_torch import complex_nodes
from ssmgen.bench.task import Task

__all__ = ["Keops"]


class Keops(TorchProvider):
    """Numbers are pairs of reals there; a Cauchy term of a conjugate pair has one division."""

    name = "pykeops"
    summary = "KeOps' compiled reductions, with autograd"
    modules: ClassVar = ("pykeops",)
    distribution = "pykeops"
    install = "pip install pykeops"
    computes: ClassVar = {"cauchy_mult": EVERY_MODE, "log_vandermonde": EVERY_MODE}
    options: ClassVar = {"cauchy_mult": ("imaginary",)}
    dtypes: ClassVar = ("c64",)

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        return _cauchy() if task.problem.op == "cauchy_mult" else _vandermonde(task.problem["seqlen"])


def _pairs(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()).contiguous()


def _cauchy() -> Function:
    from pykeops.torch import Genred

    # v / (z - w) + conj(v) / (z - conj(w)) = 2 (z Re v - Re(v conj(w))) / ((z - w) (z - conj(w)))
    numerator = "z * ComplexReal(v) - Real2Complex(Sum(v * w))"
    denominator = "ComplexMult(z - w, z - Conj(w))"
    # KeOps sums over j: batches of rows, nodes as i, poles as j.
    variables = ["v = Vj(2)", "z = Vi(2)", "w = Vj(2)"]
    product = Genred(f"ComplexDivide({numerator}, {denominator})", variables, reduction_op="Sum", axis=1)

    def function(inputs: Inputs) -> dict[str, Tensor]:
        v, z, w = (_pairs(x) for x in (inputs["v"], complex_nodes(inputs), inputs["w"]))
        return {"out": 2 * torch.view_as_complex(product(v, z, w))}

    return function


def _vandermonde(seqlen: int) -> Function:
    from pykeops.torch import Genred

    variables = ["v = Vj(2)", "x = Vj(2)", "l = Vi(2)"]
    product = Genred("ComplexMult(v, ComplexExp(ComplexMult(x, l)))", variables, reduction_op="Sum", axis=1)

    def function(inputs: Inputs) -> dict[str, Tensor]:
        v, x = _pairs(inputs["v"]), _pairs(inputs["x"])
        steps = torch.arange(seqlen, dtype=torch.float32, device=x.device).to(torch.complex64)
        # The same for all rows; KeOps broadcasts batches.
        return {"out": 2 * product(v, x, torch.view_as_real(steps)[None])[..., 0]}

    return function
