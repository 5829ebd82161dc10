"""Saved configs tried again on this machine: whether they compile, are right, and are as fast as recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ssmgen import store, targets
from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, SsmgenError
from ssmgen.store import TunedConfig
from ssmgen.targets import Target
from ssmgen.tuning.blame import kind_of_death
from ssmgen.tuning.measure import FinalTimes
from ssmgen.tuning.process import Worker
from ssmgen.tuning.session import source_hash
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.tuning.tune import require_timed
from ssmgen.tuning.worker import Compile, Final, Prepare, Try
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError

__all__ = ["Rechecked", "recheck", "saved_here"]

_FINAL_SECONDS = 0.5
_LIMIT = 30.0  # seconds for one request, whatever is left of the budget


@dataclass(frozen=True)
class Rechecked:
    """A saved config, tried again.

    Attributes:
        path: The file that holds it.
        entry: What was recorded.
        outcome: `as recorded`; `faster`; `slower`, which says that its advantage over the default is gone; `machine
            slower`, where the default is, too; `stale`, where templates have changed and no call uses it; `not
            checked`, for want of time; or a failure of `ssmgen.tuning.FAILURES`.
        timing: Its time now; None where it was not timed.
        default_seconds: Median time of the built-in default now, timed in turns with it; None where it was not.
        error: Relative error by output now, the worst over all cases.
        detail: What a reader should know.
    """

    path: Path
    entry: TunedConfig
    outcome: str
    timing: Timing | None = None
    default_seconds: float | None = None
    error: dict[str, float] = field(default_factory=dict)
    detail: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether the config should be tuned again."""
        return self.outcome not in ("as recorded", "faster", "machine slower", "stale", "not checked")


def saved_here(target: Target, ops: Sequence[str] = ()) -> tuple[tuple[Path, TunedConfig], ...]:
    """Saved configs of this very device that calls may get, each problem class once, measured ones first."""
    from ssmgen.kernels import INTERFACES

    found: dict[tuple[str, str], tuple[Path, TunedConfig]] = {}
    for op in ops or INTERFACES:
        for match in store.ranked(op, target.facts):
            if match.entry.device.name == target.facts.name:
                found.setdefault(match.entry.key, (match.path, match.entry))
    return tuple(sorted(found.values(), key=lambda item: item[1].evidence != "measured"))


def recheck(
    target_name: str,
    *,
    ops: Sequence[str] = (),
    budget_seconds: float = 50.0,
    tolerance: float = 0.2,
    open_target: Callable[[str], Target] = targets.target,
) -> Iterator[Rechecked]:
    """Compile, verify and time saved configs of this device again, and give each as it is done.

    Args:
        target_name: A target that is present here.
        ops: Of which ops; by default of all.
        budget_seconds: Wall-clock seconds; what they do not suffice for is `not checked`.
        tolerance: By how much a time, or the advantage over the default, may differ from what was recorded.
        open_target: Turns the name into the target, here and, by its import path, in the worker.

    Raises:
        InvalidInputError: Budget or tolerance is not positive.
        TargetUnavailableError: The target cannot be timed here.
    """
    if budget_seconds <= 0 or tolerance <= 0:
        raise InvalidInputError("the budget and the tolerance must be positive.")
    target, deadline = open_target(target_name), time.monotonic() + budget_seconds
    require_timed(target)
    with Worker(open_target, target_name) as worker:
        for path, entry in saved_here(target, ops):
            if source_hash(target.space(entry.problem), entry.config) != entry.source_hash:
                detail = "the templates have changed since: no call uses it (ssmgen prune removes it)"
                yield Rechecked(path, entry, "stale", detail=detail)
            elif time.monotonic() > deadline:
                yield Rechecked(path, entry, "not checked", detail="the budget was spent")
            else:
                yield _again(path, entry, target, worker, deadline, tolerance)


