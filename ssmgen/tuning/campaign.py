"""Several problems tuned within one budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ssmgen import store
from ssmgen.problem import Problem
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.tune import open_tuner

__all__ = ["campaign"]

# Shares of the budget: the selective scan has by far the largest space, and one run of its reference takes longest.
_WEIGHTS = {"selective_scan": 2.0}


def campaign(
    problems: Sequence[Problem],
    target_name: str,
    *,
    budget_seconds: float,
    max_trials: int | None = None,
    seed: int = 0,
    top_k: int | None = None,
    max_error: float | None = None,
    observer: Observer | None = None,
) -> Iterator[TuneResult]:
    """Tune problems one after another, and give each result as it comes; what one leaves of its time, others get.

    Args:
        problems: The problems.
        target_name: A target that is present, or a GPU that is only named: then times are predicted.
        budget_seconds: Wall-clock seconds for all of them.
        max_trials: Most configs to try for each problem.
        seed: Seed of each search.
        top_k: See `Tuner.tune`.
        max_error: The largest relative error of a config; see `Tuner`.
        observer: Told of every step.

    Raises:
        TargetUnavailableError: The target cannot be timed here.
        ConfigFileError: Results could not be saved; found out before anything is tuned.
    """
    deadline = time.monotonic() + budget_seconds
    with open_tuner(target_name, max_error=max_error) as tuner:
        for problem in problems:
            store.require_writable(tuner.target.facts, problem.op)
        for index, problem in enumerate(problems):
            weights = [_WEIGHTS.get(waiting.op, 1.0) for waiting in problems[index:]]
            left = deadline - time.monotonic()
            result = tuner.tune(
                problem,
                budget_seconds=max(left * weights[0] / sum(weights), 1.0),
                max_trials=max_trials,
                seed=seed,
                top_k=top_k,
                observer=observer,
            )
            yield result
            if result.is_interrupted:
                return
