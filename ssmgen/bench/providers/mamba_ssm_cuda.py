"""mamba-ssm's CUDA scan and Triton decode step."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, FORWARD, Function, Inputs, TorchProvider
from ssmgen.bench.providers.plain_torch import SCAN_OPTIONS
from ssmgen.bench.task import Task

__all__ = ["MambaSsm"]


class MambaSsm(TorchProvider):
    """The functions that its modules call."""

    name = "mamba-ssm"
    summary = "mamba-ssm's CUDA scan and Triton decode step"
    modules: ClassVar = ("mamba_ssm",)
    distribution = "mamba-ssm"
    install = "pip install mamba-ssm --no-build-isolation"
    device = "cuda"
    computes: ClassVar = {"selective_scan": EVERY_MODE, "selective_state_update": FORWARD}
    takes_groups = True
    options: ClassVar = {
        "selective_scan": SCAN_OPTIONS,
        "selective_state_update": ("D", "z", "dt_bias", "softplus", "tied", "state_dtype"),
    }
    dtypes: ClassVar = ("fp32", "bf16", "fp16")

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        if task.problem.op == "selective_state_update" and task.problem["tokens"] > 1:
            return "takes one token"
        return None

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        problem = task.problem
        if problem.op == "selective_scan":
            return _selective_scan(problem.has("softplus"))
        return _update(problem.has("softplus"), problem.has("tied"))


def _selective_scan(softplus: bool) -> Function:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    def function(inputs: Inputs) -> dict[str, Tensor]:
        u = inputs["u"]
        B, C = (inputs[name].mT.to(u.dtype) for name in ("B", "C"))
        D, z, bias = (inputs.get(name) for name in ("D", "z", "delta_bias"))
        return {"out": selective_scan_fn(u, inputs["delta"], inputs["A"], B, C, D, z, bias, softplus)}

    return function


def _update(softplus: bool, tied: bool) -> Function:
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update

    def function(inputs: Inputs) -> dict[str, Tensor]:
        x, dt, B, C = (inputs[name][:, 0] for name in ("x", "dt", "B", "C"))
        A, bias = inputs["A"], inputs.get("dt_bias")
        z = None if "z" not in inputs else inputs["z"][:, 0]
        if tied:
            dt, A = dt[..., None].expand(x.shape), A[:, None, None].expand(inputs["state"].shape[1:])
            bias = None if bias is None else bias[:, None].expand(x.shape[1:])
        out = selective_state_update(inputs["state"], x, dt, A, B, C, inputs.get("D"), z, bias, softplus)
        return {"out": out[:, None]}

    return function
