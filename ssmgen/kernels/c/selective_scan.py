"""The selective scan in C: channels in vector lanes, or states in vector lanes, or time in chunks."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate
from ssmgen.kernels.c.vectors import (
    STATES_RULE,
    arguments,
    lane_choices,
    lanes_for_states,
    program,
    vector_context,
)
from ssmgen.kernels.interfaces import INTERFACES, STATE_BLOCK, row_groups, sequence_batches
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["SCANS"]

# Elements (channel, time, state) that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 17
_TILES = (16, 32, 64, 128, 256)


class _SelectiveScan(Variant):
    """What the variants share: the sizes they take at run time, and the options."""

    interface = INTERFACES["selective_scan"]
    language = "c"

    def supports(self, problem: Problem) -> bool:
        """Forward, with 1 to 256 states, saved at the start of tiles: at multiples of a vector's length, if at all."""
        is_saved_by_tile = int(problem.option("saved")) in (0, *_TILES[:-1])
        return problem.direction == "forward" and 1 <= problem["d_state"] <= 256 and is_saved_by_tile

    def sizes(self, problem: Problem) -> tuple[str, ...]:
        """The dims that the kernel takes at run time."""
        grouped = "variable" in (problem.option("B"), problem.option("C"))
        return ("batch", "dim", "seqlen", "groups") if grouped else ("batch", "dim", "seqlen")

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """Scratch memory: none, unless a variant needs it."""
        return ()

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, self.sizes(problem), self.workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "grouped": "groups" in self.sizes(problem),
            "serial_work": _SERIAL_WORK,
            "state_block": STATE_BLOCK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, self.sizes(problem), self.workspaces(problem, config))


def _tiles(problem: Problem, choices: tuple[int, ...]) -> tuple[int, ...]:
    """States are saved at the start of tiles: whole numbers of them make up the interval."""
    saved = int(problem.option("saved"))
    return tuple(tile for tile in choices if saved % tile == 0) or (saved,)


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # The states of a group, six constants of exp2 and four temporaries; A may stay in memory.
    reals = config.integer("states") * (2 if problem.has("complex") else 1)
    return reals + 10 <= facts.max_registers or config["states"] == 1


