"""A few configs in place of all: every value of a choice occurs in them, and every pair that occurs at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from ssmgen.config import Config
from ssmgen.kernels import Space

__all__ = ["Tried", "covering", "pairs"]

Tried = Callable[[Space], list[Config]]  # of the fixture `tried`


def covering(configs: Sequence[Config]) -> list[Config]:
    """Configs of one variant that hold every pair of values which some of them hold.

    What is wrong with a kernel lies in one choice, or in two that do not go together; whatever a third one is beside
    them is not worth a compilation. A covering array of strength 2, found greedily, as by AETG (Cohen, Dalal, Fredman
    and Patton 1997) but from the configs that the rules allow.
    """
    chosen: list[Config] = []
    left = pairs(configs)
    while left:
        chosen.append(max(configs, key=lambda config: len(pairs([config]) & left)))
        left -= pairs(chosen[-1:])
    return chosen or list(configs[:1])


def pairs(configs: Iterable[Config]) -> set[object]:
    """The values, and the pairs of values, that configs hold."""
    return {held for config in configs for held in (*config.params, *combinations(config.params, 2))}
