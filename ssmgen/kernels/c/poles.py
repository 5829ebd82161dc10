"""What the C kernels on poles and nodes share: how much work is worth a thread, and how gradients split the nodes."""

from __future__ import annotations

from collections.abc import Callable

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = [
    "CHUNKS",
    "MOST_BYTES",
    "MOST_POLES",
    "RECIPROCAL_RULE",
    "SERIAL_WORK",
    "chunk_count",
    "chunk_rule",
    "reciprocal_choices",
]

# What kernels keep of a row's poles on a thread's stack, which some systems make no larger than 2 MB.
MOST_BYTES = 1 << 19
MOST_POLES = 1 << 12
# (pole, node) pairs that one thread does in some ten microseconds.
SERIAL_WORK = 1 << 15
# Nodes that one thread sums over for gradients.
CHUNKS = (1024, 4096, 16384)


def chunk_count(nodes: int, config: Config) -> int:
    """Chunks of a row's nodes, the last of them perhaps shorter."""
    return -(-nodes // config.integer("chunk"))


def chunk_rule(nodes: Callable[[Problem], int]) -> Rule:
    """The rule on chunks, from the number of a problem's nodes."""

    def holds(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
        chunk = config.integer("chunk")
        return chunk == CHUNKS[0] or chunk < 4 * nodes(problem)

    return Rule("chunk", "a chunk four times as long as a row does what a shorter one does", holds)


def reciprocal_choices(problem: Problem) -> tuple[str, ...]:
    """How the reciprocals of denominators are computed; estimates have half the digits of a float."""
    return ("divide", "estimate") if problem.dtype == "c64" else ("divide",)


def _has_estimate(facts: DeviceFacts) -> bool:
    return facts.arch.startswith("x86_64")


RECIPROCAL_RULE = Rule(
    "reciprocal",
    "only x86 has the instruction that estimates reciprocals to twelve bits",
    lambda problem, config, facts: config["reciprocal"] == "divide" or _has_estimate(facts),
)
