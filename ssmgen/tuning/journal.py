"""What a journal of trials holds, line by line, as it was written: by this version or an earlier one.

A journal is JSON lines. A run says once what it tunes, `{"run": {...}}`, and appends a line for each trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ssmgen import settings, store
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import SsmgenError
from ssmgen.problem import Problem
from ssmgen.tuning.trial import Trial

__all__ = ["FOLDER", "Journal", "RunLine", "TrialLine", "journal_paths", "read_journal"]

FOLDER = "sessions"  # of the cache
_LATEST = 1e11  # seconds since 1970 that a calendar still knows


class RunLine(NamedTuple):
    """What a run says of itself before its first trial.

    Attributes:
        problem: The problem.
        device: The device; whether it is present is not recorded.
        threads: Threads that CPU kernels run with; None on a GPU.
        max_error: The largest error that was allowed; None for that of the dtype.
        default: The built-in default; None where whoever wrote the line did not know it.
    """

    problem: Problem
    device: DeviceFacts
    threads: int | None
    max_error: float | None
    default: Config | None

    def to_data(self) -> dict[str, Any]:
        """The line as JSON data."""
        return {
            "run": {
                "problem": store.problem_data(self.problem),
                "device": store.device_data(self.device),
                "threads": self.threads,
                "max_error": self.max_error,
                "default": None if self.default is None else str(self.default),
            }
        }

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> RunLine:
        """The line that `to_data` wrote."""
        run = data["run"]
        threads, allowed = run["threads"], run["max_error"]
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ValueError(f"threads is {threads!r}")
        if allowed is not None and not 0 < float(allowed) < math.inf:
            raise ValueError(f"max_error is {allowed!r}")
        problem, device = store.read_problem(run["problem"]), store.read_device(run["device"])
        default = None if run["default"] is None else Config.parse(run["default"])
        return RunLine(problem, device, threads, None if allowed is None else float(allowed), default)


class TrialLine(NamedTuple):
    """A trial as a journal keeps it.

    Attributes:
        trial: The trial.
        versions: Version of everything that compiled and ran it, by name.
        at: When it ended, in seconds since 1970; None in journals of earlier versions.
    """

    trial: Trial
    versions: Mapping[str, str]
    at: float | None

    def to_data(self) -> dict[str, Any]:
        """The line as JSON data."""
        return {**self.trial.to_data(), "versions": dict(self.versions), "at": self.at}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> TrialLine:
        """The line that `to_data` wrote."""
        versions, at = data["versions"], data.get("at")
        if not all(isinstance(text, str) for pair in versions.items() for text in pair):
            raise ValueError(f"versions is {versions!r}")
        if at is not None and not 0 <= float(at) < _LATEST:
            raise ValueError(f"at is {at!r}")
        return TrialLine(Trial.from_data(data), dict(versions), None if at is None else float(at))


@dataclass(frozen=True)
class Journal:
    """A journal that was read.

    Attributes:
        run: What the last run said of itself; None where only earlier versions wrote to it.
        records: The trials, in the order in which they ended.
        unreadable: Lines that are neither; a run that was killed may have left half a line.
    """

    run: RunLine | None
    records: tuple[TrialLine, ...]
    unreadable: int


def journal_paths() -> tuple[Path, ...]:
    """The journals of every problem and device, sorted."""
    return tuple(sorted((settings.cache_dir() / FOLDER).glob("*/*.jsonl")))


def read_journal(path: Path) -> Journal:
    """What a journal holds.

    Raises:
        OSError: It cannot be read.
    """
    run, records, unreadable = None, [], 0
    for line in filter(None, path.read_bytes().split(b"\n")):
        try:
            data = json.loads(line)
            if "run" in data:
                run = RunLine.from_data(data)
            else:
                records.append(TrialLine.from_data(data))
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
            SsmgenError,
        ):
            unreadable += 1
    return Journal(run, tuple(records), unreadable)
