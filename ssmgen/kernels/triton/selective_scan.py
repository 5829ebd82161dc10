"""The selective scan in Triton with one vector over the channels for each state, one step after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.interfaces import INTERFACES, row_groups, state_slots
from ssmgen.kernels.polynomials import COS_FLOAT, EXP2_FLOAT, SIN_FLOAT
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    CHUNK_RULE,
    CHUNKS,
    EXP_RULE,
    MOST_BLOCKS,
    POLY_RULE,
    TritonVariant,
    chunk_count,
    exp_choices,
    grid_rule,
    masks,
    parameters,
    per_lane,
    poly_choices,
)
from ssmgen.kernels.triton.stages import ADDED, Loads, stage_choices, stage_rules
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = [
    "Chunked",
    "SelectiveScan",
    "Sequential",
    "channel_blocks",
    "channels_of_group",
    "in_registers",
    "is_masked",
    "one_pass",
    "planes",
    "scan_context",
    "sizes",
    "slot_size",
    "step_strides",
    "variable_rows",
]


class SelectiveScan(TritonVariant):
    """What the variants share: blocks of channels of one group, and the names of what a launch takes."""

    interface = INTERFACES["selective_scan"]
    added = ADDED

    def supports(self, problem: Problem) -> bool:
        """As many groups as a launch grid has blocks: a block never crosses groups."""
        return super().supports(problem) and row_groups(problem) <= MOST_BLOCKS

    @abstractmethod
    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """The launches for these sizes."""

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """Scratch memory: none, unless a variant needs it."""
        return ()

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self.launches(problem, config), self.workspaces(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        rows = variable_rows(problem)
        return {
            **scan_context(problem, config),
            "rows4": bool(rows) and planes(problem) >= 4,
            "sequences": lambda outputs: sequences(problem, outputs),
            "parameters": parameters(self.launches(problem, config)),
        }


def scan_context(problem: Problem, config: Config) -> dict[str, object]:
    """What the templates of both directions see."""
    return {
        "poly": 0,
        "stages": 1,
        **dict(problem.options),
        **dict(config.params),
        **masks(problem, is_masked(problem, config)),
        "cos": [repr(float.fromhex(c)) for c in COS_FLOAT],
        "d_state": problem["d_state"],
        "exp2_terms": [repr(float.fromhex(c)) for c in EXP2_FLOAT],
        "groups": row_groups(problem),
        "length": "length" if problem.option("varlen") else "seqlen",
        "planes": planes(problem),
        "rows": variable_rows(problem),
        "sin": [repr(float.fromhex(c)) for c in SIN_FLOAT],
    }


def planes(problem: Problem) -> int:
    """Reals that the states of a channel are."""
    return problem["d_state"] * (2 if problem.has("complex") else 1)


def in_registers(problem: Problem) -> bool:
    """Whether a lane's registers hold the states of a channel, and constant B and C."""
    return 1 <= planes(problem) <= (64 if problem.option("B") == problem.option("C") == "variable" else 32)


def is_masked(problem: Problem, config: Config) -> bool:
    """Whether a group's last block has channels that do not exist."""
    return channels_of_group(problem) % config.integer("block_d") != 0


def variable_rows(problem: Problem) -> list[str]:
    """Which of B and C change with time."""
    return [name for name in ("B", "C") if problem.option(name) == "variable"]


def channels_of_group(problem: Problem) -> int:
    """Channels of one group."""
    return problem["dim"] // row_groups(problem)


