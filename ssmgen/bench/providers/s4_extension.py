"""The CUDA extension of state-spaces/s4: its Cauchy product."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task
from ssmgen.problem import next_power_of_two

__all__ = ["S4Extension"]


class S4Extension(Provider):
    """All rows share their nodes there, so poles and residues are brought to those of the first row."""

    name = "s4"
    summary = "the CUDA extension of state-spaces/s4"
    modules: ClassVar = ("structured_kernels",)
    install = "python setup.py install, in extensions/kernels of a checkout of state-spaces/s4"
    device = "cuda"
    computes: ClassVar = {"cauchy_mult": FORWARD}
    options: ClassVar = {}
    dtypes: ClassVar = ("c64",)

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        poles = task.problem["poles"]
        if poles != next_power_of_two(poles) or not 2 <= poles <= 1024:
            return "takes 2 to 1024 poles, a power of two of them"
        return None

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        from structured_kernels import cauchy_mult_sym_fwd

        # v / (r z - w) = (v / r) / (z - w / r): nodes of one row are those of another times a number.
        z = inputs["z"]
        ratio = (z[:, -1] / z[0, -1]).real[:, None]
        shared: dict[str, Tensor] = {
            "v": (inputs["v"] / ratio).contiguous(),
            "z": z[0].contiguous(),
            "w": (inputs["w"] / ratio).contiguous(),
        }
        return FunctionCall(
            task, lambda inputs: {"out": cauchy_mult_sym_fwd(inputs["v"], inputs["z"], inputs["w"])}, shared
        )
