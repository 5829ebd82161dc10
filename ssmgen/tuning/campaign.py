"""Several problems tuned within one budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ssmgen import store
from ssmgen.problem import Problem
from ssmgen.tuning.predicted import Forecaster
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.training import Pair, tune_training
from ssmgen.tuning.tune import Tuner, open_tuner

__all__ = ["Job", "campaign", "one_for_each_class", "problems_in"]

# A problem, or the pairs of problems of which training takes one; see `training_pairs`.
Job = Problem | Sequence[Pair]

# Shares of the budget: the selective scan has by far the largest space, and one run of its reference takes longest.
_WEIGHTS = {"selective_scan": 2.0}


def campaign(
    jobs: Sequence[Job],
    target_name: str,
    *,
    budget_seconds: float,
    max_trials: int | None = None,
    seed: int = 0,
    top_k: int | None = None,
    max_error: float | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
) -> Iterator[TuneResult]:
    """Tune problems one after another, and give each result as it comes; what one leaves of its time, others get.

    Those that earlier runs know least of come first, so that a second run goes on where the first one ended.

    Args:
        jobs: Problems, and pairs of problems to train with.
        target_name: A target that is present, or a GPU that is only named: then times are predicted.
        budget_seconds: Wall-clock seconds for all of them.
        max_trials: Most configs to try for each problem.
        seed: Seed of each search.
        top_k: See `Tuner.tune`.
        max_error: The largest relative error of a config; see `Tuner`.
        storage: See `Tuner`.
        observer: Told of every step.

    Raises:
        TargetUnavailableError: The target cannot be timed here.
        StorageError: The storage cannot be opened, or does not answer.
        ConfigFileError: Results could not be saved; found out before anything is tuned.
    """
    deadline = time.monotonic() + budget_seconds
    with open_tuner(target_name, max_error=max_error, storage=storage) as tuner:
        for op in {problem.op for job in jobs for problem in problems_in(job)}:
            store.require_writable(tuner.target.facts, op)
        waiting = sorted(jobs, key=lambda job: _known_share(tuner, job))
        while waiting:
            weights = [_weight(job) for job in waiting]
            share = (deadline - time.monotonic()) * weights[0] / sum(weights)
            for result in _tune(
                tuner,
                waiting.pop(0),
                budget_seconds=max(share, 1.0),
                max_trials=max_trials,
                seed=seed,
                top_k=top_k,
                observer=observer,
            ):
                yield result
                if result.is_interrupted:
                    return


def problems_in(job: Job) -> tuple[Problem, ...]:
    """Every problem that a job may tune."""
    return (job,) if isinstance(job, Problem) else tuple(problem for pair in job for problem in pair)


def one_for_each_class(jobs: Sequence[Job]) -> list[Job]:
    """The jobs without those whose class, for which a config is saved, an earlier one stands for already."""
    found: dict[object, Job] = {}
    for job in jobs:
        found.setdefault(tuple(problem.problem_class() for problem in problems_in(job)), job)
    return list(found.values())


def _weight(job: Job) -> float:
    first, *others = problems_in(job)
    return _WEIGHTS.get(first.op, 1.0) * (2.0 if others else 1.0)


def _known_share(tuner: Tuner | Forecaster, job: Job) -> float:
    """How much of what a job could try earlier runs have tried."""
    if isinstance(tuner, Forecaster):
        return 0.0  # its predictions are cached, kernel by kernel
    spaces = [tuner.target.space(problem) for problem in problems_in(job)]
    return sum(len(tuner.known(space)) for space in spaces) / max(sum(map(len, spaces)), 1)


def _tune(
    tuner: Tuner | Forecaster,
    job: Job,
    *,
    budget_seconds: float,
    max_trials: int | None,
    seed: int,
    top_k: int | None,
    observer: Observer | None,
) -> Iterator[TuneResult]:
    if isinstance(job, Problem):
        yield tuner.tune(
            job,
            budget_seconds=budget_seconds,
            max_trials=max_trials,
            seed=seed,
            top_k=top_k,
            observer=observer,
        )
    else:
        yield from tune_training(
            tuner,
            job,
            budget_seconds=budget_seconds,
            max_trials=max_trials,
            seed=seed,
            top_k=top_k,
            observer=observer,
        )
