"""Pictures as geometry: what lies where. The page's template draws them; nothing here writes a tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from ssmgen.report.history.axes import Axis, Tick
from ssmgen.report.history.crossovers import Crossover
from ssmgen.report.history.reading import Tuned
from ssmgen.report.wording import counted, duration, error_text
from ssmgen.tuning.journal import TrialLine
from ssmgen.tuning.trial import Trial

__all__ = [
    "HEIGHT",
    "WIDTH",
    "Chart",
    "crossover",
    "error_against_time",
    "outcome",
    "time_against_trial",
    "worst_error",
]

WIDTH, HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 350, 22, 198
_LABEL = 42.0  # the width of a time or a size that is written beside an axis
_NEAR = 5.0  # times the largest error: a limit within it is drawn
_STRIP = 16  # where failures are drawn, above the times


class Mark(NamedTuple):
    """A trial: where it lies, the number of its variant, what is said of it, whether it was saved, or failed."""

    x: float
    y: float
    series: int
    title: str
    is_saved: bool = False
    is_failed: bool = False


class Line(NamedTuple):
    """A line through points, of a variant or, with None, of all."""

    points: tuple[tuple[float, float], ...]
    series: int | None
    title: str


class Guide(NamedTuple):
    """A dashed line across the picture, at a height, and what it says."""

    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A picture of points and lines.

    Attributes:
        title: What it shows.
        description: The same in a sentence, with what matters in it.
        x_label: What lies along.
        y_label: What lies upwards.
        x_ticks: Marks of the axis along.
        y_ticks: Marks of the axis upwards.
        marks: The points.
        lines: The lines.
        guides: Heights worth knowing.
        strip: The height at which failures lie; None where there are none.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    guides: tuple[Guide, ...] = ()
    strip: float | None = None
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM


def time_against_trial(tuned: Tuned, series: Callable[[str], int]) -> Chart | None:
    """Every trial's time in the order of the trials, and the best so far; None where nothing was timed."""
    if not tuned.timed:
        return None
    default = None if tuned.default is None else tuned.default.trial.seconds
    seconds = [record.trial.seconds for record in tuned.timed]
    strip = _TOP + _STRIP / 2 if tuned.failures else None
    top = _TOP if strip is None else _TOP + _STRIP
    y = Axis.over(seconds, _BOTTOM, top, duration)
    x = Axis.over((1, len(tuned.records)), _LEFT, _RIGHT, lambda value: f"{value:.0f}", is_log=False)
    marks, steps, best = [], [], float("inf")
    for number, record in enumerate(tuned.records, 1):
        trial = record.trial
        at = x.at(number)
        height = strip if trial.timing is None else y.at(trial.seconds)
        assert height is not None
        marks.append(_mark(at, height, number, record, tuned, series))
        if trial.timing is not None and trial.seconds < best:
            steps += [] if best == float("inf") else [(at, y.at(best))]
            best = trial.seconds
            steps.append((at, y.at(best)))
    steps.append((x.at(len(tuned.records)), y.at(best)))
    said = f"{counted(len(seconds), 'trial')} of {len(tuned.records)} timed, the best in {duration(best)}"
    said += (
        f", the first in {duration(seconds[0])}, the slowest in {duration(max(seconds))}"
        if len(seconds) > 1
        else ""
    )
    return Chart(
        "Time against trial",
        f"{said}. The search takes each time alone; the saved one is from the last comparison, in turns with others.",
        "trial",
        "time of a run",
        x.counts(),
        y.ticks(),
        _in_order(marks),
        (Line(tuple(steps), None, "best so far"),),
        () if default is None else (Guide(y.at(default), "default"),),
        strip,
    )


