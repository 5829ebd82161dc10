"""The Vandermonde products in C: two small tables of exponentials for each pole, and a product of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["PRODUCTS"]

_SIZES = ("rows", "seqlen")
# (pole, step) pairs that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 18
# Poles whose tables a core's caches, and a thread's stack, hold at a time.
_GROUP = 32


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    rows, columns = config.integer("rows"), config.integer("columns")
    return rows * columns + columns + 1 <= facts.max_registers


def _hides_latency(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("rows") * config.integer("columns") >= 8


def _holds_tiles(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    return config.integer("block") % (config.integer("columns") * config.integer("lanes")) == 0


class _Product(Variant):
    """What the variants share."""

    language = "c"
    name = "product"
    rules = (
        Rule(
            "registers", "a tile of sums that registers do not hold is spilled at every step", _fits_registers
        ),
        Rule("latency", "with fewer than eight sums, multiplications wait for one another", _hides_latency),
        Rule("tile", "a block of steps is a whole number of tiles", _holds_tiles),
    )
    parts: ClassVar[int] = 0  # sums over steps for each pole, in reals

    def supports(self, problem: Problem) -> bool:
        """One direction."""
        return problem.direction == self.direction

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block": (32, 64, 96, 128),
            "blocks": (64, 256),
            "columns": (2, 3, 4),
            "lanes": lane_choices(problem, facts),
            "rows": tuple(rows for rows in (4, 6, 8, 12) if rows % max(1, self.parts) == 0),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Tiles that fill the registers; long tasks, unless rows are too few to keep all threads busy with them."""
        if facts.max_registers >= 32:
            block, columns, rows = 64, 2, 12
        else:
            block, columns, rows = (96, 3, 4) if self.parts == 4 else (64, 2, 6)
        tasks = problem["rows"] * -(-problem["seqlen"] // (block * 256))
        chosen = {
            "block": block,
            "blocks": 256 if tasks >= 4 * facts.max_threads else 64,
            "columns": columns,
            "lanes": lane_choices(problem, facts)[0],
            "rows": rows,
        }
        return Config.of(self.name, chosen)

    def workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """The sums of each task, where there are any."""
        if not self.parts:
            return ()
        tasks = -(-problem["seqlen"] // (config.integer("block") * config.integer("blocks")))
        return (
            Workspace("sums", problem.dtype, (problem["rows"], tasks, problem["poles"], self.parts // 2)),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        lanes, is_float = config.integer("lanes"), dtype(problem.dtype).c == "float"
        return {
            **vector_context(problem.dtype, lanes),
            **arguments(self.interface, problem, _SIZES, self.workspaces(problem, config)),
            **dict(config.params),
            "function": problem.function,
            "group": min(_GROUP, problem["poles"]),
            "grouped": problem["poles"] > _GROUP,
            "parts": self.parts,
            "poles": problem["poles"],
            "serial_work": _SERIAL_WORK,
            "store_wide": "narrow" if is_float else "store",
            "wide": lanes // 2 if is_float else lanes,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES, self.workspaces(problem, config))


class LogVandermonde(_Product):
    """Sums over poles."""

    interface = INTERFACES["log_vandermonde"]
    template = "log_vandermonde.c.j2"
    summary = "exponentials from two small tables, summed over poles as a product of matrices"


class LogVandermondeBackward(_Product):
    """Sums over steps, and over steps times their index."""

    interface = INTERFACES["log_vandermonde"]
    direction = "backward"
    template = "log_vandermonde_backward.c.j2"
    summary = "gradients: sums over steps as a product of matrices"
    parts = 4


class LogVandermondeTranspose(_Product):
    """Sums over steps."""

    interface = INTERFACES["log_vandermonde_transpose"]
    template = "log_vandermonde_transpose.c.j2"
    summary = "exponentials from two small tables, summed over steps as a product of matrices"
    parts = 2


class LogVandermondeTransposeBackward(_Product):
    """Sums over poles, and sums over steps."""

    interface = INTERFACES["log_vandermonde_transpose"]
    direction = "backward"
    template = "log_vandermonde_transpose_backward.c.j2"
    summary = "gradients: sums over poles, and over steps, as products of matrices"
    parts = 4


PRODUCTS: tuple[Variant, ...] = (
    LogVandermonde(),
    LogVandermondeBackward(),
    LogVandermondeTranspose(),
    LogVandermondeTransposeBackward(),
)
