"""Gradients of poles in Triton: lanes that each walk a chunk of a row's nodes for one pole, and sums of chunks."""

from __future__ import annotations

from collections.abc import Callable

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.triton.common import MOST_BLOCKS, RECIPROCAL_RULE, exp_choices
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = [
    "chunk_blocks",
    "chunks",
    "is_uniform",
    "pole_blocks",
    "sizes",
    "sum_choices",
    "sum_rules",
    "width",
]

Nodes = Callable[[Problem], int]

_CHUNKS = (32, 64, 128, 256, 512, 1024, 2048)


def width(problem: Problem, config: Config) -> int:
    """Poles that a block of lanes takes; further lanes take further chunks of nodes."""
    return min(config.integer("block"), next_power_of_two(problem["poles"]))


def is_uniform(problem: Problem, config: Config) -> bool:
    """Whether all lanes of a block walk the same nodes."""
    return width(problem, config) == config.integer("block")


def sizes(problem: Problem, config: Config) -> tuple[tuple[str, int], ...]:
    """The constants of the launch that walks chunks."""
    block, chunk = ("BLOCK", config.integer("block")), ("CHUNK", config.integer("chunk"))
    return (
        (block, chunk) if is_uniform(problem, config) else (block, ("WIDTH", width(problem, config)), chunk)
    )


def pole_blocks(problem: Problem, config: Config) -> int:
    """Blocks that the poles of a row take."""
    return -(-problem["poles"] // width(problem, config))


def chunks(problem: Problem, config: Config, nodes: Nodes) -> int:
    """Chunks of a row's nodes, the last of them perhaps shorter."""
    return -(-nodes(problem) // config.integer("chunk"))


def chunk_blocks(problem: Problem, config: Config, nodes: Nodes) -> int:
    """Blocks that the chunks of a row take."""
    return -(-chunks(problem, config, nodes) // (config.integer("block") // width(problem, config)))


def sum_choices(facts: DeviceFacts) -> dict[str, tuple[Value, ...]]:
    """Lanes of a block, and the nodes that each of them walks."""
    return {
        "block": (32, 64, 128, 256),
        "chunk": _CHUNKS,
        "reciprocal": exp_choices(facts),
    }


def sum_rules(nodes: Nodes, registers: Callable[[Problem, Config], int]) -> tuple[Rule, ...]:
    """The rules on chunks of so many nodes, where a pole takes so many registers."""
    return (
        RECIPROCAL_RULE,
        Rule(
            "lanes",
            "a block with fewer elements than a warp has lanes leaves some idle",
            lambda problem, config, facts: config.integer("block") >= facts.lanes,
        ),
        Rule(
            "registers",
            "the sums of a lane's poles do not fit its registers",
            lambda problem, config, facts: (
                config.integer("block") == facts.lanes
                or config.integer("block") // facts.lanes * registers(problem, config) <= facts.max_registers
            ),
        ),
        Rule(
            "width",
            "lanes for which neither a pole nor a chunk is left only add idle work",
            lambda problem, config, facts: (
                config.integer("block") // width(problem, config) <= chunks(problem, config, nodes)
                or (config.integer("block"), config.integer("chunk")) == (facts.lanes, _CHUNKS[0])
            ),
        ),
        Rule(
            "chunk",
            "a chunk at least twice as long as there are nodes is that of half the length",
            lambda problem, config, facts: (
                config.integer("chunk") <= max(_CHUNKS[0], next_power_of_two(nodes(problem)))
            ),
        ),
        Rule(
            "grid",
            f"a launch grid has no more than {MOST_BLOCKS} blocks along its third axis",
            lambda problem, config, facts: chunk_blocks(problem, config, nodes) <= MOST_BLOCKS,
        ),
    )
