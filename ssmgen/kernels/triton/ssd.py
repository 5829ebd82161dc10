"""Mamba-2's scan in Triton: chunks of steps as products of matrices, the states between them; gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.interface import Operand
from ssmgen.kernels.interfaces import INTERFACES, sequence_batches
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    EXP_RULE,
    FLOATS,
    MOST_BLOCKS,
    TritonVariant,
    chunk_count,
    exp_choices,
    parameters,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["SCANS"]

# Numbers of a state that one program passes from chunk to chunk.
_PASSED = 256
_ADDED, _SUMMED = 8, 128  # steps of a program that adds up heads; sums of one that adds up chunks
_NARROWEST = 16  # what products of matrices are made of
_CHUNKS = (32, 64, 128)


def _shared(problem: Problem, config: Config) -> int:
    """Bytes of the rows of B and C of a chunk, and of the state, which products read from shared memory."""
    states, chunk = config.integer("block_n"), config.integer("chunk")
    itemsize = 4 if config["products"] != "stored" else dtype(problem.dtype).itemsize
    return (2 * chunk + config.integer("block_p")) * states * itemsize


class Chunked(TritonVariant):
    """What each chunk adds to the state; the states between chunks; the outputs of every chunk from its state on."""

    interface = INTERFACES["ssd"]
    name = "chunked"
    template = "ssd_chunked.py.j2"
    summary = "chunks of steps as products of matrices, in three launches"
    rules = (
        EXP_RULE,
        Rule(
            "shared",
            "the rows of B and C of a chunk and the state must have room in a block's shared memory",
            lambda problem, config, facts: (
                _shared(problem, config) <= facts.shared_bytes or _is_smallest(config)
            ),
        ),
        Rule(
            "products",
            "the interpreter takes the bits of bfloat16 numbers in a product for integers",
            lambda problem, config, facts: (
                facts.kind != "interpret" or problem.dtype != "bf16" or config["products"] != "stored"
            ),
        ),
        Rule(
            "length",
            "a chunk at least twice as long as the sequence only adds idle work",
            lambda problem, config, facts: (
                config.integer("chunk") <= max(_CHUNKS[0], next_power_of_two(problem["seqlen"]))
            ),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Up to 256 states, sequences packed in one way or the other; as much as a launch grid covers."""
        cells = problem["dim"] * problem["d_state"] // _PASSED
        chunks = problem["seqlen"] // _CHUNKS[0] + (problem["batch"] if problem.has("varlen") else 0)
        fits = max(cells, chunks, problem["groups"]) < MOST_BLOCKS
        states = problem["d_state"] <= 256 and problem.dtype in FLOATS
        both = problem.has("varlen") and problem.has("packed")
        return super().supports(problem) and states and fits and not both

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_n": _widths(problem["d_state"], 128),
            "block_p": _widths(problem["dim"], 64),
            "chunk": _CHUNKS,
            "exp": exp_choices(facts),
            "num_warps": (4, 8),
            "products": _precisions(problem, facts),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Chunks as long as a head is wide. Products of what memory holds, which tensor cores take."""
        # Float32 in three parts takes three times the registers.
        is_wide = problem.dtype == "fp32"
        return {
            "block_n": (_NARROWEST,) if is_wide else (128, 64, 32, _NARROWEST),
            "block_p": (64, 32, _NARROWEST),
            "chunk": (64, 32),
            "num_warps": (8, 4) if is_wide else (4, 8),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config), _states(problem, config, "states", "decays"))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "keeps": problem.has("last_state") and problem.direction == "forward",
            "widen": ".to(tl.float32)" if config["products"] != "stored" and problem.dtype != "fp32" else "",
            "parameters": parameters(self._launches(problem, config)),
        }

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        made = _Launches(self.interface.operands(problem), problem, config)
        return (
            made.chunks("chunk_states", "x", "B", further=("states", "decays")),
            made.passing("pass_states", "initial_state", "last_state", further=("states", "decays")),
            made.chunks("ssd", "x", "B", "C", "D", "z", "out", further=("states",)),
        )


class _Launches:
    """The launches of one problem and config: which operands they take, those that there are, and their sizes."""

    def __init__(self, operands: Sequence[Operand], problem: Problem, config: Config) -> None:
        self.operands = {x.name: [scalar for scalar, _ in x.strides] for x in operands}
        self.problem = problem
        self.config = config
        self.warps = (("num_warps", config.integer("num_warps")),)

    def present(self, *names: str) -> list[str]:
        """Those of the operands that there are."""
        return [name for name in names if name in self.operands]

    def strides(self, *names: str) -> list[str]:
        """The strides of these; packed sequences are found by where they begin, and share their rows."""
        found = [stride for name in names for stride in self.operands.get(name, ())]
        shares = self.problem.has("varlen")
        return [stride for stride in found if not (shares and stride.endswith("_batch"))]

    def chunks(self, function: str, *names: str, further: Sequence[str], blocks: bool = True) -> Launch:
        """A program for each chunk of each head, and for each block of its channels unless one has them all.

        Args:
            function: The function.
            names: The operands that it may take, beside those that say how much decays.
            further: Its workspaces.
            blocks: Whether a program has one block of channels.
        """
        problem, config = self.problem, self.config
        given = self.present(*names, *_DECAYS)
        sizes = ["batch"] if problem.has("varlen") else ["seqlen"]
        count = -(-problem["dim"] // config.integer("block_p"))
        constants = [("HEADS", problem["heads"])]
        constants += [("GROUPS", problem["groups"]), ("DIM", problem["dim"])]
        constants += [("BLOCKS", count)] if blocks else []
        constants += [(name.upper(), config.integer(name)) for name in ("block_p", "block_n", "chunk")]
        constants += [("SEQUENCES", next_power_of_two(problem["batch"]))] if problem.has("varlen") else []
        rows = problem["heads"] * (1 if problem.has("varlen") else problem["batch"])
        return Launch(
            function,
            (*given, *further, *self.strides(*given), *sizes),
            (rows * (count if blocks else 1), _places(problem, config) // self._outer(), 1),
            tuple(constants),
            self.warps,
        )

    def passing(self, function: str, *names: str, further: Sequence[str]) -> Launch:
        """A program for some numbers of the state of each head of each sequence, which walks from chunk to chunk."""
        problem = self.problem
        given = self.present(*names)
        constants = [("HEADS", problem["heads"]), ("DIM", problem["dim"])]
        constants += [("CHUNK", self.config.integer("chunk")), ("BLOCK", _PASSED)]
        length = "cu_seqlens" if problem.has("varlen") else "seqlen"
        cells = -(-problem["dim"] * problem["d_state"] // _PASSED)
        grid = (problem["batch"] * problem["heads"], cells, 1)
        return Launch(function, (*given, *further, length), grid, tuple(constants), (("num_warps", 4),))

    def _outer(self) -> int:
        return 1 if self.problem.has("varlen") else self.problem["batch"]


# Operands that say how much of a state is left; where packed sequences begin, too.
_DECAYS = ("dt", "A", "dt_bias", "limit", "cu_seqlens", "seq_idx")


def _places(problem: Problem, config: Config) -> int:
    """Chunks of all sequences; of packed ones some more, so that each finds its own by where it begins."""
    if problem.has("varlen"):
        return problem["seqlen"] // config.integer("chunk") + problem["batch"]
    return problem["batch"] * chunk_count(problem, config)


def _states(problem: Problem, config: Config, *names: str) -> tuple[Workspace, ...]:
    """A state for each chunk and head under each name; what decays meanwhile is one number of them."""
    places = (_places(problem, config), problem["heads"])
    return tuple(
        Workspace(name, "fp32", places if name == "decays" else (*places, problem["dim"], problem["d_state"]))
        for name in names
    )


class ChunkedBackward(Chunked):
    """The gradients: states and their gradients between chunks, then all that the steps of each chunk owe.

    What the heads of a group or all steps of a head share is summed for each head and chunk and added up afterwards,
    always in the same order.
    """

    direction = "backward"
    template = "ssd_backward.py.j2"
    summary = "gradients: chunks of steps as products of matrices, states recomputed, in eight launches"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """As forward, less products that keep no more digits than fp16: dt's gradients are sums that cancel."""
        return {
            **super().choices(problem, facts),
            "block_n": _widths(problem["d_state"], 64),
            "chunk": _CHUNKS[:2],
            "products": tuple(
                name
                for name in _precisions(problem, facts)
                if name != "stored" and (name, problem.dtype) != ("tf32", "fp16")
            ),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """What products hold in registers leaves room for little else."""
        is_light = problem.dtype == "bf16" and facts.kind == "cuda"
        return {
            "block_n": (32, _NARROWEST) if is_light else (_NARROWEST,),
            "block_p": (_NARROWEST,),
            "chunk": (64, 32) if is_light else (32,),
            "num_warps": (8, 4),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        steps = (sequence_batches(problem), problem["seqlen"], problem["heads"])
        sums = (_places(problem, config), problem["heads"], _planes(problem) + _skips(problem))
        return Program(
            self._launches(problem, config),
            (
                *_states(problem, config, "states", "gradients", "decays"),
                Workspace("rows", "fp32", (*steps, 2, problem["d_state"])),
                Workspace("steps_owed", "fp32", (*sums[:2], config.integer("chunk"))),
                Workspace("sums", "fp32", sums),
            ),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {**super().context(problem, config), "planes": _planes(problem)}

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        made = _Launches(self.interface.operands(problem), problem, config)
        steps = sequence_batches(problem) * problem["seqlen"]
        heads, groups = problem["heads"], problem["groups"]
        sizes = ["seqlen"] if problem.has("varlen") else ["batch", "seqlen"]
        return (
            made.chunks("chunk_states", "x", "B", further=("states", "decays")),
            made.passing("pass_states", "initial_state", further=("states", "decays")),
            made.chunks("chunk_gradients", "dout", "z", "C", further=("gradients",)),
            made.passing("pass_gradients", "dlast_state", "dinitial_state", further=("gradients", "decays")),
            made.chunks(
                "row_gradients",
                *("x", "B", "C", "z", "dout"),
                further=("states", "gradients", "rows", "steps_owed"),
                blocks=False,
            ),
            made.chunks(
                "ssd_backward",
                *("x", "B", "C", "D", "z", "dout", "dx", "ddt", "dz"),
                further=(*(("states",) if problem.has("z") else ()), "gradients", "steps_owed", "sums"),
                blocks=False,
            ),
            Launch(
                "add_heads",
                ("dB", "dC", "rows", *made.strides("dB", "dC"), *sizes),
                (-(-steps // _ADDED), groups, 1),
                (
                    ("HEADS", heads),
                    ("SHARED", heads // groups),
                    ("STEPS", _ADDED),
                    ("BLOCK", next_power_of_two(problem["d_state"])),
                ),
                (("num_warps", 4),),
            ),
            Launch(
                "add_chunks",
                (*made.present("dA", "ddt_bias", "dD"), "sums", *made.strides("dD"), "batch", "seqlen"),
                (heads, -(-(_planes(problem) + _skips(problem)) // _SUMMED), 1),
                (
                    ("HEADS", heads),
                    ("CHUNK", config.integer("chunk")),
                    *([("DIM", problem["dim"])] if problem.has("D") else []),
                    ("BLOCK", _SUMMED),
                ),
                (("num_warps", 1),),
            ),
        )


def _planes(problem: Problem) -> int:
    """Sums over the steps of a head, beside those of its channels: the gradients of A and dt_bias."""
    return 1 + problem.has("dt_bias")


def _skips(problem: Problem) -> int:
    """Sums over steps of each channel: the gradient of D."""
    return problem["dim"] if problem.has("D") else 0


def _widths(size: int, most: int) -> tuple[int, ...]:
    """Powers of two up to so many, none of them twice what there is."""
    return tuple(
        width
        for width in (_NARROWEST, 32, 64, 128)
        if width <= min(most, max(_NARROWEST, next_power_of_two(size)))
    )


def _precisions(problem: Problem, facts: DeviceFacts) -> tuple[str, ...]:
    """What products are made of: numbers as memory holds them, or float32.

    On NVIDIA's GPUs float32 passes through tensor cores in three parts, which keeps 22 bits, or in one, which keeps
    11: by multiplications and additions alone a product of this size spills thousands of registers.
    """
    wide = ("tf32", "tf32x3") if facts.kind == "cuda" else ("ieee",)
    return wide[-1:] if problem.dtype == "fp32" else ("stored", *wide)


def _is_smallest(config: Config) -> bool:
    """Whether nothing smaller could be tried."""
    return (config["block_n"], config["block_p"], config["chunk"]) == (_NARROWEST, _NARROWEST, _CHUNKS[0])


SCANS = (Chunked(), ChunkedBackward())
