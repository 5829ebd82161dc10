"""The linear scan in Triton: in order, by blocks of time with an associative scan, or in chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.interfaces import INTERFACES, is_descending
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    CHUNK_RULE,
    CHUNKS,
    MOST_BLOCKS,
    TritonVariant,
    chunk_count,
    grid_rule,
    masks,
    parameters,
    per_lane,
)
from ssmgen.kernels.triton.stages import ADDED, Loads, stage_choices, stage_rules
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["SCANS"]


class _LinearScan(TritonVariant):
    """What the variants share."""

    interface = INTERFACES["linear_scan"]

    def supports(self, problem: Problem) -> bool:
        """As many channels as a launch grid covers with the narrowest blocks."""
        return super().supports(problem) and problem["dim"] <= 16 * MOST_BLOCKS

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """The launches for these sizes; one, unless a variant makes more."""
        constants = [("BLOCK_D", config.integer("block_d"))]
        if _is_masked(problem, config) or problem.option("initial_state"):
            constants.insert(0, ("DIM", problem["dim"]))
        if "block_l" in dict(config.params):
            constants.append(("BLOCK_L", config.integer("block_l")))
        grid = (problem["batch"], _blocks(problem, config), 1)
        arguments = (*_operands(problem), *_strides(problem), "seqlen")
        return (Launch(problem.function, arguments, grid, tuple(constants), _options(config)),)

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """Scratch memory: none, unless a variant needs it."""
        return ()

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self.launches(problem, config), self.workspaces(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        backward = problem.direction == "backward"
        return {
            "stages": 1,
            **dict(problem.options),
            **dict(config.params),
            "added": "dout" if backward else "b",
            "backward": backward,
            "carried": "g" if backward else "h",
            "complex": _is_complex(problem),
            "descending": is_descending(problem),
            "function": problem.function,
            "reads": lambda outputs: _reads(problem, outputs),
            "sequences": lambda outputs: _sequences(problem, outputs),
            **masks(problem, _is_masked(problem, config)),
            "parameters": parameters(self.launches(problem, config)),
        }


def _is_complex(problem: Problem) -> bool:
    """Whether every number is a pair of reals."""
    return problem.dtype == "c64"


def _reads(problem: Problem, outputs: bool) -> list[str]:
    """The sequences that a pass reads which does, or does not, write outputs."""
    if problem.direction == "forward":
        return ["a", "b"]
    return ["a", "dout", "h"] if outputs else ["a", "dout"]


def _sequences(problem: Problem, outputs: bool) -> list[str]:
    """The sequences that such a pass reads or writes."""
    written = ["out"] if problem.direction == "forward" else ["da", "db"]
    return [*_reads(problem, outputs), *(written if outputs else [])]


def _is_masked(problem: Problem, config: Config) -> bool:
    return problem["dim"] % config.integer("block_d") != 0


def _blocks(problem: Problem, config: Config) -> int:
    return -(-problem["dim"] // config.integer("block_d"))


def _operands(problem: Problem) -> list[str]:
    return [operand.name for operand in INTERFACES["linear_scan"].operands(problem)]


def _strides(problem: Problem, outputs: bool = True) -> list[str]:
    return [
        scalar
        for operand in INTERFACES["linear_scan"].operands(problem)
        if operand.name in _sequences(problem, outputs)
        for scalar, _ in operand.strides
    ]


def _options(config: Config) -> tuple[tuple[str, int], ...]:
    return (("num_warps", config.integer("num_warps")),)


def _steps(problem: Problem) -> tuple[int, ...]:
    """Eight steps, or four where those fill the 16 bytes that a lane loads: a wider tile is shared by lanes."""
    # On sm_90, in fp32 along time: 2.6 issue slots per step with four, 13 with eight and their shuffles.
    wide = problem.option("layout") == "time" and problem.dtype in ("fp32", "c64")
    wanted = (4, 8, 2) if wide else (8, 4, 2)
    # A step of complex numbers is two columns of a tile.
    return tuple(steps // 2 if _is_complex(problem) else steps for steps in wanted)


def _unrolls(problem: Problem) -> tuple[int, ...]:
    return (1, 2, 4) if _is_complex(problem) else (1, 2, 4, 8)


_LANES = Rule(
    "lanes",
    "with fewer channels in a block than lanes, lanes do the same work twice",
    lambda problem, config, facts: per_lane(config.integer("block_d"), config, facts) >= 1,
)
_WIDTH = Rule(
    "width",
    "a block at least twice as wide as there are channels, and wider than the lanes, only adds idle work",
    lambda problem, config, facts: (
        config.integer("block_d") < 2 * problem["dim"]
        or (per_lane(config.integer("block_d"), config, facts) <= 1 and config.integer("num_warps") == 1)
    ),
)


_GRID = grid_rule(_blocks)


def _loads(problem: Problem, config: Config, facts: DeviceFacts) -> Loads:
    """What `unroll` steps load: each sequence's numbers, as tiles or step by step, parts of complex ones apart."""
    unroll, block_d = config.integer("unroll"), config.integer("block_d")
    reads, parts = len(_reads(problem, True)), 2 if _is_complex(problem) else 1
    size, lane = dtype(problem.dtype).itemsize // parts, per_lane(block_d, config, facts)
    numbers = reads * unroll * parts
    in_tiles = problem.option("layout") == "time"
    return Loads(
        problem["seqlen"] // unroll,
        reads if in_tiles else numbers,
        numbers * block_d * size,
        numbers * lane,
        size * (unroll * parts if in_tiles else lane),
    )


