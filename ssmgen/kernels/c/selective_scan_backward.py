"""The gradients of the selective scan in C."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES, STATE_BLOCK, sequence_batches
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["SCANS", "STREAMED_BYTES"]

# Elements (channel, time, state) that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 16
# Gradients of this size go past the caches: beside the operands they would not stay there, and a line that is written
# whole need not be read before: 11% of a pass over 12 MiB each.
STREAMED_BYTES = 8 << 20
_INTERVALS = (16, 32, 64)
_WIDEST = 64  # bytes of AVX-512's vectors
# Bytes between the rows of two threads: a page, where older prefetchers stop. Those of AVX-512 machines may
# go on, and take from the neighbour the lines it is about to write: a Zen 5 takes 9 ms, in some processes 18, where
# 16 KiB give 7.5.
_PAGE, _PAGES = 4096, 16384


def _itemsize(problem: Problem) -> int:
    """Bytes of the reals that sums are kept in."""
    return 8 if problem.dtype == "fp64" else 4


def _apart(problem: Problem, config: Config) -> int:
    return _PAGES if config.integer("lanes") * _itemsize(problem) == _WIDEST else _PAGE


def _team_fits(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # A, g, dA and, where they are constant, B, C and their gradients, of every state.
    constant = sum(problem.option(name) == "constant" for name in ("B", "C"))
    planes = problem["d_state"] * (2 if problem.has("complex") else 1) * (3 + 2 * constant)
    size = config.integer("blocks") * config.integer("lanes") * planes * _itemsize(problem)
    return config["blocks"] == 1 or size <= 128 << 10


def _team_is_full(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    width = problem["dim"] // problem["groups"]
    return (config.integer("blocks") - 1) * config.integer("lanes") < width


def _groups(problem: Problem, config: Config) -> tuple[int, tuple[int, ...]]:
    """How many whole groups of states there are, and the states of those that take the rest: powers of two."""
    whole, rest = divmod(problem["d_state"], config.integer("states"))
    return whole, tuple(count for count in (2, 1) if rest & count)


def _planes(problem: Problem, count: int) -> int:
    return count * (2 if problem.has("complex") else 1)


def _fold(problem: Problem, config: Config, count: int) -> int:
    """How many planes of a group of states share a vector of sums over channels."""
    return min(_planes(problem, count), 4, config.integer("lanes"))


def _vectors(problem: Problem, config: Config) -> int:
    """Vectors of sums over channels for each step: of all groups of states."""
    whole, rests = _groups(problem, config)
    counts = (config.integer("states"),) * whole + rests
    return sum(_planes(problem, count) // _fold(problem, config, count) for count in counts)


class Channels(Variant):
    """Channels in vector lanes; a tile of time forward, from the state that was saved, and back.

    B and C are shared by channels, so their gradients are sums over channels: a team of blocks adds them up in lanes,
    and lanes, teams and batches are added afterwards, always in the same order.
    """

    interface = INTERFACES["selective_scan"]
    name = "channels"
    language = "c"
    direction = "backward"
    template = "selective_scan_backward_channels.c.j2"
    summary = "channels in vector lanes; each tile forward from its saved state, then back"
    rules = (
        Rule("team", "what all blocks of a team carry from tile to tile must stay in L2", _team_fits),
        Rule("width", "a team holds no more blocks than there are channels for", _team_is_full),
    )

    def supports(self, problem: Problem) -> bool:
        """Backward from saved states, 1 to 256 of them."""
        return (
            problem.direction == "backward"
            and problem.option("saved") in _INTERVALS
            and 1 <= problem["d_state"] <= 256
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "blocks": (1, 2, 4, 8, 16),
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4) if count <= problem["d_state"]),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Wide vectors, four states at a time; teams as large as leave two for each thread."""
        lanes, states = lane_choices(problem, facts)[0], max(self.choices(problem, facts)["states"])
        for blocks in (8, 4, 2):
            config = Config.of(self.name, {"blocks": blocks, "lanes": lanes, "states": states})
            busy = problem["batch"] * problem["dim"] >= 2 * facts.max_threads * blocks * lanes
            if busy and self.broken_rule(problem, config, facts) is None:
                return config
        return Config.of(self.name, {"blocks": 1, "lanes": lanes, "states": states})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        whole, rests = _groups(problem, config)
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, self._sizes(problem), self._workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            "exp": "poly",
            "tile": problem.option("saved"),
            "d_state": problem["d_state"],
            "apart": _apart(problem, config),
            "grouped": "groups" in self._sizes(problem),
            "serial_work": _SERIAL_WORK,
            "streamed_from": STREAMED_BYTES // dtype(problem.dtype).itemsize,
            "state_block": STATE_BLOCK,
            "whole_groups": whole,
            "rests": rests,
            "folds": {count: _fold(problem, config, count) for count in (config.integer("states"), *rests)},
            "vectors": _vectors(problem, config),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, self._sizes(problem), self._workspaces(problem, config))

    def _sizes(self, problem: Problem) -> tuple[str, ...]:
        grouped = "variable" in (problem.option("B"), problem.option("C"))
        return ("batch", "dim", "seqlen", "groups") if grouped else ("batch", "dim", "seqlen")

    def _workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """What each batch sums over time, and what each team sums over its channels."""
        real = accumulate(problem.dtype)
        states, batch = problem["d_state"] * (2 if problem.has("complex") else 1), problem["batch"]
        variable = [name for name in ("B", "C") if problem.option(name) == "variable"]
        planes = (3 - len(variable)) * states + problem.has("D") + problem.has("delta_bias")
        found = [Workspace("sums", real, (batch, planes, problem["dim"]))]
        if variable:
            width = config.integer("blocks") * config.integer("lanes")
            teams = problem["groups"] * -(-(problem["dim"] // problem["groups"]) // width)
            shape = (sequence_batches(problem), teams, len(variable), problem["seqlen"], states)
            found.append(Workspace("partial", real, shape))
            # Sums over the blocks of a team, in lanes, for each step of a tile.
            lanes, tile = config.integer("lanes"), int(problem.option("saved"))
            apart = _apart(problem, config) // _itemsize(problem)
            rows = len(variable) * tile * _vectors(problem, config) * lanes + apart
            found.append(Workspace("rows", real, (problem["batch"] * teams, rows)))
        return tuple(found)


SCANS: tuple[Variant, ...] = (Channels(),)
