"""mambapy: Mamba in plain PyTorch, by a parallel scan (Blelloch's)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, Function, Inputs, TorchProvider
from ssmgen.bench.providers.plain_torch import SCAN_OPTIONS
from ssmgen.bench.task import Task

__all__ = ["Mambapy"]


class Mambapy(TorchProvider):
    """Its functions take (batch, seqlen, dim)."""

    name = "mambapy"
    summary = "mambapy's pscan in PyTorch"
    modules: ClassVar = ("mambapy",)
    distribution = "mambapy"
    install = "pip install mambapy"
    computes: ClassVar = {"selective_scan": EVERY_MODE, "linear_scan": EVERY_MODE}
    options: ClassVar = {"selective_scan": SCAN_OPTIONS}
    dtypes: ClassVar = ("fp32",)

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        return (
            _selective_scan(task.problem.has("softplus"))
            if task.problem.op == "selective_scan"
            else _linear_scan
        )


def _selective_scan(softplus: bool) -> Function:
    from mambapy.mamba import MambaBlock

    def function(inputs: Inputs) -> dict[str, Tensor]:
        u, delta = inputs["u"].mT, inputs["delta"].mT
        if "delta_bias" in inputs:
            delta = delta + inputs["delta_bias"]
        if softplus:
            delta = F.softplus(delta)
        D = inputs["D"] if "D" in inputs else u.new_zeros(())
        # The method looks at nothing of its object.
        out = MambaBlock.selective_scan(None, u, delta, inputs["A"], inputs["B"][:, 0], inputs["C"][:, 0], D)
        if "z" in inputs:
            out = out * F.silu(inputs["z"].mT)
        return {"out": out.mT}

    return function


def _linear_scan(inputs: Inputs) -> dict[str, Tensor]:
    from mambapy.pscan import pscan

    a, b = (inputs[name].mT[..., None] for name in ("a", "b"))
    return {"out": pscan(a, b)[..., 0].mT}
