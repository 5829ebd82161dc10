"""The linear scan in C."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES, is_descending
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["SCANS"]

_SIZES = ("batch", "dim", "seqlen")
# Steps that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 15


def _tile_holds_vector(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("tile") >= config.integer("lanes")


_TILE = Rule("tile", "a tile is transposed in squares as wide as a vector", _tile_holds_vector)


def _splits(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("chunk") < problem["seqlen"]


def _has_idle_threads(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    blocks = -(-problem["dim"] // config.integer("lanes")) * problem["batch"]
    return blocks < 4 * facts.max_threads


class _LinearScan(Variant):
    """What the variants share: the sizes they take at run time, and the options."""

    interface = INTERFACES["linear_scan"]
    language = "c"

    def supports(self, problem: Problem) -> bool:
        """Every option of one direction."""
        return problem.direction == self.direction

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """Scratch memory: none, unless a variant needs it."""
        return ()

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES, self.workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            "backward": problem.direction == "backward",
            "complex": dtype(problem.dtype).is_complex,
            "carried": "h" if problem.direction == "forward" else "g",
            "descending": is_descending(problem),
            "function": problem.function,
            "serial_work": _SERIAL_WORK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES, self.workspaces(problem, config))


_FAR = 1 << 20  # elements of a sequence that do not lie in caches


class Channels(_LinearScan):
    """Channels in vector lanes; rows along time are transposed through L1."""

    name = "channels"
    template = "linear_scan_channels.c.j2"
    summary = "channels in vector lanes, time in L1 tiles"
    rules = (_TILE,)

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"lanes": lane_choices(problem, facts), "tile": (8, 16, 32, 64, 128, 256)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The widest vectors, and tiles that fill a quarter of L1.

        Half as wide for long rows of whole floats that come from memory: rows are often a whole number of pages apart,
        and three sequences of 16 such rows are more than L1 has ways (8 to 34% of a scan of 12 MiB, two threads).
        """
        choices = lane_choices(problem, facts)
        elements = problem["batch"] * problem["dim"] * problem["seqlen"]
        is_far = problem.option("layout") == "time" and elements >= _FAR and problem.dtype in ("fp32", "c64")
        return Config.of(
            self.name, {"lanes": choices[-1] if is_far and choices[0] > 8 else choices[0], "tile": 64}
        )


_SHORTEST_CHUNK = 256


class Chunked(_LinearScan):
    """Time in chunks, in two passes: the end and the decay of each, then the states from the right one on."""

    name = "chunked"
    template = "linear_scan_chunked.c.j2"
    summary = "time split in chunks over threads, in two passes; channels in vector lanes"
    rules = (
        _TILE,
        Rule("chunk", "a chunk as long as the sequence splits nothing", _splits),
        Rule(
            "threads",
            "two passes lose where blocks of channels alone keep all threads busy",
            _has_idle_threads,
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one chunk."""
        return super().supports(problem) and problem["seqlen"] > _SHORTEST_CHUNK

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "chunk": (_SHORTEST_CHUNK, 1024, 4096, 16384),
            "lanes": lane_choices(problem, facts),
            "tile": (16, 64),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Short chunks: many tasks for many threads."""
        lanes = lane_choices(problem, facts)[0]
        return Config.of(self.name, {"chunk": _SHORTEST_CHUNK, "lanes": lanes, "tile": 64})

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The ends of all chunks but the last in time's order: state and decay, one vector each."""
        lanes = config.integer("lanes")
        blocks = problem["batch"] * -(-problem["dim"] // lanes)
        chunks = -(-problem["seqlen"] // config.integer("chunk"))
        return (Workspace("ends", accumulate(problem.dtype), (blocks, chunks - 1, 2, lanes)),)


class ChannelsBackward(Channels):
    """The gradients: a scan the other way, beside the states that forward gave."""

    direction = "backward"
    summary = "gradients: channels in vector lanes, time in L1 tiles against the scan's order"

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Short tiles, and along time narrow vectors: five sequences are more rows than L1 has ways."""
        choices = lane_choices(problem, facts)
        lanes = choices[-1] if problem.option("layout") == "time" else choices[0]
        return Config.of(self.name, {"lanes": lanes, "tile": max(16, lanes)})


class ChunkedBackward(Chunked):
    """The gradients, in chunks."""

    direction = "backward"
    summary = "gradients: time split in chunks over threads, in two passes"


SCANS: tuple[Variant, ...] = (Channels(), Chunked(), ChannelsBackward(), ChunkedBackward())
