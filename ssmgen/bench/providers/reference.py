"""ssmgen's own reference in PyTorch."""

from __future__ import annotations

from torch import Tensor

from ssmgen.bench.provider import Function, Inputs, TorchProvider
from ssmgen.bench.task import Task, compute
from ssmgen.dtypes import dtype
from ssmgen.kernels import interface

__all__ = ["Reference"]


class Reference(TorchProvider):
    """What kernels are verified against, in the precision that they accumulate in."""

    name = "reference"
    summary = "ssmgen's own reference in PyTorch: checkpoints and blocks keep its memory linear"

    def refuses(self, task: Task, device: str) -> str | None:
        """It takes whatever there is."""
        return None

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        problem, stored = task.problem, dtype(task.problem.dtype)

        def function(inputs: Inputs) -> dict[str, Tensor]:
            found = compute(problem, inputs, task.dtype)
            for operand in interface(problem.op).operands(problem):
                if operand.updated:
                    inputs[operand.name].copy_(found.pop(operand.name))
            if not stored.is_complex:
                found["out"] = found["out"].to(stored.torch)
            return found

        return function