def _again(
    path: Path, entry: TunedConfig, target: Target, worker: Worker, deadline: float, tolerance: float
) -> Rechecked:
    problem, config = entry.problem, entry.config
    default = target.space(problem).default()
    configs = tuple(dict.fromkeys((config, default)))

    def ask(request: object) -> object:
        return worker.ask(request, min(_LIMIT, max(deadline - time.monotonic(), 1.0)))

    is_compiling = True
    try:
        ask(Prepare(problem))
        failed = ask(Compile(problem, configs))
        assert isinstance(failed, tuple)
        refused = {trial.config: trial for trial in failed}
        if config in refused:
            return _failed(path, entry, refused[config])
        is_compiling = False
        trial = ask(Try(problem, config, None))
        assert isinstance(trial, Trial)
        if trial.timing is None:
            return _failed(path, entry, trial)
        timed = [each for each in configs if each not in refused]
        found = ask(Final(problem, tuple(timed), _FINAL_SECONDS, 0))
    except WorkerTimeoutError as error:
        if time.monotonic() > deadline:
            return Rechecked(path, entry, "not checked", detail="the budget was spent")
        kind = "compile timeout" if is_compiling else "timeout"
        return Rechecked(path, entry, kind, detail=str(error))
    except WorkerDiedError as error:
        kind = kind_of_death(error, worker.memory, while_compiling=is_compiling)
        return Rechecked(path, entry, kind, detail=str(error))
    except SsmgenError as error:
        return Rechecked(path, entry, "not checked", detail=str(error))
    if isinstance(found, Trial):
        return _failed(path, entry, found)
    assert isinstance(found, FinalTimes)
    return _judged(path, entry, trial, found.rounds, default, tolerance)


def _failed(path: Path, entry: TunedConfig, trial: Trial) -> Rechecked:
    assert trial.failure is not None
    return Rechecked(path, entry, trial.failure, error=dict(trial.error), detail=trial.detail)


def _judged(
    path: Path,
    entry: TunedConfig,
    trial: Trial,
    rounds: dict[Config, list[float]],
    default: Config,
    tolerance: float,
) -> Rechecked:
    timing, most = Timing.of(rounds[entry.config]), 1.0 + tolerance
    beside = rounds.get(default) if default != entry.config else None
    default_seconds = None if beside is None else Timing.of(beside).seconds
    slowdown = timing.seconds / entry.seconds
    if entry.evidence == "predicted":
        outcome, detail = "as recorded", f"{slowdown:.2f} times what was predicted"
        if default_seconds is not None and timing.seconds > most * default_seconds:
            outcome, detail = "slower", f"{detail}; the default is faster: tune here"
    else:
        outcome, detail = _drift(entry, timing, default_seconds, most)
    threads = torch.get_num_threads()
    if entry.threads not in (None, threads) and outcome in ("slower", "faster"):
        outcome, detail = "not checked", f"recorded with {entry.threads} threads; this process has {threads}"
    return Rechecked(path, entry, outcome, timing, default_seconds, dict(trial.error), detail)


def _drift(entry: TunedConfig, timing: Timing, default_seconds: float | None, most: float) -> tuple[str, str]:
    """The outcome of a measured entry that still is right, and why."""
    slowdown = timing.seconds / entry.seconds
    said = f"{slowdown:.2f} times the recorded time"
    if default_seconds is not None and entry.default_seconds is not None:
        # Both were timed in turns, then and now: what the machine does to times, it does to both.
        before, now = entry.default_seconds / entry.seconds, default_seconds / timing.seconds
        if now * most < before:
            return (
                "slower",
                f"{said}; {now:.2f} times as fast as the default, where it was {before:.2f}: tune again",
            )
        if slowdown > most:
            return "machine slower", f"{said}, and so is the default"
    elif slowdown > most and timing.quartiles[0] > entry.quartiles[1]:
        return "slower", f"{said}; it is the default itself, or there is none to compare with"
    if slowdown * most < 1.0:
        return "faster", said
    return "as recorded", said
