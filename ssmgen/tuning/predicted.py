"""Tuning without the device: configs ranked by what their machine code should take, and the best saved as predicted.

The search is that of a device that is here; only the measurement is another: each config is compiled, in as many
processes as there are cores, and its time predicted by `ssmgen.model`.
"""

from __future__ import annotations

import datetime
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from statistics import mean

import ssmgen
from ssmgen import dispatch, store, targets
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import Space
from ssmgen.model import KernelCost, resident_blocks
from ssmgen.problem import Problem
from ssmgen.store import TunedConfig
from ssmgen.targets import Target
from ssmgen.targets.devices import Device, device_of
from ssmgen.targets.gpu import GpuTarget
from ssmgen.tuning.compilers import Compilers, answer
from ssmgen.tuning.process import Worker
from ssmgen.tuning.result import Final, Observer, TuneResult
from ssmgen.tuning.search import Search, default_configs
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.tuning.worker import Count

__all__ = ["Forecast", "Forecaster", "busy_space", "is_predictable", "predicted_entry"]

_COMPILE_SECONDS = 120.0
_LEFT_IDLE = 0.5  # configs that occupy less than this part of what another one does are not compiled
_FIRST_GUESS = 2.0  # seconds that a config takes, before any did
_MOST_WORKERS = 16  # each is a process with PyTorch in it: some 400 MB


def is_predictable(target: Target) -> bool:
    """Whether there is a model of what runs on the target."""
    return isinstance(target, GpuTarget)


class Forecast:
    """What a search without the device has found.

    Attributes:
        device: The device that times are predicted for.
        costs: What was compiled, by config.
        search: The search, with a trial for each config.
        idle: Configs that were not compiled because they leave too much of the device idle.
    """

    def __init__(self, device: Device, search: Search, idle: int) -> None:
        self.device = device
        self.costs: dict[Config, KernelCost] = {}
        self.search = search
        self.idle = idle

    @property
    def ranked(self) -> list[Config]:
        """The configs that did not fail, those without spills first, the fastest of them first."""
        good = [trial for trial in self.search.trials.values() if trial.failure is None]
        good.sort(key=lambda trial: (self._spills(trial.config), trial.seconds, str(trial.config)))
        return [trial.config for trial in good]

    def _spills(self, config: Config) -> bool:
        return self.costs[config].spills > 0


