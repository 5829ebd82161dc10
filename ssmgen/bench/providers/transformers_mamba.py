"""transformers' slow path: what a Mamba runs on where its kernels are not installed."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, FORWARD, Function, Inputs, TorchProvider
from ssmgen.bench.providers.plain_torch import SCAN_OPTIONS
from ssmgen.bench.task import Task

__all__ = ["Transformers"]


class Transformers(TorchProvider):
    """The functions that its Mamba calls; they are functions since version 5."""

    name = "transformers"
    summary = "the slow path of transformers' Mamba"
    modules: ClassVar = ("transformers",)
    distribution = "transformers"
    install = "pip install 'transformers>=5'"
    computes: ClassVar = {"selective_scan": EVERY_MODE, "selective_state_update": FORWARD}
    options: ClassVar = {
        "selective_scan": SCAN_OPTIONS,
        "selective_state_update": ("D", "z", "dt_bias", "softplus", "state_dtype"),
    }

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        problem = task.problem
        step = problem.op == "selective_state_update"
        if step and max(problem["tokens"], problem["heads"], problem["groups"]) > 1:
            return "takes one token, and has no heads"
        return None

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        softplus = task.problem.has("softplus")
        return _selective_scan(softplus) if task.problem.op == "selective_scan" else _update(softplus)


def _selective_scan(softplus: bool) -> Function:
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    def function(inputs: Inputs) -> dict[str, Tensor]:
        u, delta, A = (inputs[name] for name in ("u", "delta", "A"))
        B, C = (inputs[name][:, 0].mT.to(u.dtype) for name in ("B", "C"))
        D, z, bias = (inputs.get(name) for name in ("D", "z", "delta_bias"))
        return {"out": mamba_selective_scan(u, delta, A, B, C, D, z, bias, softplus)}

    return function


def _update(softplus: bool) -> Function:
    from transformers.models.mamba.modeling_mamba import mamba_selective_state_update

    def function(inputs: Inputs) -> dict[str, Tensor]:
        x, dt, B, C = (inputs[name][:, 0, 0] for name in ("x", "dt", "B", "C"))
        D, bias = (None if name not in inputs else inputs[name][0] for name in ("D", "dt_bias"))
        z = None if "z" not in inputs else inputs["z"][:, 0, 0]
        # The state has no heads there; the view is of the same memory.
        state, A = inputs["state"][:, 0], inputs["A"][0]
        out = mamba_selective_state_update(state, x, dt, A, B, C, D, bias, softplus, z)
        return {"out": out[:, None, None]}

    return function
