"""What a benchmark has found: a row for each provider and task, and the run that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from ssmgen.bench.limits import Limit
from ssmgen.bench.task import Task

__all__ = ["Observer", "Point", "Result", "Row"]


@dataclass(frozen=True)
class Row:
    """One provider on one task.

    Attributes:
        provider: Its name.
        status: `done`; `skipped`, where it was not tried; or `failed`.
        reason: Why it is not done.
        samples: Seconds of its runs.
        errors: Relative error of each result against float64, by Frobenius norms.
        memory: Bytes that a run adds at its peak, outputs included; None where that is unknown.
        sets: Sets of inputs that runs took by turns.
        note: What a reader should know.
        version: Its version.
    """

    provider: str
    status: str
    reason: str = ""
    samples: tuple[float, ...] = ()
    errors: Mapping[str, float] | None = None
    memory: int | None = None
    sets: int = 0
    note: str = ""
    version: str = ""

    @property
    def seconds(self) -> float | None:
        """The median; None without a sample."""
        return median(self.samples) if self.samples else None

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """The middle half of the samples; None without any."""
        if not self.samples:
            return None
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def error(self) -> float | None:
        """The largest relative error."""
        return max(self.errors.values()) if self.errors else None


@dataclass(frozen=True)
class Point:
    """All providers on one task.

    Attributes:
        task: The task.
        rows: By provider, in the order of the table.
        limit: The least time that this machine could take; None where that was not sampled.
        checked: The task that errors were measured on.
        others: Cores that other processes used during the rounds; None where that is unknown.
        value: The size that a sweep varies; None outside of sweeps.
    """

    task: Task
    rows: tuple[Row, ...]
    limit: Limit | None
    checked: Task
    others: float | None = None
    value: int | None = None

    def row(self, provider: str) -> Row | None:
        """The row of a provider."""
        return next((row for row in self.rows if row.provider == provider), None)

    def speedup(self, row: Row, baseline: str) -> float | None:
        """How many times as long the baseline takes, in the same rounds."""
        reference = self.row(baseline)
        if reference is None or reference.seconds is None or row.seconds is None:
            return None
        return reference.seconds / row.seconds

    def fraction(self, row: Row) -> float | None:
        """The limit over the time: 1 is as fast as this machine can be."""
        seconds = None if self.limit is None else self.limit.seconds
        return None if seconds is None or row.seconds is None else seconds / row.seconds


@dataclass(frozen=True)
class Result:
    """A whole run.

    Attributes:
        points: In the order in which they ran.
        absent: Providers that are not here: (name, why, how to get it).
        sweep: What a sweep varies; None outside of sweeps.
        seconds: How long it took.
        interrupted: Whether Ctrl-C ended it.
    """

    points: Sequence[Point]
    absent: Sequence[tuple[str, str, str]]
    sweep: str | None
    seconds: float
    interrupted: bool = False


class Observer:
    """Told of a run as it goes; whoever shows progress overrides what it needs."""

    def started(self, task: Task, number: int, total: int, deadline: float) -> None:
        """A task begins; the deadline is on `time.monotonic`'s clock."""

    def checking(self, task: Task) -> None:
        """The float64 results are computed."""

    def preparing(self, provider: str) -> None:
        """A provider is imported, compiled and run for the first time."""

    def round(self, number: int, providers: int) -> None:
        """A round of so many providers begins."""

    def finished(self, point: Point) -> None:
        """A task is done."""
