"""The finalists of a search, and the winner once they were timed in turns; a tie goes to the simpler config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from statistics import median, quantiles

from ssmgen.config import Config
from ssmgen.tuning.trial import Trial

__all__ = ["finalists", "winner"]

_FINALISTS = 5
_NEGLIGIBLE = 0.01


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
    """Whether the paired difference is less than 1% or than two standard errors of its median."""
    ratios = [mine / theirs - 1.0 for mine, theirs in zip(slower, faster, strict=True)]
    if len(ratios) < 3:
        return median(ratios) < _NEGLIGIBLE
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    # For normal noise the median's standard error is 1.25 sigma / sqrt(n), and the quartiles are 1.35 sigma apart.
    standard_error = 1.25 / 1.35 * (high - low) / sqrt(len(ratios))
    return median(ratios) < max(_NEGLIGIBLE, 2.0 * standard_error)


def _size(config: Config) -> int:
    return sum(value for _, value in config.params if isinstance(value, int))