def _fits_l1(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # u, delta and y of a tile; all CPUs of the last ten years have 32 KiB of L1 and want some of it for B and C.
    itemsize = 8 if problem.dtype == "fp64" else 4
    return 3 * config.integer("tile") * config.integer("lanes") * itemsize <= 24 << 10


def _libm_with_widest(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config["exp"] != "libm" or (
        config["lanes"] == lane_choices(problem, facts)[0]
        and config["tile"] == 64
        and config["states"] in (1, 4)
    )


class Channels(_SelectiveScan):
    """Channels in vector lanes; states in registers, a group at a time, inside a tile of time."""

    name = "channels"
    template = "selective_scan_channels.c.j2"
    summary = "channels in vector lanes, groups of states in registers, time in L1 tiles"
    rules = (
        Rule(
            "registers",
            "more states in registers than the CPU has are spilled at every step",
            _fits_registers,
        ),
        Rule("l1", "the tiles of u, delta and y must stay in L1 beside the rows of B and C", _fits_l1),
        Rule(
            "libm", "a call per lane takes so long that the loops around it do not matter", _libm_with_widest
        ),
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        d_state = problem["d_state"]
        return {
            "exp": ("poly", "libm"),
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4, 6, 8, 12, 16) if count <= d_state),
            "tile": _tiles(problem, tuple(sorted({lane_choices(problem, facts)[0], *_TILES}))),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Wide vectors; tiles that are squares, and read ahead, or so long that reloading states does not count."""
        lanes, states = lane_choices(problem, facts)[0], _default_states(problem, facts)
        tile = _tiles(problem, (lanes if problem.option("layout") == "time" else 64,))[0]
        return Config.of(self.name, {"exp": "poly", "lanes": lanes, "states": states, "tile": tile})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        whole, rest = divmod(problem["d_state"], config.integer("states"))
        return {**super().context(problem, config), "whole_groups": whole, "rest": rest}


def _default_states(problem: Problem, facts: DeviceFacts) -> int:
    """Half of the registers' worth of states, or as many as there are."""
    wanted = (8 if facts.max_registers >= 32 else 4) // (2 if problem.has("complex") else 1)
    return max(count for count in (1, 2, 4, 8) if count <= min(wanted, problem["d_state"]))


class States(_SelectiveScan):
    """States in vector lanes, one channel after another: what a few channels leave to do."""

    name = "states"
    template = "selective_scan_states.c.j2"
    summary = "states in vector lanes, one channel at a time; sums over states by transposition"
    rules = (STATES_RULE,)

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"lanes": lane_choices(problem, facts)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The narrowest vectors that hold all states, else the widest."""
        return Config.of(self.name, {"lanes": lanes_for_states(problem, facts)})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        vectors = -(-problem["d_state"] // config.integer("lanes"))
        return {**super().context(problem, config), "vectors": vectors}


_SHORTEST_CHUNK = 256


def _splits(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("chunk") < problem["seqlen"]


def _channel_blocks(problem: Problem, config: Config) -> int:
    """Blocks of channels of one sequence, none of which crosses groups."""
    groups = row_groups(problem)
    return groups * -(-(problem["dim"] // groups) // config.integer("lanes"))


def _has_idle_threads(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return problem["batch"] * _channel_blocks(problem, config) < 4 * facts.max_threads


class Chunked(_SelectiveScan):
    """Time in chunks, in two passes: the state at the end of each, then the outputs from the right state on."""

    name = "chunked"
    template = "selective_scan_chunked.c.j2"
    summary = "time split in chunks over threads, in two passes; channels in vector lanes"
    rules = (
        Rule("chunk", "a chunk as long as the sequence splits nothing", _splits),
        Rule(
            "threads",
            "two passes lose where blocks of channels alone keep all threads busy",
            _has_idle_threads,
        ),
        Rule(
            "registers",
            "more states in registers than the CPU has are spilled at every step",
            _fits_registers,
        ),
        Rule("l1", "the tiles of u, delta and y must stay in L1 beside the rows of B and C", _fits_l1),
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one chunk; packed ones may be, all together."""
        return super().supports(problem) and problem["seqlen"] > _SHORTEST_CHUNK

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "chunk": (_SHORTEST_CHUNK, 512, 1024, 2048, 4096),
            "exp": ("poly",),
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4, 8, 16) if count <= problem["d_state"]),
            "tile": _tiles(problem, (32, 64)),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Short chunks: many tasks for many threads."""
        lanes = lane_choices(problem, facts)[0]
        states = _default_states(problem, facts)
        params: dict[str, Value] = {"chunk": _SHORTEST_CHUNK, "exp": "poly", "lanes": lanes}
        return Config.of(self.name, {**params, "states": states, "tile": _tiles(problem, (64,))[0]})

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The ends of all chunks but the last, states and the sum of delta; of packed sequences, of all numbers.

        Chunk c of packed sequence b has the number start // chunk + b + c, as in `state_slots`.
        """
        lanes, chunk = config.integer("lanes"), config.integer("chunk")
        batch, seqlen = problem["batch"], problem["seqlen"]
        blocks = sequence_batches(problem) * _channel_blocks(problem, config)
        chunks = seqlen // chunk + batch if problem.has("varlen") else -(-seqlen // chunk) - 1
        planes = (problem["d_state"] + 1) * (2 if problem.has("complex") else 1)
        return (Workspace("ends", accumulate(problem.dtype), (blocks, chunks, planes, lanes)),)

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        whole, rest = divmod(problem["d_state"], config.integer("states"))
        return {**super().context(problem, config), "whole_groups": whole, "rest": rest}


SCANS: tuple[Variant, ...] = (Channels(), States(), Chunked())
