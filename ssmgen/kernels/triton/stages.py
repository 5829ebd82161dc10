"""Loads that start rounds ahead (`tl.range(..., num_stages=...)`): how many rounds, and where that cannot pay.

With `stages` a round of a loop starts the loads of the round `stages - 1` further on. On NVIDIA's GPUs they are copies
to shared memory, with places for `stages - 1` rounds. With two stages a round's copies start when the round before has
read the one place, and are awaited together; with three a whole round passes between. On AMD's GPUs registers hold
what is loaded, and more than a round of it spills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = ["ADDED", "Loads", "stage_choices", "stage_rules"]

# What stands for the param in configs that were saved before it was one.
ADDED = {"stages": 1}

# Loads that are started ahead. Triton takes a second to compile 24 of them, three for 48, and ten for 96.
_MOST_AHEAD = 72
_NARROWEST = 4  # bytes
_OTHERS = 64  # registers of a lane for all else, where nobody estimates them


class Loads(NamedTuple):
    """What a loop loads in a round.

    Attributes:
        rounds: Rounds of the loop.
        loads: Loads of a round, each a tile.
        bytes: Bytes of them.
        registers: Registers of a lane that would hold them.
        width: Bytes of a lane that are neighbours, in the load with most of them.
    """

    rounds: int
    loads: int
    bytes: int
    registers: int
    width: int


def stage_choices(facts: DeviceFacts, most: int = 3) -> tuple[int, ...]:
    """The values of `stages`: 1 for none ahead, and the number that pays where any does.

    Args:
        facts: The device.
        most: That number on NVIDIA's GPUs: 2 where a round is so long, and loads so much, that waiting once in it is
            little and places for two rounds are too many.
    """
    return (1, 2 if facts.kind == "hip" else most)


def stage_rules(
    loads: Callable[[Problem, Config, DeviceFacts], Loads],
    registers: Callable[[Problem, Config, DeviceFacts], int] = lambda problem, config, facts: _OTHERS,
) -> tuple[Rule, ...]:
    """The rules on `stages`.

    Args:
        loads: What the loop loads.
        registers: Estimated registers of a lane without loads ahead, where they may be many.
    """

    def fits(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
        stages, found = config.integer("stages"), loads(problem, config, facts)
        if facts.kind == "hip":
            return registers(problem, config, facts) + stages * found.registers <= facts.max_registers
        return (stages - 1) * found.bytes <= facts.shared_bytes

    def rule(name: str, reason: str, holds: Callable[[Problem, Config, DeviceFacts], bool]) -> Rule:
        return Rule(
            name,
            reason,
            lambda problem, config, facts: config["stages"] == 1 or holds(problem, config, facts),
        )

    return (
        rule(
            "rounds",
            "a loop of fewer rounds than stages has no round to load ahead for",
            lambda problem, config, facts: loads(problem, config, facts).rounds >= config.integer("stages"),
        ),
        rule(
            "narrow",
            "a lane copies four bytes to shared memory or more: no load would start ahead",
            lambda problem, config, facts: (
                facts.kind != "cuda" or loads(problem, config, facts).width >= _NARROWEST
            ),
        ),
        rule(
            "ahead",
            f"more than {_MOST_AHEAD} loads ahead take Triton ten seconds to compile",
            lambda problem, config, facts: (
                (config.integer("stages") - 1) * loads(problem, config, facts).loads <= _MOST_AHEAD
            ),
        ),
        rule(
            "room",
            "what is loaded ahead has no room in a block's shared memory or, on AMD's GPUs, in a lane's registers",
            fits,
        ),
    )
