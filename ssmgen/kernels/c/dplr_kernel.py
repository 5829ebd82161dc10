"""The DPLR kernel's spectrum in C: nodes in vector lanes, all products over one reciprocal for each pole and node."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import with_real
from ssmgen.kernels.c.poles import (
    CHUNKS,
    MOST_BYTES,
    RECIPROCAL_RULE,
    SERIAL_WORK,
    chunk_count,
    chunk_rule,
    reciprocal_choices,
)
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.interfaces_s4 import node_count, product_count
from ssmgen.kernels.polynomials import SIN_DOUBLE
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["KERNELS"]

_SIZES = ("dim", "seqlen")
# Nodes whose numbers stay in L1 while the poles pass over them.
_TILE = 256
# Nodes of one task: enough that preparing a row's poles does not count, few enough that a row feeds many threads.
_TASKS = (1024, 256, 4096)


def _sums_fit_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # Of each product the sums, and four numbers of a pole and node, which what they are made of can share.
    sums = 3 if problem.option("pairs") else 2
    return config["group"] == 1 or sums * config.integer("group") + 4 <= facts.max_registers


class _DplrKernel(Variant):
    """What forward and backward share."""

    interface = INTERFACES["dplr_kernel"]
    language = "c"

    def supports(self, problem: Problem) -> bool:
        """What a thread's stack holds of a row's poles, and products that a reader can still follow."""
        numbers = problem["poles"] * (6 + 4 * product_count(problem))
        fits = numbers * (4 if problem.dtype == "c64" else 8) <= MOST_BYTES
        return problem.direction == self.direction and fits and product_count(problem) <= 64

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        products = product_count(problem)
        return {
            "lanes": lane_choices(problem, facts),
            "group": tuple(size for size in range(1, products + 1) if products % size == 0),
            "reciprocal": reciprocal_choices(problem),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """As many sums as registers hold."""
        choices = self.choices(problem, facts)
        params = {name: values[0] for name, values in choices.items()}
        groups = [Config.of(self.name, {**params, "group": group}) for group in choices["group"]]
        return [config for config in groups if self.broken_rule(problem, config, facts) is None][-1]

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES, self.workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            **{name: problem[name] for name in ("channels", "rank", "poles")},
            "limit": "0x1p30" if problem.dtype == "c64" else "0x1p240",
            "tile": _TILE,
            "serial_work": SERIAL_WORK,
            "sin_double": SIN_DOUBLE,
            "pi_double": math.pi.hex(),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES, self.workspaces(problem, config))

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The tangents of the nodes' angles, which all rows share."""
        return (Workspace("tangents", "fp64", (node_count(problem),)),)


class Fused(_DplrKernel):
    """All products of a pole and node, Woodbury's identity, and the spectrum written once."""

    name = "fused"
    template = "dplr_kernel_fused.c.j2"
    summary = "all products over one reciprocal per pole, or pair, and node; Woodbury in registers"
    rules = (
        Rule("registers", "more sums than registers hold are spilled at every pole", _sums_fit_registers),
        RECIPROCAL_RULE,
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {**super().choices(problem, facts), "task": _TASKS}


class Chunked(_DplrKernel):
    """Gradients: every pole by itself, sums over the nodes of a chunk for each pole and product, then over chunks."""

    direction = "backward"
    name = "chunked"
    template = "dplr_kernel_backward.c.j2"
    summary = "every pole by itself: sums over chunks of nodes for each product, added in order"
    rules = (
        Rule("registers", "more sums than registers hold are spilled at every pole", _sums_fit_registers),
        chunk_rule(node_count),
        RECIPROCAL_RULE,
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {**super().choices(problem, facts), "chunk": CHUNKS}

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """Beside the tangents the sums of each chunk."""
        chunks = (problem["dim"], chunk_count(node_count(problem), config))
        factors = problem["channels"] + 2 * problem["rank"] + 2
        return (
            *super().workspaces(problem, config),
            Workspace(
                "sums", with_real(problem.dtype), (*chunks, problem["poles"], product_count(problem), 6)
            ),
            Workspace("factors", "fp64", (*chunks, problem["poles"], factors, 2)),
            Workspace("ydy", "fp64", chunks),
        )


KERNELS: tuple[Variant, ...] = (Fused(), Chunked())
