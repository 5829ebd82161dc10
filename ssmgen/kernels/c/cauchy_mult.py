"""The Cauchy product in C: nodes in vector lanes, poles in the inner loop."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.c.poles import (
    MOST_POLES,
    RECIPROCAL_RULE,
    SERIAL_WORK,
    reciprocal_choices,
)
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["PRODUCTS"]

_SIZES = ("rows", "nodes")
# Nodes of one task: enough that preparing a row's poles does not count, few enough that one row feeds many threads.
_TASK_NODES = 1024
# Poles and nodes are scaled alike, exactly, so that products of four distances neither overflow for nodes up to the
# limit (2^40 and 2^250 before scaling), nor underflow in float where |z - w| |z - conj(w)| > 2^-43.
_SCALE = {"c64": "0x1p-10f", "c128": "0x1p-10"}
_LIMIT = {"c64": "0x1p30f", "c128": "0x1p240"}


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # For each vector of nodes: z and three or four sums, and six temporaries, which two of them can share; y may stay
    # in memory.
    return config.integer("vectors") * 5 + 6 <= facts.max_registers


def _unrolls_evenly(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("unroll") <= problem["poles"]


def _halves(lanes: int) -> list[list[int]]:
    """Shuffles that bring every lane to the first one, by halves."""
    distances = [lanes >> step for step in range(1, lanes.bit_length())]
    return [[lane ^ distance for lane in range(lanes)] for distance in distances]


class _CauchyMult(Variant):
    """What the variants share."""

    interface = INTERFACES["cauchy_mult"]
    language = "c"
    rules = (
        Rule("registers", "more nodes than registers hold are spilled at every pole", _fits_registers),
        Rule("unroll", "there are fewer poles than the loop would be unrolled by", _unrolls_evenly),
        RECIPROCAL_RULE,
    )

    def supports(self, problem: Problem) -> bool:
        """Forward, up to as many poles as a thread's stack holds."""
        return problem.direction == "forward" and 1 <= problem["poles"] <= MOST_POLES

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "lanes": lane_choices(problem, facts),
            "vectors": (1, 2, 3, 4),
            "unroll": (1, 2, 4),
            "reciprocal": reciprocal_choices(problem),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Two vectors of nodes, so that a pole's numbers are loaded for both."""
        params = {"lanes": lane_choices(problem, facts)[0], "vectors": 2, "unroll": 1}
        return Config.of(self.name, {**params, "reciprocal": "divide"})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES),
            **dict(problem.options),
            **dict(config.params),
            "poles": problem["poles"],
            "scale": _SCALE[problem.dtype],
            "limit": _LIMIT[problem.dtype],
            "serial_work": SERIAL_WORK,
            "task_nodes": _TASK_NODES,
            "halves": _halves(config.integer("lanes")),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES)


class Factored(_CauchyMult):
    """One reciprocal for each conjugate pair of poles and node."""

    name = "factored"
    template = "cauchy_mult_factored.c.j2"
    summary = "conjugate pairs over one factored denominator: one reciprocal per pair"

    def supports(self, problem: Problem) -> bool:
        """Conjugate pairs only."""
        return super().supports(problem) and problem.option("symmetric") is True


class TwoTerm(_CauchyMult):
    """One reciprocal for each pole and node."""

    name = "two_term"
    template = "cauchy_mult_two_term.c.j2"
    summary = "every pole by itself: one reciprocal per pole"


PRODUCTS: tuple[Variant, ...] = (Factored(), TwoTerm())
