"""The Cauchy product in Triton: nodes across lanes, the poles of one row in a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Launch, Program
from ssmgen.kernels.triton.common import (
    MOST_BLOCKS,
    RECIPROCAL_RULE,
    UNROLL_RULE,
    TritonVariant,
    exp_choices,
    grid_rule,
    parameters,
    per_lane,
    width_rule,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = ["PRODUCTS"]


class _CauchyMult(TritonVariant):
    """What the variants share."""

    interface = INTERFACES["cauchy_mult"]
    alone = False
    rules = (
        RECIPROCAL_RULE,
        Rule(
            "registers",
            "a node takes ten registers, and more than 16 of them for each lane spill",
            lambda problem, config, facts: 1 <= per_lane(config.integer("block"), config, facts) <= 16,
        ),
        width_rule(lambda problem: problem["nodes"]),
        UNROLL_RULE,
        grid_rule(lambda problem, config: _blocks(problem, config)),
    )

    def supports(self, problem: Problem) -> bool:
        """Complex64, with nodes that a launch grid can cover."""
        if problem.dtype != "c64":
            return False
        return super().supports(problem) and problem["nodes"] <= MOST_BLOCKS * 512

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block": (64, 128, 256, 512, 1024),
            "num_warps": (1, 2, 4),
            "reciprocal": exp_choices(facts),
            "unroll": (1, 2, 4),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Eight nodes for each lane of a warp: a pole's load serves them all."""
        return {"block": (256, 128, 64, 512), "unroll": (4, 2, 1)}

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(problem.options),
            **dict(config.params),
            "poles": problem["poles"],
            "parameters": parameters(self._launches(problem, config)),
        }

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        names = [operand.name for operand in operands]
        strides = [scalar for operand in operands for scalar, _ in operand.strides]
        return (
            Launch(
                "cauchy_mult",
                (*names, *strides, "nodes"),
                (problem["rows"], _blocks(problem, config), 1),
                (("BLOCK", config.integer("block")),),
                (("num_warps", config.integer("num_warps")),),
            ),
        )


def _blocks(problem: Problem, config: Config) -> int:
    return -(-problem["nodes"] // config.integer("block"))


class Factored(_CauchyMult):
    """One reciprocal for each conjugate pair of poles and node."""

    name = "factored"
    template = "cauchy_mult_factored.py.j2"
    summary = "conjugate pairs over one factored denominator: one reciprocal per pair"

    def supports(self, problem: Problem) -> bool:
        """Conjugate pairs and complex nodes only."""
        return super().supports(problem) and problem.has("symmetric") and not problem.has("imaginary")


class Imaginary(_CauchyMult):
    """One reciprocal for each conjugate pair of poles and node; what does not depend on the node leaves the loop."""

    name = "imaginary"
    template = "cauchy_mult_imaginary.py.j2"
    summary = "as factored, for nodes on the imaginary axis: a quarter fewer instructions"

    def supports(self, problem: Problem) -> bool:
        """Conjugate pairs and imaginary nodes only."""
        return super().supports(problem) and problem.has("symmetric") and problem.has("imaginary")


class TwoTerm(_CauchyMult):
    """One reciprocal for each pole and node."""

    name = "two_term"
    template = "cauchy_mult_two_term.py.j2"
    summary = "every pole by itself: one reciprocal per pole"


PRODUCTS = (Factored(), Imaginary(), TwoTerm())