class Forecaster:
    """Predicts times for one target; a context manager, because its worker processes serve many problems."""

    def __init__(self, target_name: str, *, open_target: Callable[[str], Target] = targets.target) -> None:
        """Find the target; the workers start with the first problem.

        Raises:
            UnknownNameError: There is no such target.
            TargetUnavailableError: Triton is not installed.
            InvalidInputError: The target is no GPU.
        """
        target = open_target(target_name)
        if not isinstance(target, GpuTarget):
            raise InvalidInputError(
                f"times are predicted for GPUs only, not for target {target.name!r}: tune on it."
            )
        self.target: GpuTarget = target
        # Counting compiles, and that is all: a worker needs no GPU, so an architecture is enough.
        self._compilers = Compilers(open_target, target.facts.arch, _MOST_WORKERS)

    def __enter__(self) -> Forecaster:
        return self

    def __exit__(self, *_: object) -> None:
        self._compilers.close()

    def forecast(
        self,
        space: Space,
        *,
        seconds: float,
        max_trials: int | None = None,
        seed: int = 0,
        every: bool = False,
        observer: Observer | None = None,
    ) -> tuple[Forecast, bool]:
        """Compile and rank as many configs as the time allows.

        Args:
            space: The configs.
            seconds: Wall-clock seconds.
            max_trials: Most configs to compile.
            seed: Seed of the search.
            every: Compile also what leaves much of the device idle.
            observer: Told of every step.

        Returns:
            What was found, and whether Ctrl-C ended the search.
        """
        observer = observer or Observer()
        deadline = time.monotonic() + seconds
        device = device_of(self.target.facts.name, self.target.facts.arch)
        busy = space if every else busy_space(space, device)
        found = Forecast(device, Search(busy, seed=seed), len(space) - len(busy))
        observer.started(busy, 0, deadline)
        observer.referenced(None)
        batch = min(os.cpu_count() or 1, _MOST_WORKERS)
        waits: list[float] = []

        def room() -> int:
            cost = mean(waits) if waits else _FIRST_GUESS
            left = max(int(batch * (deadline - time.monotonic()) / cost), 0 if waits else 1)
            return left if max_trials is None else min(left, max_trials - len(found.search.trials))

        def counted(worker: Worker, config: Config) -> Trial:
            return self._counted(space.problem, config, worker, found)

        def measure(configs: Sequence[Config]) -> list[Trial]:
            observer.compiling(configs)
            start = time.monotonic()
            trials = []
            # Learnt one by one, lest an interruption loses the others of the batch.
            with closing(self._compilers.each(configs, counted)) as done:
                for trial in done:
                    trials.append(trial)
                    found.search.learn(trial)
                    observer.measured(trial)
            waits.append(time.monotonic() - start)
            return trials

        try:
            found.search.run(measure, room, batch)
        except KeyboardInterrupt:
            return found, True
        return found, False

    def _counted(self, problem: Problem, config: Config, worker: Worker, found: Forecast) -> Trial:
        """What becomes of a config; its cost, where it has one, is among those found."""
        cost = answer(worker, Count(problem, config), _COMPILE_SECONDS)
        if isinstance(cost, Trial):
            return cost
        assert isinstance(cost, KernelCost)
        found.costs[config] = cost
        if not cost.is_accounted_for:
            reason = "; ".join(cost.unexplained)
            return Trial(config, failure="not accounted for", detail=reason, source_hash=cost.source_hash)
        if not all(resident_blocks(launch, found.device.core) for launch in cost.launches):
            return Trial(
                config,
                failure="out of resources",
                detail=f"a block of it does not fit into a unit of {found.device.name}",
                source_hash=cost.source_hash,
            )
        seconds = cost.seconds(found.device)
        return Trial(config, Timing(seconds, (seconds, seconds)), source_hash=cost.source_hash)

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
        """Predict the best config of a problem and save it; a measured one that is saved already stays.

        Args:
            problem: The exact problem.
            budget_seconds: Wall-clock seconds.
            max_trials: Most configs to compile.
            seed: Seed of the search.
            top_k: Only for a device that is here, where it limits what is timed.
            observer: Told of every step.

        Raises:
            InvalidInputError: The budget is not positive, the target has no kernel for the problem, or `top_k` is
                given.
            ConfigFileError: The result cannot be saved.
        """
        start = time.monotonic()
        if budget_seconds <= 0 or (max_trials is not None and max_trials < 1):
            raise InvalidInputError("the budget and the number of trials must be positive.")
        if top_k is not None:
            raise InvalidInputError(
                f"target {self.target.name!r} is only named: nothing is timed there, so --top-k limits nothing."
            )
        observer = observer or Observer()
        space = self.target.space(problem)
        if not len(space):
            raise InvalidInputError(
                f"target {self.target.name} has no kernel for {problem}; choose another dtype, option or target."
            )
        found, interrupted = self.forecast(
            space, seconds=budget_seconds, max_trials=max_trials, seed=seed, observer=observer
        )
        default = space.default()
        best = _final(found, found.ranked[0]) if found.ranked else None
        base = _final(found, default) if default in found.ranked else None
        trials = found.search.trials
        path = None
        if best is not None:
            versions = {"ssmgen": ssmgen.__version__, **self.target.versions()}
            default_seconds = None if base is None else base.seconds
            entry = predicted_entry(
                problem,
                self.target.facts,
                best.config,
                best.seconds,
                best.source_hash,
                versions,
                default_seconds,
            )
            path = store.save([entry])[0]
        result = TuneResult(
            problem=problem,
            facts=self.target.facts,
            reference=None,
            default=base,
            best=best,
            tried=len(trials),
            resumed=0,
            valid=len(space),
            failures=Counter(trial.failure for trial in trials.values() if trial.failure is not None),
            excluded=space.excluded,
            is_exhaustive=found.search.is_exhaustive,
            is_interrupted=interrupted,
            notes=_notes(found),
            path=path,
            seconds=time.monotonic() - start,
            evidence="predicted",
        )
        dispatch.forget()
        observer.finished(result)
        return result


def predicted_entry(
    problem: Problem,
    facts: DeviceFacts,
    config: Config,
    seconds: float,
    source_hash: str,
    versions: Mapping[str, str],
    default_seconds: float | None = None,
) -> TunedConfig:
    """What is saved of a prediction: a time without a spread, and no errors, since nothing ran."""
    return TunedConfig(
        problem=problem,
        config=config,
        evidence="predicted",
        seconds=seconds,
        quartiles=(seconds, seconds),
        default_seconds=default_seconds,
        reference_seconds=None,
        error={},
        source_hash=source_hash,
        versions=versions,
        device=facts,
        threads=None,
        created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )


def busy_space(space: Space, device: Device) -> Space:
    """The configs that keep at least half as much of the device busy as the one that keeps most, and the defaults."""
    partitions = device.units * device.core.partitions

    def share(config: Config) -> float:
        launches = space.variant(config).program(space.problem, config).launches
        warps = [
            launch.grid[0] * launch.grid[1] * launch.grid[2] * dict(launch.options).get("num_warps", 4)
            for launch in launches
        ]
        return min(1.0, max(warps, default=0) / partitions)

    shares = {config: share(config) for configs in space.configs.values() for config in configs}
    defaults = default_configs(space)
    enough = _LEFT_IDLE * max(shares.values(), default=0.0)
    return space.where(lambda config: shares[config] >= enough or config in defaults)


def _final(found: Forecast, config: Config) -> Final:
    trial = found.search.trials[config]
    assert trial.timing is not None
    return Final(config, trial.timing, {}, trial.source_hash)


def _notes(found: Forecast) -> tuple[str, ...]:
    notes = [f"predicted for {found.device.name}: no GPU has confirmed the times"]
    if found.idle:
        notes.append(f"{found.idle} configs were not compiled: they leave idle what others use")
    left = len(found.search.space) - len(found.search.trials)
    if left:
        notes.append(f"{left} configs were not compiled: the budget ended before")
    if found.ranked:
        cost = found.costs[found.ranked[0]]
        spills = cost.spills
        limit = cost.limit(found.device)
        notes.append(
            f"the best is limited by {limit}"
            + (f", and has {spills} spills" if spills else ", without spills")
        )
    return tuple(notes)
