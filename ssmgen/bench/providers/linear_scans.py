"""Linear scans of GPUs by others: accelerated-scan's, and the one inside flash-linear-attention's HGRN."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssmgen.bench.provider import EVERY_MODE, Function, Inputs, TorchProvider
from ssmgen.bench.task import Task
from ssmgen.problem import next_power_of_two

__all__ = ["AcceleratedScan", "Fla"]


class AcceleratedScan(TorchProvider):
    """One warp after another along time."""

    name = "accelerated-scan"
    summary = "accelerated-scan's warp-level CUDA scan"
    modules: ClassVar = ("accelerated_scan",)
    distribution = "accelerated-scan"
    install = "pip install accelerated-scan"
    device = "cuda"
    computes: ClassVar = {"linear_scan": EVERY_MODE}
    options: ClassVar = {}
    dtypes: ClassVar = ("fp32", "bf16", "fp16")

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        length = task.problem["seqlen"]
        if length != next_power_of_two(length) or not 32 <= length <= 1 << 16:
            return "takes lengths that are powers of two from 32 to 65536"
        return None

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        from accelerated_scan.warp import scan

        return lambda inputs: {"out": scan(inputs["a"].contiguous(), inputs["b"].contiguous())}


class Fla(TorchProvider):
    """It takes the logarithm of the decay, so it is told that."""

    name = "fla"
    summary = "flash-linear-attention's fused recurrence of HGRN, which takes log a"
    modules: ClassVar = ("fla",)
    distribution = "flash-linear-attention"
    install = "pip install flash-linear-attention"
    device = "cuda"
    computes: ClassVar = {"linear_scan": EVERY_MODE}
    options: ClassVar = {}
    dtypes: ClassVar = ("fp32", "bf16", "fp16")

    def note(self, task: Task) -> str:
        """See `Provider.note`."""
        return "with the logarithm of a, which it takes, and transposed copies"

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        from fla.ops.hgrn import fused_recurrent_hgrn

        def function(inputs: Inputs) -> dict[str, Tensor]:
            out, _ = fused_recurrent_hgrn(inputs["b"].mT.contiguous(), inputs["a"].mT.log().contiguous())
            return {"out": out.mT}

        return function
