"""From the files of tuned configs and the journals of trials to what is known of each problem on each device."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ssmgen import settings, store
from ssmgen.advice import tune_command
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import ConfigFileWarning, TargetUnavailableError
from ssmgen.kernels import INTERFACES, oracle
from ssmgen.problem import Problem
from ssmgen.report.history.plain import plain
from ssmgen.store import TunedConfig
from ssmgen.trust import own_cache, require_own
from ssmgen.tuning.journal import FOLDER, Journal, RunLine, TrialLine, journal_paths, read_journal

__all__ = ["MOST_DETAIL", "Failure", "History", "Progress", "Saved", "Tuned", "read_history"]

Progress = Callable[[str, int, int], None]  # what is done, how far, of how many

MOST_DETAIL = 1500  # characters of what a compiler said


class Saved(NamedTuple):
    """A tuned config and the file that holds it."""

    path: Path
    entry: TunedConfig


@dataclass(frozen=True)
class Failure:
    """How often configs failed in one way, the first that did, and what was said of it."""

    kind: str
    count: int
    config: str
    detail: str


@dataclass(frozen=True)
class Tuned:
    """What is on disk of one problem on one device: the config that was saved, the trials, or both.

    Attributes:
        problem: The exact problem.
        device: The device.
        threads: Threads that CPU kernels ran with; None on a GPU.
        max_error: The largest error that `ssmgen tune --max-error` allowed; None for that of the dtype.
        default_config: The built-in default; None where there is no journal that knows it.
        saved: The saved config; None where a run was not finished, or another problem of the class came later.
        journal: The journal; None where there is none on this machine.
        records: The last trial of each config under the versions of the journal's last one, in order.
        earlier: How many trials of other versions the journal holds.
    """

    problem: Problem
    device: DeviceFacts
    threads: int | None
    max_error: float | None = None
    default_config: Config | None = None
    saved: Saved | None = None
    journal: Path | None = None
    records: tuple[TrialLine, ...] = ()
    earlier: int = 0

    @property
    def entry(self) -> TunedConfig | None:
        """The saved config."""
        return None if self.saved is None else self.saved.entry

    @cached_property
    def is_stale(self) -> bool:
        """Whether the templates no longer render what was saved, so that no call uses it."""
        return self.entry is not None and not store.is_current(self.entry)

    @property
    def gain_over_default(self) -> float | None:
        """How many times faster the saved config is than the built-in default, timed in turns."""
        return None if self.entry is None else _ratio(self.entry.default_seconds, self.entry.seconds)

    @property
    def gain_over_reference(self) -> float | None:
        """How many times faster the saved config is than the PyTorch reference."""
        return None if self.entry is None else _ratio(self.entry.reference_seconds, self.entry.seconds)

    @cached_property
    def timed(self) -> tuple[TrialLine, ...]:
        """The trials that did not fail."""
        return tuple(record for record in self.records if record.trial.timing is not None)

    @cached_property
    def default(self) -> TrialLine | None:
        """The trial of the built-in default; None where it failed or was not tried."""
        return next((r for r in self.timed if r.trial.config == self.default_config), None)

    @cached_property
    def best(self) -> TrialLine | None:
        """The fastest trial."""
        return min(self.timed, key=lambda record: record.trial.seconds, default=None)

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """The variants that were tried, by name."""
        return tuple(sorted({record.trial.config.variant for record in self.records}))

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """The ways in which configs failed, the most frequent first."""
        failed = [record.trial for record in self.records if record.trial.failure is not None]
        counts = Counter(trial.failure for trial in failed)
        found = []
        for kind, count in counts.most_common():
            first = next(trial for trial in failed if trial.failure == kind)
            found.append(
                Failure(str(kind), count, str(first.config), plain(first.detail.strip(), MOST_DETAIL))
            )
        return tuple(found)

    @property
    def versions(self) -> dict[str, str]:
        """Version of everything that compiled and ran what is shown, by name."""
        if self.records:
            return {plain(name): plain(text) for name, text in self.records[-1].versions.items()}
        return {} if self.entry is None else dict(self.entry.versions)

    @property
    def tolerance(self) -> float:
        """The largest error that a config may have."""
        return oracle.tolerance(self.problem) if self.max_error is None else self.max_error

    @property
    def command(self) -> str:
        """The command that tunes the problem, and records its trials."""
        allowed = "" if self.max_error is None else f" --max-error {self.max_error:g}"
        return tune_command(self.problem) + allowed


@dataclass(frozen=True)
class History:
    """What was tuned.

    Attributes:
        tuned: What the user's own folders hold, by device and problem.
        shipped: The configs that came with the package.
        complaints: Sentences about what could not be read.
        created: When it was read.
    """

    tuned: tuple[Tuned, ...]
    shipped: tuple[Saved, ...]
    complaints: tuple[str, ...]
    created: datetime


def read_history(ops: Collection[str] = (), progress: Progress | None = None) -> History:
    """Read every file of tuned configs and every journal; what cannot be read is named and left out.

    Args:
        ops: Of which ops; by default of all.
        progress: Told how many journals were read.
    """
    wanted = ops or INTERFACES
    complaints: list[str] = []
    saved = [item for item in _saved(complaints) if item.entry.problem.op in wanted]
    shipped = [item for item in saved if item.path.is_relative_to(settings.shipped_config_dir())]
    waiting: dict[object, Saved] = {}
    for item in saved:
        # Of two folders the one that is searched first counts, as it does for calls.
        if item not in shipped:
            waiting.setdefault(_key(item.entry.problem, item.entry.device, item.entry.threads), item)
    tuned = [
        Tuned(*run, journal=path, records=_latest(journal), earlier=_of_other_versions(journal))
        for path, run, journal in _journals(wanted, complaints, progress)
    ]
    found = [*_joined(tuned, waiting), *(_alone(item) for item in waiting.values())]
    order = {op: number for number, op in enumerate(INTERFACES)}
    found.sort(
        key=lambda item: (
            (item.device.kind, item.device.name, item.device.arch),
            (order[item.problem.op], item.problem.direction != "forward"),
            (str(item.problem.options), item.problem.dtype, item.problem.dims, item.threads or 0),
        )
    )
    return History(tuple(found), tuple(shipped), tuple(dict.fromkeys(complaints)), datetime.now(timezone.utc))


def _latest(journal: Journal) -> tuple[TrialLine, ...]:
    """The trials under the versions of the last one; a config that was tried again counts once, as it went last."""
    found: dict[Config, TrialLine] = {}
    for record in journal.records:
        if record.versions == journal.records[-1].versions:
            found.pop(record.trial.config, None)
            found[record.trial.config] = record
    return tuple(found.values())


def _of_other_versions(journal: Journal) -> int:
    return sum(record.versions != journal.records[-1].versions for record in journal.records)


def _saved(complaints: list[str]) -> list[Saved]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConfigFileWarning)
        found = store.entries()
    complaints += [plain(str(warning.message)) for warning in said]
    return [
        Saved(store.config_path(folder, entry.device, entry.problem.op), entry) for folder, entry in found
    ]


def _journals(
    wanted: Collection[str], complaints: list[str], progress: Progress | None
) -> Iterator[tuple[Path, RunLine, Journal]]:
    """The journals of these ops that say which problem they are of."""
    paths = [path for path in journal_paths() if path.stem.rpartition("_")[0] in wanted]
    for number, path in enumerate(paths):
        if progress is not None:
            progress("journals read", number, len(paths))
        try:
            own_cache(FOLDER)
            for each in (path.parent, path):
                require_own(each)
            journal = read_journal(path)
        except TargetUnavailableError as error:
            complaints.append(plain(str(error)))
            continue
        except OSError as error:
            complaints.append(plain(f"{path} cannot be read ({error.strerror or error}): it is left out."))
            continue
        if journal.unreadable:
            lines = "1 line is" if journal.unreadable == 1 else f"{journal.unreadable} lines are"
            complaints.append(
                plain(
                    f"{path}: {lines} no trial and left out; a run that was killed leaves half a line, and nothing "
                    "needs to be done about it."
                )
            )
        if journal.run is not None:
            yield path, journal.run, journal
        elif journal.records:
            complaints.append(
                plain(
                    f"{path}: an earlier ssmgen wrote it, and it does not say which problem it is of; its trials "
                    f"({len(journal.records)}) are left out until that problem is tuned again."
                )
            )


def _joined(tuned: list[Tuned], waiting: dict[object, Saved]) -> Iterator[Tuned]:
    """The journals, each with the saved config that it led to, which waits no longer."""
    by_key: dict[object, list[Tuned]] = {}
    for item in tuned:
        by_key.setdefault(_key(item.problem, item.device, item.threads), []).append(item)
    for key, items in by_key.items():
        saved = waiting.pop(key, None)
        # Runs that allowed other errors have journals of their own; the config came from one that has tried it.
        source = next((item for item in items if saved is not None and _has_tried(item, saved)), items[0])
        for item in items:
            yield replace(item, saved=saved) if item is source else item


def _has_tried(item: Tuned, saved: Saved) -> bool:
    tried = ((record.trial.config, record.trial.source_hash) for record in item.timed)
    return (saved.entry.config, saved.entry.source_hash) in tried


def _alone(saved: Saved) -> Tuned:
    entry = saved.entry
    return Tuned(entry.problem, entry.device, entry.threads, saved=saved)


def _key(problem: Problem, device: DeviceFacts, threads: int | None) -> tuple[object, ...]:
    return (problem, replace(device, present=False), threads)


def _ratio(slow: float | None, fast: float) -> float | None:
    return None if slow is None else slow / fast
