"""What the Triton variants share: which problems they serve, how launches name their arguments, and common rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.program import Launch
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem, next_power_of_two

__all__ = [
    "CHUNKS",
    "CHUNK_RULE",
    "EXP_RULE",
    "MOST_BLOCKS",
    "POLY_RULE",
    "RECIPROCAL_RULE",
    "UNROLL_RULE",
    "TritonVariant",
    "chunk_count",
    "exp_choices",
    "grid_rule",
    "masks",
    "parameters",
    "per_lane",
    "poly_choices",
    "width_rule",
]

FLOATS = ("fp32", "bf16", "fp16")


class TritonVariant(Variant):
    """A variant whose untuned config is the first valid one in the order of preference of each param."""

    language = "triton"
    # Whether AMD's compiler, untuned, is to assume that one wave has a SIMD for itself.
    alone: ClassVar[bool] = True

    def supports(self, problem: Problem) -> bool:
        """The variant's direction, with sums in fp32."""
        return problem.direction == self.direction and problem.dtype in (*FLOATS, "c64")

    def params(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.params`: on AMD, how memory is addressed, and how many waves are compiled for.

        `buffer` is whether operands within the reach of 32-bit offsets are read and written by buffer instructions
        (see `Assumptions.small`). Fewer instructions and registers find addresses then, and masks need no branch;
        but the fewer registers a kernel needs, the later the compiler loads, so that more waves fit. `waves` says how
        many waves of a SIMD it has in mind: with 1 it loads early, with 0 it decides.
        """
        choices = self.choices(problem, facts)
        if facts.kind != "hip":
            return choices
        return {**choices, "buffer": (1, 0), "waves": (1, 0) if self.alone else (0, 1)}

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Some params' values in the order in which they are wanted untuned; of the others, the first choice."""
        return {}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """See `Variant.default`."""
        choices = self.params(problem, facts)
        wanted = self.preferences(problem, facts)
        ordered = {
            name: sorted(values, key=_Rank(wanted.get(name, values))) for name, values in choices.items()
        }
        for values in itertools.product(*ordered.values()):
            config = Config.of(self.name, dict(zip(ordered, values, strict=True)))
            if self.broken_rule(problem, config, facts) is None:
                return config
        raise AssertionError(f"the rules of {self.name} leave no config for {problem}")


class _Rank:
    """A sort key: the place in a list, after which come all values that are not in it."""

    def __init__(self, wanted: Sequence[Value]) -> None:
        self.wanted = list(wanted)

    def __call__(self, value: Value) -> int:
        return self.wanted.index(value) if value in self.wanted else len(self.wanted)


def masks(problem: Problem, masked: bool) -> dict[str, object]:
    """What templates add to loads and stores: masks if the last block has too few channels, and widening."""
    return {
        "masked": masked,
        "mask": ", mask=inside" if masked else "",
        "tile_mask": ", mask=inside[:, None]" if masked else "",
        "widen": "" if problem.dtype in ("fp32", "c64") else ".to(tl.float32)",
    }


def parameters(launches: Sequence[Launch]) -> dict[str, list[str]]:
    """The parameters of each launch's function as its signature writes them."""
    return {
        launch.function: [*launch.arguments, *(f"{name}: tl.constexpr" for name, _ in launch.constants)]
        for launch in launches
    }


def exp_choices(facts: DeviceFacts) -> tuple[str, ...]:
    """How 2^x is computed; inline assembly first where it exists."""
    return ("asm", "plain") if facts.kind == "cuda" else ("plain", "asm")


def _exp_exists(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config["exp"] != "asm" or facts.kind == "cuda"


# Blocks along the second and third axis of a launch grid; the first, where the batch lies, takes 2^31.
MOST_BLOCKS = 65535


CHUNKS = (64, 128, 256, 512, 1024)


def chunk_count(problem: Problem, config: Config) -> int:
    """Chunks that the config splits the sequence into, the last of them perhaps shorter."""
    return -(-problem["seqlen"] // config.integer("chunk"))


CHUNK_RULE = Rule(
    "chunk",
    f"a chunk as long as the sequence splits nothing, and more than {MOST_BLOCKS} exceed the launch grid",
    lambda problem, config, facts: 1 < chunk_count(problem, config) <= MOST_BLOCKS,
)


def grid_rule(blocks: Callable[[Problem, Config], int]) -> Rule:
    """The rule on how many blocks a launch may have along its second axis."""
    return Rule(
        "grid",
        f"a launch grid has no more than {MOST_BLOCKS} blocks along its second axis",
        lambda problem, config, facts: blocks(problem, config) <= MOST_BLOCKS,
    )


EXP_RULE = Rule("exp", "PTX runs on NVIDIA GPUs only: neither on AMD's nor in the interpreter", _exp_exists)


def poly_choices(problem: Problem, facts: DeviceFacts) -> tuple[int, ...]:
    """How many in 16 decays of real states are polynomials on the FMA pipe, the most first.

    An exponential keeps the special function unit of NVIDIA's GPUs busy for eight issue slots, more than the rest of a
    state element takes; that of AMD's for four. The interpreter has the choice so that it is tested.
    """
    pays = facts.kind in ("cuda", "interpret") and not problem.has("complex")
    return (*(poly for poly in (2, 1) if pays and poly * problem["d_state"] % 16 == 0), 0)


POLY_RULE = Rule(
    "poly",
    "the plain exponential takes as long elsewhere, so that the special function unit needs no relief",
    lambda problem, config, facts: config["poly"] == 0 or config["exp"] == "asm" or facts.kind == "interpret",
)

RECIPROCAL_RULE = Rule(
    "reciprocal",
    "PTX runs on NVIDIA GPUs only: neither on AMD's nor in the interpreter",
    lambda problem, config, facts: config["reciprocal"] != "asm" or facts.kind == "cuda",
)

UNROLL_RULE = Rule(
    "unroll",
    "there are fewer poles than the loop would be unrolled by",
    lambda problem, config, facts: config.integer("unroll") <= problem["poles"],
)


def width_rule(nodes: Callable[[Problem], int]) -> Rule:
    """The rule on how much wider than the nodes of a row a block may be."""
    return Rule(
        "width",
        "a block at least twice as long as there are nodes only adds idle work",
        lambda problem, config, facts: config.integer("block") <= max(64, next_power_of_two(nodes(problem))),
    )


def per_lane(block: int, config: Config, facts: DeviceFacts) -> int:
    """Elements of a block that one lane holds; 0 where the block has fewer elements than lanes."""
    return block // (facts.lanes * config.integer("num_warps"))
