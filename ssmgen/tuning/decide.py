"""Clear losers, the finalists of a search, and the winner once they were timed in turns; ties go to the simpler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import sqrt
from statistics import NormalDist, median, quantiles

from ssmgen.config import Config
from ssmgen.tuning.trial import Trial

__all__ = ["finalists", "is_clear_loser", "winner"]

_FINALISTS = 5
_NEGLIGIBLE = 0.01
_CLEARLY = 0.05  # slower by more than this
_CHANCE = 0.01  # of calling a config that is not a clear loser


def is_clear_loser(mine: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether a config is slower than a rival by more than 5%, from repetitions in pairs.

    Wilcoxon's signed-rank test: pairs cancel what disturbs both, and ranks what disturbs one now and then.
    """
    differences = sorted((x - (1.0 + _CLEARLY) * y for x, y in zip(mine, theirs, strict=True)), key=abs)
    count = len(differences)
    if count < 2:
        return False
    ranks = sum(rank for rank, difference in enumerate(differences, 1) if difference > 0)
    if count <= 20:
        return _chance(ranks, count) < _CHANCE
    mean, deviation = count * (count + 1) / 4, sqrt(count * (count + 1) * (2 * count + 1) / 24)
    return 1.0 - NormalDist().cdf((ranks - 0.5 - mean) / deviation) < _CHANCE


@cache
def _chance(least: int, count: int) -> float:
    """That of the ranks 1 to `count`, each taken or not, those taken sum to at least so much."""
    ways = [1] + [0] * (count * (count + 1) // 2)
    for rank in range(1, count + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    return float(sum(ways[least:]) / 2**count)


def finalists(trials: Iterable[Trial], default: Config) -> list[Config]:
    """The configs to compare in turns: the fastest few that did not fail, and the default if it did not."""
    ranked = sorted((trial for trial in trials if trial.failure is None), key=lambda trial: trial.rank)
    configs = [trial.config for trial in ranked]
    return configs[:_FINALISTS] + [config for config in configs[_FINALISTS:] if config == default]


def winner(rounds: Mapping[Config, Sequence[float]], default: Config) -> tuple[Config, tuple[Config, ...]]:
    """The config to keep, and those that it ties with.

    Args:
        rounds: Seconds of each config, one for each round; a round's times are compared in pairs.
        default: The built-in default, the simplest of all.
    """
    fastest = min(rounds, key=lambda config: median(rounds[config]))
    tied = [config for config in rounds if _is_tie(rounds[config], rounds[fastest])]
    chosen = min(tied, key=lambda config: (config != default, _size(config), str(config)))
    return chosen, tuple(config for config in tied if config != chosen)


def _is_tie(slower: Sequence[float], faster: Sequence[float]) -> bool:
    """Whether the paired difference is less than 1% or than two standard errors of its median.

    However large these are on a busy machine, a config that loses nearly every pair by more than 5% ties with none.
    """
    ratios = [mine / theirs - 1.0 for mine, theirs in zip(slower, faster, strict=True)]
    if len(ratios) < 3:
        return median(ratios) < _NEGLIGIBLE
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    # For normal noise the median's standard error is 1.25 sigma / sqrt(n), and the quartiles are 1.35 sigma apart.
    standard_error = 1.25 / 1.35 * (high - low) / sqrt(len(ratios))
    within = median(ratios) < max(_NEGLIGIBLE, 2.0 * standard_error)
    return within and not is_clear_loser(slower, faster)


def _size(config: Config) -> int:
    return sum(value for _, value in config.params if isinstance(value, int))
