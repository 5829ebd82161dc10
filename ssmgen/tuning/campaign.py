"""Several problems tuned within one budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from threading import Lock

from ssmgen import store
from ssmgen.problem import Problem
from ssmgen.targets import driver
from ssmgen.tuning.places import at_once, gpus_alike
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
    """Tune problems, and give each result as it comes; what one leaves of its time, others get.

    They run one after another, or, where there are several GPUs of one kind, on each of them at once.

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
    with ExitStack() as opened:
        tuners = [
            open_tuner(target_name, max_error=max_error, storage=storage, gpu=gpu)
            for gpu in _places(target_name, len(jobs))
        ]
        for tuner in tuners:
            opened.enter_context(tuner)
        first = tuners[0]
        for op in {problem.op for job in jobs for problem in problems_in(job)}:
            store.require_writable(first.target.facts, op)
        queue = _Queue(sorted(jobs, key=lambda job: _known_share(first, job)), deadline, len(tuners))

        def work(tuner: Tuner | Forecaster, observer: Observer) -> Iterator[TuneResult]:
            for job, share in queue:
                for result in _tune(
                    tuner,
                    job,
                    budget_seconds=share,
                    max_trials=max_trials,
                    seed=seed,
                    top_k=top_k,
                    observer=observer,
                ):
                    yield result
                    if result.is_interrupted:
                        return

        own = observer or Observer()
        if len(tuners) == 1:
            yield from work(first, own)
        else:
            observers = [own, *(own.beside(f"device {number}") for number in range(1, len(tuners)))]
            yield from at_once([partial(work, tuner) for tuner in tuners], observers)


class _Queue:
    """Jobs that wait, for one device or several, which share what is left of a budget."""

    def __init__(self, jobs: Sequence[Job], deadline: float, places: int) -> None:
        self._waiting = list(jobs)
        self._deadline = deadline
        self._places = places
        self._lock = Lock()

    def __iter__(self) -> Iterator[tuple[Job, float]]:
        """The next job, and its seconds, until there is none."""
        while True:
            with self._lock:
                if not self._waiting:
                    return
                weights = [_weight(job) for job in self._waiting]
                left = self._deadline - time.monotonic()
                share = left * min(1.0, self._places * weights[0] / sum(weights))
                job = self._waiting.pop(0)
            yield job, max(share, 1.0)


def _places(target_name: str, jobs: int) -> list[int | None]:
    """The GPUs to tune on, no more than there are jobs; None for what is no GPU, or not here."""
    if target_name not in ("cuda", "hip") or jobs < 2 or not driver.is_available():
        return [None]
    return [*gpus_alike()[:jobs]]


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
