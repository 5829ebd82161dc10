"""The gradients of the Cauchy product in C."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import with_real
from ssmgen.kernels.c.poles import (
    CHUNKS,
    MOST_POLES,
    RECIPROCAL_RULE,
    SERIAL_WORK,
    chunk_count,
    chunk_rule,
    reciprocal_choices,
)
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Variant
from ssmgen.problem import Problem

__all__ = ["PRODUCTS"]

_SIZES = ("rows", "nodes")
# Nodes whose numbers stay in L1 while the poles pass over them.
_TILE = 256


class Chunked(Variant):
    """Gradients: sums over the nodes of a chunk for each pole, then over chunks."""

    interface = INTERFACES["cauchy_mult"]
    language = "c"
    direction = "backward"
    name = "chunked"
    template = "cauchy_mult_backward.c.j2"
    summary = "every pole by itself: sums over chunks of nodes, added in order"
    rules = (chunk_rule(lambda problem: problem["nodes"]), RECIPROCAL_RULE)

    def supports(self, problem: Problem) -> bool:
        """As many poles as forward takes."""
        return problem.direction == "backward" and 1 <= problem["poles"] <= MOST_POLES

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "lanes": lane_choices(problem, facts),
            "chunk": CHUNKS,
            "reciprocal": reciprocal_choices(problem),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The shortest chunks: they cost little and feed many threads."""
        params = {"lanes": lane_choices(problem, facts)[0], "chunk": CHUNKS[0]}
        return Config.of(self.name, {**params, "reciprocal": "divide"})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES, self._workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            "poles": problem["poles"],
            "serial_work": SERIAL_WORK,
            "tile": _TILE,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES, self._workspaces(problem, config))

    def _workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        shape = (problem["rows"], chunk_count(problem["nodes"], config), problem["poles"], 4)
        return (Workspace("sums", with_real(problem.dtype), shape),)


PRODUCTS: tuple[Variant, ...] = (Chunked(),)