def channel_blocks(problem: Problem, block_d: int) -> int:
    """Blocks of channels, none of which crosses groups."""
    return -(-channels_of_group(problem) // block_d) * row_groups(problem)


def sequences(problem: Problem, outputs: bool = True) -> list[str]:
    """The (batch, dim, seqlen) operands of a pass that does, or does not, write outputs."""
    if not outputs:
        return ["u", "delta"]
    return ["u", "delta", "z", "out"] if problem.option("z") else ["u", "delta", "out"]


def operands(problem: Problem, outputs: bool = True) -> list[str]:
    """The operands of a pass that does, or does not, write outputs."""
    every = [operand.name for operand in INTERFACES["selective_scan"].operands(problem)]
    inputs = ("u", "delta", "A", "B", "delta_bias", "cu_seqlens")
    return every if outputs else [name for name in every if name in inputs]


def step_strides(problem: Problem, names: Sequence[str]) -> list[str]:
    """The strides of sequences that kernels step by; packed sequences have no batch to step over."""
    every = INTERFACES["selective_scan"].operands(problem)
    return [
        scalar
        for operand in every
        if operand.name in names
        for scalar, axis in operand.strides
        if axis or not problem.option("varlen")
    ]


def strides(problem: Problem, outputs: bool = True) -> list[str]:
    """The strides of a pass's sequences."""
    return step_strides(problem, sequences(problem, outputs))


def sizes(problem: Problem, reads_rows: bool) -> list[str]:
    """The sizes that a pass needs: packed sequences say themselves where they lie, but not where groups' rows do."""
    if problem.option("varlen"):
        return ["seqlen"] if reads_rows and row_groups(problem) > 1 else []
    return ["seqlen"]


def slot_size(problem: Problem) -> int:
    """Elements of one slot of saved states."""
    _, blocks, planes, width = state_slots(problem, 1)
    return blocks * planes * width


def slot_constant(problem: Problem) -> tuple[tuple[str, int], ...]:
    """The constant that a pass which saves states takes."""
    return (("SLOT", slot_size(problem)),) if problem.option("saved") else ()


def one_pass(problem: Problem, config: Config, *further: tuple[str, int]) -> tuple[Launch, ...]:
    """One launch; a program owns a block of channels of one sequence.

    Args:
        problem: The problem.
        config: Its config.
        further: Constants beyond those that every such pass takes.
    """
    block_d = config.integer("block_d")
    states = problem.has("last_state") or problem.has("initial_state")
    reads_dim = is_masked(problem, config) or row_groups(problem) > 1 or states
    dim = (("DIM", problem["dim"]),) if reads_dim else ()
    return (
        Launch(
            "selective_scan",
            (*operands(problem), *strides(problem), *sizes(problem, bool(variable_rows(problem)))),
            (problem["batch"], channel_blocks(problem, block_d), 1),
            (*dim, *slot_constant(problem), ("BLOCK_D", block_d), *further),
            compile_options(config),
        ),
    )


def compile_options(config: Config) -> tuple[tuple[str, int], ...]:
    """Compile options of a launch."""
    return (("num_warps", config.integer("num_warps")),)


def _registers(problem: Problem, config: Config, facts: DeviceFacts) -> int:
    """Estimated registers of a lane: states and coefficients, a tile of steps, four of a row, and addresses."""
    held = 1 + (problem.option("B") == "constant") + (problem.option("C") == "constant")
    tile = 3 * config.integer("unroll") if problem.option("layout") == "time" else 8
    channels = per_lane(config.integer("block_d"), config, facts)
    if problem.has("complex"):
        rates, temporaries = 3 * problem["d_state"], 20
    else:
        rates, temporaries = problem["d_state"], 0
    return channels * (held * planes(problem) + rates + temporaries + tile) + 40


def _loads(problem: Problem, config: Config, facts: DeviceFacts, steps: int) -> Loads:
    """What `unroll` of some steps load: sequences, step by step or as tiles, and rows, four neighbours at a time."""
    unroll, block_d = config.integer("unroll"), config.integer("block_d")
    reads, rows = len(sequences(problem)) - 1, len(variable_rows(problem))
    lanes, size = per_lane(block_d, config, facts), dtype(problem.dtype).itemsize
    in_tiles = problem.option("layout") == "time"
    parts = planes(problem) // 4 + planes(problem) % 4
    return Loads(
        steps // unroll,
        reads * (1 if in_tiles else unroll) + unroll * rows * parts,
        unroll * (reads * block_d * size + rows * planes(problem) * 4),
        unroll * (reads * lanes + rows * planes(problem)),
        max(size * (unroll if in_tiles else lanes), 4 if rows else 0),
    )


GRID = grid_rule(lambda problem, config: channel_blocks(problem, config.integer("block_d")))
REGISTERS = Rule(
    "registers",
    "the states and their coefficients do not fit a lane's registers and would be spilled at every step",
    lambda problem, config, facts: _registers(problem, config, facts) <= facts.max_registers,
)
LANES = Rule(
    "lanes",
    "with fewer channels in a block than lanes, lanes do the same work twice",
    lambda problem, config, facts: per_lane(config.integer("block_d"), config, facts) >= 1,
)
WIDTH = Rule(
    "width",
    "a block at least twice as wide as there are channels, and wider than the lanes, only adds idle work",
    lambda problem, config, facts: (
        config.integer("block_d") < 2 * channels_of_group(problem)
        or (per_lane(config.integer("block_d"), config, facts) <= 1 and config.integer("num_warps") == 1)
    ),
)


_RULES = (EXP_RULE, POLY_RULE, LANES, WIDTH, GRID, REGISTERS)  # of one vector for each state


class Sequential(SelectiveScan):
    """Channels across lanes, states down registers, time in order."""

    name = "sequential"
    template = "selective_scan_sequential.py.j2"
    summary = "channels across lanes, one vector per state, time in order"
    rules = (
        *_RULES,
        *stage_rules(
            lambda problem, config, facts: _loads(problem, config, facts, problem["seqlen"]), _registers
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """As many states as the registers of a lane hold."""
        return super().supports(problem) and in_registers(problem)

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (32, 64, 128, 256),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4),
            "poly": poly_choices(problem, facts),
            "stages": stage_choices(facts),
            "unroll": (1, 2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """The widest block of one warp that is not mostly idle; fewer channels per lane feed more of the GPU."""
        # For sm_100 the assembler spills with a second polynomial in so wide a block.
        poly = {"poly": (1, 2, 0)} if facts.arch == "sm_100" else {}
        # Ends of packed sequences take registers of their own where time is innermost.
        packed = problem.has("varlen") and problem.option("layout") == "time"
        if packed:
            return {"block_d": (64, 32), "unroll": (2, 1), **poly}
        return {"block_d": (128, 64, 32), "unroll": (4, 2, 1), **poly}

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """See `one_pass`."""
        return one_pass(problem, config)


class Chunked(SelectiveScan):
    """Time in chunks: their final states from zero, then, from the right states on, the outputs."""

    name = "chunked"
    template = "selective_scan_chunked.py.j2"
    summary = "time split into chunks, in two passes: for few channels and long sequences"
    rules = (
        *_RULES,
        CHUNK_RULE,
        Rule(
            "saved",
            "chunks start where states are saved",
            lambda problem, config, facts: int(problem.option("saved")) <= config.integer("chunk"),
        ),
        *stage_rules(
            lambda problem, config, facts: _loads(problem, config, facts, config.integer("chunk")), _registers
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one chunk, with as many states as the registers of a lane hold."""
        return (
            super().supports(problem)
            and in_registers(problem)
            and max(CHUNKS[0], int(problem.option("saved"))) < problem["seqlen"] <= MOST_BLOCKS * CHUNKS[-1]
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (32, 64, 128),
            "chunk": CHUNKS,
            "exp": exp_choices(facts),
            "num_warps": (1,),
            "poly": poly_choices(problem, facts),
            "stages": stage_choices(facts),
            "unroll": (2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Few channels per lane: this variant is for keeping a GPU busy."""
        return {"block_d": (64, 32), "chunk": (256, 128, 64), "unroll": (4, 2)}

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The final state of every chunk but the last, and the sum of its steps: in two parts for complex states."""
        dim, parts = problem["dim"], 2 if problem.has("complex") else 1
        outer: tuple[int, ...] = (problem["batch"], chunk_count(problem, config) - 1)
        if problem.has("varlen"):
            outer = (_chunk_numbers(problem, config),)
        return (
            Workspace("ends", "fp32", (*outer, planes(problem), dim)),
            Workspace("totals", "fp32", (*outer, parts, dim)),
        )

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """A program for each chunk, in both passes; for each number that a chunk of packed sequences may have."""
        block_d = config.integer("block_d")
        blocks, reads_rows = channel_blocks(problem, block_d), problem.option("B") == "variable"
        constants = (("DIM", problem["dim"]), ("BLOCK_D", block_d), ("CHUNK", config.integer("chunk")))
        taken = (*operands(problem, False), "ends", "totals", *strides(problem, False))
        if problem.has("varlen"):
            grids = [(_chunk_numbers(problem, config), blocks, 1)] * 2
            first = (*taken, *sizes(problem, reads_rows), "batch")
            second = (*sizes(problem, bool(variable_rows(problem))), "batch")
        else:
            chunks = chunk_count(problem, config)
            grids = [(problem["batch"], blocks, count) for count in (chunks - 1, chunks)]
            first, second = (*taken, *(["seqlen"] if reads_rows else [])), ("seqlen",)
        return (
            Launch("summarise_chunks", first, grids[0], constants, compile_options(config)),
            Launch(
                "scan_chunks",
                (*operands(problem), "ends", "totals", *strides(problem), *second),
                grids[1],
                (*slot_constant(problem), *constants),
                compile_options(config),
            ),
        )


def _chunk_numbers(problem: Problem, config: Config) -> int:
    """Numbers of the chunks of packed sequences: chunk c of sequence b has start // chunk + b + c."""
    return state_slots(problem, config.integer("chunk"))[0]


SCANS = (Sequential(), Chunked())
