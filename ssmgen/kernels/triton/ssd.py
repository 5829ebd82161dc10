"""Mamba-2's scan in Triton: chunks of steps as products of matrices, and the states that pass between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.interfaces import INTERFACES
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
        """Sequences that are not packed, up to 256 states; as much as a launch grid covers."""
        cells = problem["dim"] * problem["d_state"] // _PASSED
        fits = max(cells, problem["seqlen"] // _CHUNKS[0]) < MOST_BLOCKS
        packed = problem.has("varlen") or problem.has("packed")
        states = problem["d_state"] <= 256 and problem.dtype in FLOATS
        return super().supports(problem) and states and fits and not packed

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
        chunks = (problem["batch"], chunk_count(problem, config), problem["heads"])
        return Program(
            self._launches(problem, config),
            (
                Workspace("states", "fp32", (*chunks, problem["dim"], problem["d_state"])),
                Workspace("decays", "fp32", chunks),
            ),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "widen": ".to(tl.float32)" if config["products"] != "stored" and problem.dtype != "fp32" else "",
            "parameters": parameters(self._launches(problem, config)),
        }

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        strides = {x.name: [scalar for scalar, _ in x.strides] for x in operands}
        present = [x.name for x in operands]
        warps = (("num_warps", config.integer("num_warps")),)
        blocks = -(-problem["dim"] // config.integer("block_p"))
        chunks = chunk_count(problem, config)
        sizes = (("HEADS", problem["heads"]), ("GROUPS", problem["groups"]), ("DIM", problem["dim"]))
        tile = (
            *sizes,
            ("BLOCKS", blocks),
            ("BLOCK_P", config.integer("block_p")),
            ("BLOCK_N", config.integer("block_n")),
            ("CHUNK", config.integer("chunk")),
        )

        def taken(*names: str) -> list[str]:
            return [name for name in names if name in present]

        def launch(function: str, *names: str, further: tuple[str, ...]) -> Launch:
            given = taken(*names)
            steps = [stride for name in given for stride in strides[name]]
            grid = (problem["batch"] * problem["heads"] * blocks, chunks, 1)
            return Launch(function, (*given, *further, *steps, "seqlen"), grid, tile, warps)

        numbers = problem["dim"] * problem["d_state"]
        return (
            launch("chunk_states", "x", "dt", "A", "B", "dt_bias", "limit", further=("states", "decays")),
            Launch(
                "pass_states",
                (*taken("initial_state", "last_state"), "states", "decays"),
                (problem["batch"] * problem["heads"], -(-numbers // _PASSED), 1),
                (("chunks", chunks), *(sizes[0], sizes[2]), ("BLOCK", _PASSED)),
                (("num_warps", 4),),
            ),
            launch("ssd", "x", "dt", "A", "B", "C", "D", "z", "dt_bias", "limit", "out", further=("states",)),
        )


def _widths(size: int, most: int) -> tuple[int, ...]:
    """Powers of two up to so many, none of them twice what there is."""
    return tuple(
        width
        for width in (_NARROWEST, 32, 64, 128)
        if width <= min(most, max(_NARROWEST, next_power_of_two(size)))
    )


def _precisions(problem: Problem, facts: DeviceFacts) -> tuple[str, ...]:
    """What products are made of: numbers as memory holds them, or float32.

    On NVIDIA's GPUs float32 passes through tensor cores in three parts, which keeps 22 bits: by multiplications and
    additions alone a product of this size spills thousands of registers.
    """
    wide = "tf32x3" if facts.kind == "cuda" else "ieee"
    return (wide,) if problem.dtype == "fp32" else ("stored", wide)


def _is_smallest(config: Config) -> bool:
    """Whether nothing smaller could be tried."""
    return (config["block_n"], config["block_p"], config["chunk"]) == (_NARROWEST, _NARROWEST, _CHUNKS[0])


SCANS = (Chunked(),)
