"""The selective scan in C: channels in vector lanes, or states in vector lanes, or time in chunks."""

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

# Elements (channel, time, state) that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 17


class _SelectiveScan(Variant):
    """What the variants share: the sizes they take at run time, and the options."""

    interface = INTERFACES["selective_scan"]
    language = "c"

    def supports(self, problem: Problem) -> bool:
        """Forward, with real states of 1 to 256."""
        return problem.direction == "forward" and 1 <= problem["d_state"] <= 256

    def sizes(self, problem: Problem) -> tuple[str, ...]:
        """The dims that the kernel takes at run time."""
        grouped = "variable" in (problem.option("B"), problem.option("C"))
        return ("batch", "dim", "seqlen", "groups") if grouped else ("batch", "dim", "seqlen")

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, self.sizes(problem)),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "grouped": "groups" in self.sizes(problem),
            "serial_work": _SERIAL_WORK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, self.sizes(problem))


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # The states of a group, six constants of exp2 and four temporaries; A may stay in memory.
    return config.integer("states") + 10 <= facts.max_registers or config["states"] == 1


def _fits_l1(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # u, delta and y of a tile; all CPUs of the last ten years have 32 KiB of L1 and want some of it for B and C.
    itemsize = 8 if problem.dtype == "fp64" else 4
    return 3 * config.integer("tile") * config.integer("lanes") * itemsize <= 24 << 10


def _libm_with_widest(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config["exp"] != "libm" or (
        config["lanes"] == lane_choices(problem, facts)[0] and config["tile"] == 64 and config["states"] in (1, 4)
    )


class Channels(_SelectiveScan):
    """Channels in vector lanes; states in registers, a group at a time, inside a tile of time."""

    name = "channels"
    template = "selective_scan_channels.c.j2"
    summary = "channels in vector lanes, groups of states in registers, time in L1 tiles"
    rules = (
        Rule("registers", "more states in registers than the CPU has are spilled at every step", _fits_registers),
        Rule("l1", "the tiles of u, delta and y must stay in L1 beside the rows of B and C", _fits_l1),
        Rule("libm", "a call per lane takes so long that the loops around it do not matter", _libm_with_widest),
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        d_state = problem["d_state"]
        return {
            "exp": ("poly", "libm"),
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4, 6, 8, 12, 16) if count <= d_state),
            "tile": (16, 32, 64, 128, 256),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Groups of four states, or as many as there are."""
        states = max(count for count in (1, 2, 4) if count <= problem["d_state"])
        lanes = lane_choices(problem, facts)[0]
        return Config.of(self.name, {"exp": "poly", "lanes": lanes, "states": states, "tile": 64})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        whole, rest = divmod(problem["d_state"], config.integer("states"))
        return {**super().context(problem, config), "whole_groups": whole, "rest": rest}


SCANS: tuple[Variant, ...] = (Channels(),)
