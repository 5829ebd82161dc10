"""Mamba-2's scan in C: the recurrence itself, a few states at a time in registers."""

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

# State elements that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 18
_SIZES = ("batch", "seqlen", "heads", "dim", "groups")


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # The states, the sums and inputs of a step, the decay, and B and C of a state.
    vectors = config.integer("vectors")
    return vectors * (config.integer("states") + 2) + 3 <= facts.max_registers


def _is_no_wider(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    lanes = config.integer("lanes")
    widest = -(-problem["dim"] // lanes) * lanes
    return config["vectors"] == 1 or config.integer("vectors") * lanes <= widest


class Recurrent(Variant):
    """Channels in lanes; a few states walk through a tile of steps in registers, then the next ones do."""

    interface = INTERFACES["ssd"]
    language = "c"
    name = "recurrent"
    template = "ssd_recurrent.c.j2"
    summary = "channels of a head in vector lanes, groups of states in registers, time in L1 tiles"
    rules = (
        Rule("registers", "more than the CPU's registers are spilled at every step", _fits_registers),
        Rule("width", "vectors beyond the channels of a head only add idle work", _is_no_wider),
    )

    def supports(self, problem: Problem) -> bool:
        """Forward, with up to 256 states; sequences are packed in one way or the other."""
        both = problem.has("varlen") and problem.has("packed")
        return problem.direction == "forward" and 1 <= problem["d_state"] <= 256 and not both

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4, 8) if count <= problem["d_state"]),
            "tile": (16, 32, 64),
            "vectors": (1, 2, 4),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """What holds most of the state in registers; of as much, the most channels."""
        found = []
        lanes = lane_choices(problem, facts)[0]
        choices = self.choices(problem, facts)
        for vectors in choices["vectors"]:
            for states in choices["states"]:
                config = Config.of(
                    self.name, {"lanes": lanes, "states": states, "tile": 32, "vectors": vectors}
                )
                if self.broken_rule(problem, config, facts) is None:
                    found.append(config)
        return max(
            found,
            key=lambda config: (config.integer("vectors") * config.integer("states"), config["vectors"]),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "serial_work": _SERIAL_WORK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES)


SCANS: tuple[Variant, ...] = (Recurrent(),)
