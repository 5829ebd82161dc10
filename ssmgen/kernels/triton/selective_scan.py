"""The selective scan in Triton with one vector over the channels for each state, one step after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES, state_slots
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    CHUNK_RULE,
    CHUNKS,
    EXP_RULE,
    MOST_BLOCKS,
    TritonVariant,
    chunk_count,
    exp_choices,
    grid_rule,
    parameters,
    per_lane,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = [
    "Chunked",
    "SelectiveScan",
    "Sequential",
    "channel_blocks",
    "channels_of_group",
    "group_count",
    "sizes",
    "slot_size",
    "step_strides",
    "variable_rows",
]


class SelectiveScan(TritonVariant):
    """What the variants share: blocks of channels of one group, and the names of what a launch takes."""

    interface = INTERFACES["selective_scan"]

    def supports(self, problem: Problem) -> bool:
        """Real states; as many groups as a launch grid has blocks: a block never crosses groups."""
        return (
            super().supports(problem) and group_count(problem) <= MOST_BLOCKS and not problem.has("complex")
        )

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
        masked = channels_of_group(problem) % config.integer("block_d") != 0
        return {
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "groups": group_count(problem),
            "length": "length" if problem.option("varlen") else "seqlen",
            "masked": masked,
            "mask": ", mask=inside" if masked else "",
            "tile_mask": ", mask=inside[:, None]" if masked else "",
            "widen": "" if problem.dtype == "fp32" else ".to(tl.float32)",
            "rows": rows,
            "rows4": bool(rows) and problem["d_state"] >= 4,
            "sequences": lambda outputs: sequences(problem, outputs),
            "parameters": parameters(self.launches(problem, config)),
        }


def variable_rows(problem: Problem) -> list[str]:
    """Which of B and C change with time."""
    return [name for name in ("B", "C") if problem.option(name) == "variable"]


def group_count(problem: Problem) -> int:
    """Groups of channels that share rows; 1 where there are no rows to share."""
    return problem["groups"] if variable_rows(problem) else 1


def channels_of_group(problem: Problem) -> int:
    """Channels of one group."""
    return problem["dim"] // group_count(problem)


def channel_blocks(problem: Problem, block_d: int) -> int:
    """Blocks of channels, none of which crosses groups."""
    return -(-channels_of_group(problem) // block_d) * group_count(problem)


def sequences(problem: Problem, outputs: bool = True) -> list[str]:
    """The (batch, dim, seqlen) operands of a pass that does, or does not, write outputs."""
    if not outputs:
        return ["u", "delta"]
    return ["u", "delta", "z", "out"] if problem.option("z") else ["u", "delta", "out"]


def operands(problem: Problem, outputs: bool = True) -> list[str]:
    """The operands of a pass that does, or does not, write outputs."""
    every = [operand.name for operand in INTERFACES["selective_scan"].operands(problem)]
    return every if outputs else [name for name in every if name in ("u", "delta", "A", "B", "delta_bias")]


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
        return ["seqlen"] if reads_rows and group_count(problem) > 1 else []
    return ["seqlen"]


def slot_size(problem: Problem) -> int:
    """Elements of one slot of saved states."""
    _, blocks, planes, width = state_slots(problem, 1)
    return blocks * planes * width


def reads_dim(problem: Problem, config: Config) -> bool:
    """Whether a pass that walks whole sequences needs to know how many channels there are."""
    masked = channels_of_group(problem) % config.integer("block_d") != 0
    return masked or group_count(problem) > 1 or problem.has("last_state") or problem.has("initial_state")


def compile_options(config: Config) -> tuple[tuple[str, int], ...]:
    """Compile options of a launch."""
    return (("num_warps", config.integer("num_warps")),)


def _registers(problem: Problem, config: Config, facts: DeviceFacts) -> int:
    """Estimated registers of a lane: states and coefficients, a tile of steps, four of a row, and addresses."""
    held = 2 + (problem.option("B") == "constant") + (problem.option("C") == "constant")
    tile = 3 * config.integer("unroll") if problem.option("layout") == "time" else 8
    channels = per_lane(config.integer("block_d"), config, facts)
    return channels * (held * problem["d_state"] + tile) + 40


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


class Sequential(SelectiveScan):
    """Channels across lanes, states down registers, time in order."""

    name = "sequential"
    template = "selective_scan_sequential.py.j2"
    summary = "channels across lanes, one vector per state, time in order"
    rules = (EXP_RULE, LANES, WIDTH, GRID, REGISTERS)

    def supports(self, problem: Problem) -> bool:
        """As many states as the registers of a lane hold."""
        most = 64 if problem.option("B") == problem.option("C") == "variable" else 32
        return super().supports(problem) and 1 <= problem["d_state"] <= most

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (32, 64, 128, 256),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4),
            "unroll": (1, 2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """The widest block of one warp that is not mostly idle; fewer channels per lane feed more of the GPU."""
        return {"block_d": (128, 64, 32), "unroll": (4, 2, 1)}

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """One launch; a program owns a block of channels of one sequence."""
        block_d = config.integer("block_d")
        dim = (("DIM", problem["dim"]),) if reads_dim(problem, config) else ()
        slot = (("SLOT", slot_size(problem)),) if problem.option("saved") else ()
        return (
            Launch(
                "selective_scan",
                (*operands(problem), *strides(problem), *sizes(problem, bool(variable_rows(problem)))),
                (problem["batch"], channel_blocks(problem, block_d), 1),
                (*dim, *slot, ("BLOCK_D", block_d)),
                compile_options(config),
            ),
        )


class Chunked(SelectiveScan):
    """Time in chunks: their final states from zero, then, from the right states on, the outputs."""

    name = "chunked"
    template = "selective_scan_chunked.py.j2"
    summary = "time split into chunks, in two passes: for few channels and long sequences"
    rules = (
        EXP_RULE,
        LANES,
        WIDTH,
        GRID,
        REGISTERS,
        CHUNK_RULE,
        Rule(
            "saved",
            "chunks start where states are saved",
            lambda problem, config, facts: int(problem.option("saved")) <= config.integer("chunk"),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one chunk, with as many states as the registers of a lane hold."""
        most = 64 if problem.option("B") == problem.option("C") == "variable" else 32
        return (
            super().supports(problem)
            and not problem.has("varlen")
            and 1 <= problem["d_state"] <= most
            and CHUNKS[0] < problem["seqlen"] <= MOST_BLOCKS * CHUNKS[-1]
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (32, 64, 128),
            "chunk": CHUNKS,
            "exp": exp_choices(facts),
            "num_warps": (1,),
            "unroll": (2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Few channels per lane: this variant is for keeping a GPU busy."""
        return {"block_d": (64, 32), "chunk": (256, 128, 64), "unroll": (4, 2)}

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The final state of every chunk but the last, and the sum of its steps."""
        batch, dim, preceding = problem["batch"], problem["dim"], chunk_count(problem, config) - 1
        return (
            Workspace("ends", "fp32", (batch, preceding, problem["d_state"], dim)),
            Workspace("totals", "fp32", (batch, preceding, dim)),
        )

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """A program for each chunk, in both passes."""
        block_d, chunks = config.integer("block_d"), chunk_count(problem, config)
        blocks = channel_blocks(problem, block_d)
        constants = (("DIM", problem["dim"]), ("BLOCK_D", block_d), ("CHUNK", config.integer("chunk")))
        slot = (("SLOT", slot_size(problem)),) if problem.option("saved") else ()
        summary = (*operands(problem, False), "ends", "totals", *strides(problem, False))
        return (
            Launch(
                "summarise_chunks",
                (*summary, "seqlen") if problem.option("B") == "variable" else summary,
                (problem["batch"], blocks, chunks - 1),
                constants,
                compile_options(config),
            ),
            Launch(
                "scan_chunks",
                (*operands(problem), "ends", "totals", *strides(problem), "seqlen"),
                (problem["batch"], blocks, chunks),
                (*slot, *constants),
                compile_options(config),
            ),
        )


SCANS = (Sequential(), Chunked())
