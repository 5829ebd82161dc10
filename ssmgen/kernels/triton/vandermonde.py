"""The Vandermonde products in Triton: two small tables of exponentials for each pole, and products of matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.polynomials import COS_FLOAT, SIN_FLOAT
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    EXP_RULE,
    MOST_BLOCKS,
    TritonVariant,
    exp_choices,
    parameters,
    per_lane,
)
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["PRODUCTS"]

# A product of matrices takes no fewer rows, columns or terms than 16.
_LEAST = 16
_STEPS = (32, 64, 128)
_RULES = (
    EXP_RULE,
    Rule(
        "precision",
        "tensor cores that add parts of a float in tf32 are NVIDIA's: not AMD's, and not the interpreter's",
        lambda problem, config, facts: config["precision"] == "ieee" or facts.kind == "cuda",
    ),
    Rule(
        "group",
        "a group at least twice as large as there are poles only adds idle work",
        lambda problem, config, facts: (
            config.integer("group") <= max(_LEAST, next_power_of_two(problem["poles"]))
        ),
    ),
    Rule(
        "length",
        "a block at least twice as long as the sequence only adds idle work",
        lambda problem, config, facts: (
            config.integer("block") <= max(_STEPS[0], next_power_of_two(problem["seqlen"]))
        ),
    ),
    Rule(
        "width",
        "at least twice as many blocks in a tile as there are only add idle work",
        lambda problem, config, facts: (
            config.integer("blocks") <= max(_LEAST, next_power_of_two(_blocks(problem, config)))
        ),
    ),
)


def _blocks(problem: Problem, config: Config) -> int:
    return -(-problem["seqlen"] // config.integer("block"))


def _chunk(config: Config) -> int:
    """Blocks that one program sums over."""
    return config.integer("blocks") * config.integer("tiles")


def _chunks(problem: Problem, config: Config) -> int:
    return -(-_blocks(problem, config) // _chunk(config))


def _register_rule(parts: int) -> Rule:
    def holds(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
        block = config.integer("block")
        tile = per_lane(config.integer("blocks") * block, config, facts)
        return 4 <= tile <= 64 and per_lane(parts * config.integer("group") * block, config, facts) <= 64

    return Rule("registers", "a lane holds four to 64 elements of a tile, and no more than 64 sums", holds)


_STEPS_RULES = (
    Rule(
        "chunk",
        "a chunk at least twice as long as the sequence only adds idle work",
        lambda problem, config, facts: config["tiles"] == 1 or _chunk(config) < 2 * _blocks(problem, config),
    ),
    Rule(
        "terms",
        "without tensor cores registers hold all terms of a product, and more than 32 blocks of them spill",
        lambda problem, config, facts: (
            config["precision"] != "ieee" or facts.kind == "hip" or config.integer("blocks") <= 32
        ),
    ),
)


class _Product(TritonVariant):
    """What the variants share."""

    name = "product"
    parts: ClassVar[int] = 0  # reals that each pole sums over steps
    # Operands of the launches: sums over poles for each step, sums over steps by chunks, and sums over these.
    over_poles: ClassVar[tuple[str, ...]] = ()
    over_steps: ClassVar[tuple[str, ...]] = ()
    over_chunks: ClassVar[tuple[str, ...]] = ()

    def supports(self, problem: Problem) -> bool:
        """One direction in complex64, of lengths that a launch grid covers whatever the blocks."""
        return super().supports(problem) and problem["seqlen"] <= MOST_BLOCKS * _LEAST * _STEPS[0]

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        chunks: dict[str, tuple[Value, ...]] = {"tiles": (1, 4, 16)} if self.parts else {}
        return {
            "block": _STEPS,
            "blocks": (16, 32, 64, 128),
            "exp": exp_choices(facts),
            "group": (16, 32),
            "num_warps": (2, 4, 8),
            "precision": ("tf32x3", "ieee"),
            **chunks,
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Blocks near the root of the length, for which tables are smallest, in tiles that do not spill on sm_90."""
        is_long = problem["seqlen"] >= 1 << 13
        return {
            "block": (128, 64, 32) if is_long else (64, 32),
            "blocks": (32, 16) if self.parts else (64, 32, 16),
            "num_warps": (8, 4, 2) if is_long and self.parts == 4 else (4, 8, 2),
            "tiles": (4, 1),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config), self._workspaces(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(config.params),
            "cos": [repr(float.fromhex(c)) for c in COS_FLOAT],
            "parameters": parameters(self._launches(problem, config)),
            "parts": self.parts,
            "poles": problem["poles"],
            "sin": [repr(float.fromhex(c)) for c in SIN_FLOAT],
        }

    def _workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The sums over each chunk of steps, where there are any."""
        if not self.parts:
            return ()
        shape = (problem["rows"], _chunks(problem, config), self.parts, problem["poles"])
        return (Workspace("sums", "fp32", shape),)

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        rows, options = problem["rows"], (("num_warps", config.integer("num_warps")),)
        steps = ("STEPS", config.integer("block"))
        blocks = ("BLOCKS", config.integer("blocks"))
        group = ("GROUP", config.integer("group"))
        groups = -(-problem["poles"] // config.integer("group"))
        found = []
        if self.over_poles:
            grid = (rows, -(-_blocks(problem, config) // config.integer("blocks")), 1)
            found.append(
                Launch("sum_poles", _with_strides(self.over_poles), grid, (steps, blocks, group), options)
            )
        if self.over_steps:
            chunk = ("CHUNK", _chunk(config))
            grid = (rows, _chunks(problem, config), groups)
            arguments = _with_strides(self.over_steps, "sums")
            found.append(Launch("sum_steps", arguments, grid, (steps, blocks, group, chunk), options))
            arguments = _with_strides(self.over_chunks, "sums")
            found.append(Launch("add_chunks", arguments, (rows, groups, 1), (steps, group, chunk), options))
        return tuple(found)


def _with_strides(operands: Sequence[str], *workspaces: str) -> tuple[str, ...]:
    return (*operands, *workspaces, *(f"{name}_stride_row" for name in operands), "seqlen")


class LogVandermonde(_Product):
    """Sums over poles."""

    interface = INTERFACES["log_vandermonde"]
    template = "log_vandermonde.py.j2"
    summary = "exponentials from two small tables, summed over poles as a product of matrices"
    over_poles = ("v", "x", "out")
    rules = (*_RULES, _register_rule(parts=0))


class LogVandermondeBackward(_Product):
    """Sums over steps, and over steps times their index."""

    interface = INTERFACES["log_vandermonde"]
    direction = "backward"
    template = "log_vandermonde_backward.py.j2"
    summary = "gradients: sums over chunks of steps as products of matrices, added in order"
    over_steps = ("x", "dout")
    over_chunks = ("v", "dv", "dx")
    parts = 4
    rules = (*_RULES, *_STEPS_RULES, _register_rule(parts=4))


class LogVandermondeTranspose(_Product):
    """Sums over steps."""

    interface = INTERFACES["log_vandermonde_transpose"]
    template = "log_vandermonde_transpose.py.j2"
    summary = "exponentials from two small tables, summed over chunks of steps as products of matrices"
    over_steps = ("u", "x")
    over_chunks = ("v", "out")
    parts = 2
    rules = (*_RULES, *_STEPS_RULES, _register_rule(parts=2))


class LogVandermondeTransposeBackward(_Product):
    """Sums over poles, and sums over steps."""

    interface = INTERFACES["log_vandermonde_transpose"]
    direction = "backward"
    template = "log_vandermonde_transpose_backward.py.j2"
    summary = "gradients: sums over poles, and over chunks of steps, as products of matrices"
    over_poles = ("v", "x", "dout", "du")
    over_steps = ("u", "x")
    over_chunks = ("v", "dout", "dv", "dx")
    parts = 4
    rules = (*_RULES, *_STEPS_RULES, _register_rule(parts=4))


PRODUCTS: tuple[Variant, ...] = (
    LogVandermonde(),
    LogVandermondeBackward(),
    LogVandermondeTranspose(),
    LogVandermondeTransposeBackward(),
)
