"""Few configs for many problems: those with which no problem loses much against its own best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from ssmgen.config import Config
from ssmgen.errors import InvalidInputError
from ssmgen.problem import Problem
from ssmgen.tuning.tune import Tuner

__all__ = ["Few", "few_for_many", "measured"]


class Few(NamedTuple):
    """Some configs, of which each problem takes the one that is the fastest for it.

    Attributes:
        configs: The configs.
        losses: By how much each problem is slower than with its best config of all: 0.1 for 10%.
    """

    configs: tuple[Config, ...]
    losses: Mapping[Problem, float]

    @property
    def worst(self) -> float:
        """The loss of the problem that loses most."""
        return max(self.losses.values())

    @property
    def mean(self) -> float:
        """The mean loss."""
        return fmean(self.losses.values())


def measured(tuner: Tuner, problems: Iterable[Problem]) -> dict[Problem, dict[Config, float]]:
    """The times that earlier runs have measured, by problem; those without any are left out."""
    found = {}
    for problem in problems:
        trials = tuner.known(tuner.target.space(problem)).values()
        times = {trial.config: trial.seconds for trial in trials if trial.failure is None}
        if times:
            found[problem] = times
    return found


def few_for_many(seconds: Mapping[Problem, Mapping[Config, float]]) -> list[Few]:
    """The configs to keep, for each number of them: one, two, ... until no problem loses anything.

    For each number the worst loss is the least that is possible: of the losses that there are, the smallest within
    which so many configs serve every problem (Hochbaum and Shmoys, A best possible heuristic for the k-center problem,
    1985, for the thresholds; Hochgraf and Pai, A few fit most, 2025, for kernels).

    Args:
        seconds: The time of each config that was measured, by problem; what was not measured serves no problem.

    Returns:
        The choices by their number of configs. Numbers at which one config more gains nothing are left out, and so are
        those that are too few to serve every problem at all.

    Raises:
        InvalidInputError: A problem has no time, or there is no problem.
    """
    if not seconds or not all(seconds.values()):
        raise InvalidInputError("every problem needs the time of a config at least: tune it first.")
    problems = list(seconds)
    best = {problem: min(times.values()) for problem, times in seconds.items()}
    losses = {
        config: [seconds[problem].get(config, math.inf) / best[problem] - 1.0 for problem in problems]
        for config in dict.fromkeys(config for times in seconds.values() for config in times)
    }
    # The better ones on the whole come first, so that of several choices theirs is found.
    order = sorted(
        losses, key=lambda config: (fmean(min(loss, 10.0) for loss in losses[config]), str(config))
    )
    thresholds = sorted({loss for each in losses.values() for loss in each if loss < math.inf})
    found: list[Few] = []
    for count in range(1, len(problems) + 1):
        chosen = _least(order, losses, thresholds, count)
        if chosen is None:
            continue
        few = Few(
            chosen,
            {problem: min(losses[config][i] for config in chosen) for i, problem in enumerate(problems)},
        )
        if not found or few.worst < found[-1].worst:
            found.append(few)
        if few.worst == 0.0:
            break
    return found


def _least(
    order: Sequence[Config], losses: Mapping[Config, Sequence[float]], thresholds: Sequence[float], count: int
) -> tuple[Config, ...] | None:
    """So many configs, or fewer, with the least worst loss; None where they cannot serve every problem."""
    low, high, chosen = 0, len(thresholds), None
    while low < high:
        middle = (low + high) // 2
        served = {config: _mask(losses[config], thresholds[middle]) for config in order}
        cover = _cover(served, (1 << len(losses[order[0]])) - 1, count)
        if cover is None:
            low = middle + 1
        else:
            high, chosen = middle, cover
    return chosen


def _mask(losses: Sequence[float], threshold: float) -> int:
    """The problems that lose no more than the threshold, as bits."""
    return sum(1 << i for i, loss in enumerate(losses) if loss <= threshold)


def _cover(served: Mapping[Config, int], everything: int, count: int) -> tuple[Config, ...] | None:
    """At most so many configs that together serve every problem, or None: exact, by branch and bound."""
    # A config that serves no problem which another does not serve, too, is never needed.
    needed: dict[int, Config] = {}
    for config, mask in sorted(served.items(), key=lambda item: -item[1].bit_count()):
        if not any(mask | other == other for other in needed):
            needed[mask] = config

    def search(missing: int, left: int) -> tuple[Config, ...] | None:
        if not missing:
            return ()
        if not left or max((mask & missing).bit_count() for mask in needed) * left < missing.bit_count():
            return None
        bits = (1 << i for i in range(missing.bit_length()) if missing >> i & 1)
        # The problem that the fewest serve leaves the fewest choices.
        hardest = min(bits, key=lambda bit: sum(1 for mask in needed if mask & bit))
        serving = [mask for mask in needed if mask & hardest]
        for mask in sorted(serving, key=lambda mask: -(mask & missing).bit_count()):
            rest = search(missing & ~mask, left - 1)
            if rest is not None:
                return (needed[mask], *rest)
        return None

    return search(everything, count)