def error_against_time(tuned: Tuned, series: Callable[[str], int]) -> Chart | None:
    """Accuracy and speed of the trials, and those that no other beats in both; None where nothing was timed."""
    found = [
        (number, record)
        for number, record in enumerate(tuned.records, 1)
        if record.trial.timing is not None and record.trial.error and isfinite(worst_error(record.trial))
    ]
    if not found:
        return None
    errors = [worst_error(record.trial) for _, record in found]
    # An exact result has no logarithm: it lies at the lower end.
    positive = [error for error in errors if error > 0] or [tuned.tolerance]
    least = min(positive) if min(errors) > 0 else min(positive) / 10
    x = Axis.over([record.trial.seconds for _, record in found], _LEFT, _RIGHT, duration)
    # Far above all errors it would only press them together.
    limits = [tuned.tolerance] if tuned.tolerance < _NEAR * max(positive) else []
    y = Axis.over([least, max(positive), *limits], _BOTTOM, _TOP, error_text)
    marks = [
        _mark(x.at(record.trial.seconds), y.at(max(error, least)), number, record, tuned, series)
        for (number, record), error in zip(found, errors, strict=True)
    ]
    front = _front(
        [(record.trial.seconds, max(error, least)) for (_, record), error in zip(found, errors, strict=True)]
    )
    return Chart(
        "Error against time",
        f"The largest error of an output, from {error_text(min(errors))} to {error_text(max(errors))}, where "
        f"{error_text(tuned.tolerance)} is allowed. A line joins the configs that no other beats in both.",
        "time of a run",
        "relative error",
        x.ticks(apart=_LABEL),
        y.ticks(),
        _in_order(marks),
        (
            Line(
                tuple((x.at(seconds), y.at(error)) for seconds, error in front),
                None,
                "beaten by none in both",
            ),
        ),
        tuple(Guide(y.at(limit), "allowed") for limit in limits),
    )


def crossover(found: Crossover, series: Callable[[str], int]) -> Chart:
    """The fastest time of each variant against the size."""
    x = Axis.over(found.sizes, _LEFT, _RIGHT, lambda value: f"{value:.0f}")
    y = Axis.over([point.seconds for point in found.points], _BOTTOM, _TOP, duration)
    marks, lines = [], []
    for variant in found.variants:
        points = [point for point in found.points if point.variant == variant]
        at = [(x.at(point.size), y.at(point.seconds)) for point in points]
        lines.append(Line(tuple(at), series(variant), variant))
        marks += [
            Mark(*place, series(variant), f"{variant}, {found.dim}={point.size}: {duration(point.seconds)}")
            for place, point in zip(at, points, strict=True)
        ]
    return Chart(
        f"Time against {found.dim}",
        f"The fastest time of each variant where {found.dim} is {', '.join(map(str, found.sizes))}.",
        found.dim,
        "time of a run",
        x.written(found.sizes, _LABEL),
        y.ticks(),
        tuple(marks),
        tuple(lines),
    )


def worst_error(trial: Trial) -> float:
    """The largest error of a trial's outputs; 0 where it has none."""
    return max(trial.error.values(), default=0.0)


def outcome(trial: Trial) -> str:
    """What became of a trial, in a few words."""
    return duration(trial.seconds) if trial.failure is None else trial.failure


def _mark(
    x: float, y: float, number: int, record: TrialLine, tuned: Tuned, series: Callable[[str], int]
) -> Mark:
    trial = record.trial
    said = f"trial {number}: {trial.config}: {outcome(trial)}"
    said += f", error {error_text(worst_error(trial))}" if trial.error else ""
    is_saved = tuned.entry is not None and tuned.entry.config == trial.config
    return Mark(x, y, series(trial.config.variant), said, is_saved, trial.timing is None)


def _in_order(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """What there is little of above what there is much of, and the saved config above all."""
    counts = Counter(mark.series for mark in marks)
    return tuple(sorted(marks, key=lambda mark: (mark.is_saved, -counts[mark.series])))


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one beats in both coordinates, from left to right."""
    found: list[tuple[float, float]] = []
    for seconds, error in sorted(points):
        if not found or error < found[-1][1]:
            found.append((seconds, error))
    return found
