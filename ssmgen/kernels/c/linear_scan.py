"""The linear scan in C."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["SCANS"]

_SIZES = ("batch", "dim", "seqlen")
# Steps that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 15


def _tile_holds_vector(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("tile") >= config.integer("lanes")


class Channels(Variant):
    """Channels in vector lanes; rows along time are transposed through L1."""

    interface = INTERFACES["linear_scan"]
    language = "c"
    name = "channels"
    template = "linear_scan_channels.c.j2"
    summary = "channels in vector lanes, time in L1 tiles"
    rules = (Rule("tile", "a tile is transposed in squares as wide as a vector", _tile_holds_vector),)

    def supports(self, problem: Problem) -> bool:
        """Forward, every option."""
        return problem.direction == "forward"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"lanes": lane_choices(problem, facts), "tile": (8, 16, 32, 64, 128, 256)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The widest vectors, and tiles that fill a quarter of L1."""
        return Config.of(self.name, {"lanes": lane_choices(problem, facts)[0], "tile": 64})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES),
            **dict(problem.options),
            **dict(config.params),
            "serial_work": _SERIAL_WORK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES)


SCANS: tuple[Variant, ...] = (Channels(),)
