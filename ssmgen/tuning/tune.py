"""Tuning one problem after another: what is tried, for how long, what is kept."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import cached_property, partial

import ssmgen
from ssmgen import dispatch, targets
from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.targets import Target, driver
from ssmgen.tuning.compiling import Beside
from ssmgen.tuning.predicted import Forecaster, is_predictable
from ssmgen.tuning.process import Worker
from ssmgen.tuning.record import Record
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.run import Run
from ssmgen.tuning.search import default_configs
from ssmgen.tuning.session import Session, source_hash, threads_of
from ssmgen.tuning.shared import Shared
from ssmgen.tuning.storage import open_storage
from ssmgen.tuning.trial import Trial

__all__ = ["Tuner", "open_tuner", "require_timed", "tune"]

_RANKING_SHARE = 0.4  # of the budget, for predicting which configs are worth timing


class Tuner:
    """Tunes problems for one target; a context manager, because its worker process serves all of them."""

    def __init__(
        self,
        target_name: str,
        *,
        max_error: float | None = None,
        storage: str | None = None,
        gpu: int | None = None,
        open_target: Callable[[str], Target] = targets.target,
    ) -> None:
        """Find the target; the worker starts with the first problem.

        Args:
            target_name: A target that is present here: `cpu`, `cuda` or `hip`.
            max_error: The largest relative error, by Frobenius norms, that a config's outputs may have against
                float64, gradients among them; by default the tolerance of the op's dtype and direction. A larger one
                lets in configs that are faster.
            storage: Where trials are kept and shared with other machines: the path of a file or the URL of a database,
                see `open_storage`; by default in a journal of this machine's cache.
            gpu: The index of the GPU to tune on, of those that are like the current one, which is the default.
            open_target: Turns the name into the target, here and, by its import path, in the worker.

        Raises:
            InvalidInputError: The largest error is not positive, or the storage is none.
            StorageError: The storage cannot be opened.
            UnknownNameError: There is no such target.
            TargetUnavailableError: The target cannot be timed here, or has nothing to tune.
        """
        self._open_target = open_target
        self.target = open_target(target_name)
        require_timed(self.target)
        if max_error is not None and not 0 < max_error < math.inf:
            raise InvalidInputError(f"the largest error must be positive and finite, not {max_error:g}.")
        self.max_error = max_error
        self._storage = None if storage is None else open_storage(storage)
        self._worker = Worker(open_target, target_name, max_error, gpu)
        # Kernels in C keep all cores busy themselves.
        self._compilers = None if self.target.language == "c" else _compilers(open_target, self.target)

    def __enter__(self) -> Tuner:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.kill()
        if self._compilers is not None:
            self._compilers.close()

    @cached_property
    def versions(self) -> dict[str, str]:
        """Version of everything that makes and runs kernels here."""
        return {"ssmgen": ssmgen.__version__, **self.target.versions()}

    def tune(
        self,
        problem: Problem,
        *,
        budget_seconds: float,
        max_trials: int | None = None,
        seed: int = 0,
        top_k: int | None = None,
        observer: Observer | None = None,
    ) -> TuneResult:
        """Find the best config of a problem and save it.

        Ctrl-C ends the search; what was measured is compared and saved all the same, and a later run starts from it.

        Args:
            problem: The exact problem.
            budget_seconds: Wall-clock seconds for everything, from the start of the worker to the final comparison.
            max_trials: Most configs to try in this run; by default as many as the budget allows.
            seed: Seed of the search.
            top_k: Time only that many configs, those that are predicted to be the fastest, and the defaults.
            observer: Told of every step.

        Raises:
            InvalidInputError: The budget is not positive, the target has no kernel for the problem, or `top_k` is
                given and there is no model of the target.
            ConfigFileError: The result cannot be saved; what was measured is kept for the next run.
        """
        if budget_seconds <= 0 or (max_trials is not None and max_trials < 1):
            raise InvalidInputError("the budget and the number of trials must be positive.")
        space = self.target.space(problem)
        if not len(space):
            raise InvalidInputError(
                f"target {self.target.name} has no kernel for {problem}; choose another dtype, option or target."
            )
        observer = observer or Observer()
        left = budget_seconds
        if top_k is not None:
            start = time.monotonic()
            space = self._promising(space, top_k, _RANKING_SHARE * budget_seconds, seed)
            left = max(1.0, budget_seconds - (time.monotonic() - start))
        run = Run(
            self.target,
            space,
            self._worker,
            self.versions,
            left,
            max_trials,
            seed,
            observer,
            self._record(space),
            self._compilers,
        )
        result = run.complete()
        # Calls of this process are to see what was saved, too.
        dispatch.forget()
        observer.finished(result)
        return result

    def known(self, space: Space) -> dict[Config, Trial]:
        """What earlier runs on this machine have found of a space's configs and still holds."""
        return self._record(space).load(partial(source_hash, space))

    def _record(self, space: Space) -> Record:
        threads = threads_of(self.target)
        if self._storage is not None:
            return Shared(self._storage, space, threads, self.versions, self.max_error)
        return Session(
            space.problem, self.target.facts, threads, self.versions, self.max_error, space.default()
        )

    def _promising(self, space: Space, count: int, seconds: float, seed: int) -> Space:
        """The configs of a space that are predicted to be the fastest, and the defaults."""
        with Forecaster(self.target.name, open_target=self._open_target) as forecaster:
            found, _ = forecaster.forecast(space, seconds=seconds, seed=seed)
        kept = {*found.ranked[:count], *default_configs(space)}
        return space.where(kept.__contains__)


def _compilers(open_target: Callable[[str], Target], target: Target) -> Beside:
    """What compiles for a GPU, on its share of all cores but one."""
    cores = max(1, (os.cpu_count() or 1) - 1)
    return Beside(open_target, target.facts.arch, max(1, cores // max(1, driver.count())))


def open_tuner(
    target_name: str,
    *,
    max_error: float | None = None,
    storage: str | None = None,
    gpu: int | None = None,
) -> Tuner | Forecaster:
    """What tunes for a target: by time where it is here, by prediction where it is a GPU that is only named.

    Raises:
        See `Tuner`.
    """
    target = targets.target(target_name)
    if is_predictable(target) and not target.facts.present:
        if storage is not None:
            raise InvalidInputError(
                f"times of {target_name} are predicted, and not kept in a storage: leave it out."
            )
        return Forecaster(target_name)
    return Tuner(target_name, max_error=max_error, storage=storage, gpu=gpu)


def tune(
    problem: Problem,
    target_name: str,
    *,
    budget_seconds: float,
    max_trials: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> TuneResult:
    """Tune one problem; see `Tuner.tune`. For several, a `Tuner` shares one worker process."""
    with Tuner(target_name) as tuner:
        return tuner.tune(
            problem, budget_seconds=budget_seconds, max_trials=max_trials, seed=seed, observer=observer
        )


def require_timed(target: Target) -> None:
    """Raise a `TargetUnavailableError` unless kernels of the target can be timed here."""
    if target.facts.kind == "reference":
        raise TargetUnavailableError(
            "target 'reference' is plain PyTorch: there is nothing to tune; choose another."
        )
    if target.facts.kind == "interpret":
        raise TargetUnavailableError(
            "target 'interpret' runs kernels to check them: its times say nothing; tune for cpu, cuda or hip."
        )
    if not target.facts.present:
        raise TargetUnavailableError(
            f"target {target.name!r} is only named: without the device nothing can be timed. Tune on a machine "
            "that has one, or for the target that is here."
        )