class Sequential(_LinearScan):
    """Channels across lanes, time in order."""

    name = "sequential"
    template = "linear_scan_sequential.py.j2"
    summary = "channels across lanes, time in order"
    rules = (_LANES, _WIDTH, _GRID, *stage_rules(_loads))
    added = ADDED

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (32, 64, 128, 256),
            "num_warps": (1, 2, 4),
            "stages": stage_choices(facts),
            "unroll": _unrolls(problem),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Narrow blocks, so that there are many, and loads in flight for several steps."""
        return {"unroll": _steps(problem)}


class Chunked(_LinearScan):
    """Time in chunks: their final states and decays, then, from the right states on, the outputs."""

    name = "chunked"
    template = "linear_scan_chunked.py.j2"
    summary = "time split into chunks, in two passes: for few channels and long sequences"
    rules = (
        _LANES,
        _WIDTH,
        _GRID,
        CHUNK_RULE,
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one chunk."""
        return super().supports(problem) and CHUNKS[0] < problem["seqlen"] <= MOST_BLOCKS * CHUNKS[-1]

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"block_d": (32, 64, 128), "chunk": CHUNKS, "num_warps": (1,), "unroll": _unrolls(problem)[1:]}

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Chunks of a few hundred steps."""
        return {"chunk": (256, 128, 64), "unroll": _steps(problem)}

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The final state and the decay of every chunk but the last."""
        parts = 2 if _is_complex(problem) else 1
        shape = (problem["batch"], chunk_count(problem, config) - 1, parts, problem["dim"])
        return (Workspace("ends", "fp32", shape), Workspace("decays", "fp32", shape))

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """A program for each chunk, in both passes."""
        batch, blocks, chunks = problem["batch"], _blocks(problem, config), chunk_count(problem, config)
        constants = (
            ("DIM", problem["dim"]),
            ("BLOCK_D", config.integer("block_d")),
            ("CHUNK", config.integer("chunk")),
        )
        inputs = [name for name in _operands(problem) if name in _sequences(problem, False)]
        position = ("seqlen",) if is_descending(problem) else ()
        return (
            Launch(
                "summarise_chunks",
                (*inputs, "ends", "decays", *_strides(problem, False), *position),
                (batch, blocks, chunks - 1),
                constants,
                _options(config),
            ),
            Launch(
                "scan_chunks",
                (*_operands(problem), "ends", "decays", *_strides(problem), "seqlen"),
                (batch, blocks, chunks),
                constants,
                _options(config),
            ),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        # In int64: a step's offset may pass 2^31 elements.
        first = "(seqlen - 1 - chunk * CHUNK)" if is_descending(problem) else "chunk * CHUNK"
        return {**super().context(problem, config), "first": first}


class Associative(_LinearScan):
    """Blocks of time by an associative scan, a carry from one to the next."""

    name = "associative"
    template = "linear_scan_associative.py.j2"
    summary = "blocks of time by an associative scan"
    rules = (
        _GRID,
        Rule(
            "numel",
            "a tile needs at least one element for each lane, and more than 16 of each spill",
            lambda problem, config, facts: (
                1 <= per_lane(config.integer("block_d") * config.integer("block_l"), config, facts) <= 16
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels only adds idle work",
            lambda problem, config, facts: config.integer("block_d") < 2 * problem["dim"],
        ),
        Rule(
            "length",
            "a block of time at least twice as long as the sequence only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_l") <= max(128, next_power_of_two(problem["seqlen"]))
            ),
        ),
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"block_d": (1, 2, 4, 8, 16), "block_l": (64, 128, 256, 512, 1024), "num_warps": (1, 2, 4)}

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One channel along time where time has unit stride, several where channels have."""
        first = (1,) if problem.option("layout") == "time" else (8, 4, 2, 1)
        return {"block_d": first, "block_l": (256, 128, 64), "num_warps": (1, 2, 4)}


class SequentialBackward(Sequential):
    """The gradients: a scan the other way, beside the states that forward gave."""

    direction = "backward"
    summary = "gradients: channels across lanes, against the scan's order"


class AssociativeBackward(Associative):
    """The gradients by blocks of time."""

    direction = "backward"
    summary = "gradients: blocks of time by an associative scan"


class ChunkedBackward(Chunked):
    """The gradients in chunks."""

    direction = "backward"
    summary = "gradients: time split into chunks, in two passes"


SCANS = (
    Sequential(),
    Associative(),
    Chunked(),
    SequentialBackward(),
    AssociativeBackward(),
    ChunkedBackward(),
)
