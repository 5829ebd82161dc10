"""The page: one HTML file without scripts, or anything from elsewhere."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import ssmgen
from ssmgen.advice import tune_command
from ssmgen.report.history import figures
from ssmgen.report.history.crossovers import crossovers
from ssmgen.report.history.plain import plain
from ssmgen.report.history.reading import History, Saved, Tuned
from ssmgen.report.history.studies import FEWEST_TRIALS, Importance
from ssmgen.report.wording import counted, duration, error_text, problem_text

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_SERIES = 7  # colours and shapes there are


@dataclass(frozen=True)
class Chapter:
    """A problem of the page.

    Attributes:
        number: Its number, from 1.
        tuned: What is known of it.
        importances: Of the params of its variants.
        charts: Its pictures.
        series: Gives the number of a variant, which its colour and shape follow from.
    """

    number: int
    tuned: Tuned
    importances: tuple[Importance, ...]
    charts: tuple[figures.Chart, ...]
    series: Callable[[str], int]


def render_page(history: History, importances: Sequence[Sequence[Importance]]) -> str:
    """The page as text.

    Args:
        history: What was tuned.
        importances: Of the params, for each of the problems.
    """
    series = _numbering(history.tuned)
    chapters = [
        _chapter(number, item, tuple(found), series[item.problem.op])
        for number, (item, found) in enumerate(zip(history.tuned, importances, strict=True), 1)
    ]
    crossings = [
        (found, figures.crossover(found, series[found.problem.op]), series[found.problem.op])
        for found in crossovers(history.tuned)
    ]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            history=history,
            version=ssmgen.__version__,
            devices=_by_device(chapters),
            crossovers=crossings,
            shipped=_shipped(history.shipped),
            fewest_trials=FEWEST_TRIALS,
            width=figures.WIDTH,
            height=figures.HEIGHT,
        )
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What a file brought is text, whatever it looks like.
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(str(value)),
    )
    environment.filters |= {
        "counted": counted,
        "day": _day,
        "duration": duration,
        "error": error_text,
        "gain": _gain,
        "name": lambda problem: problem_text(problem).partition(" (")[0],
        "outcome": figures.outcome,
        "part": _part,
        "sizes": lambda problem: "(" + problem_text(problem).partition(" (")[2],
        "tune": tune_command,
        "worst": figures.worst_error,
    }
    return environment


def _numbering(tuned: Sequence[Tuned]) -> dict[str, Callable[[str], int]]:
    """For each op what numbers its variants: the same variant looks the same in every picture."""
    names: dict[str, set[str]] = {}
    for item in tuned:
        names.setdefault(item.problem.op, set()).update(item.variants)

    def numbered(variants: list[str]) -> Callable[[str], int]:
        return lambda variant: variants.index(variant) % _SERIES

    return {op: numbered(sorted(variants)) for op, variants in names.items()}


def _chapter(
    number: int, tuned: Tuned, importances: tuple[Importance, ...], series: Callable[[str], int]
) -> Chapter:
    drawn = (draw(tuned, series) for draw in (figures.time_against_trial, figures.error_against_time))
    return Chapter(number, tuned, importances, tuple(filter(None, drawn)), series)


def _by_device(chapters: Sequence[Chapter]) -> list[tuple[str, str, list[Chapter], float]]:
    """Name, architecture and problems of each device, and the largest gain over the default on it."""
    found = []
    for (name, arch), group in groupby(
        chapters, lambda item: (item.tuned.device.name, item.tuned.device.arch)
    ):
        problems = list(group)
        gains = [item.tuned.gain_over_default or 1.0 for item in problems]
        found.append((name, arch, problems, max(gains)))
    return found


def _shipped(shipped: Sequence[Saved]) -> list[tuple[str, str, list[Saved]]]:
    """Name, architecture and configs of each device that configs are shipped for."""

    def names(saved: Saved) -> tuple[str, str]:
        return saved.entry.device.name, saved.entry.device.arch

    return [(*key, list(group)) for key, group in groupby(sorted(shipped, key=names), names)]


def _day(at: float | None) -> str:
    """A moment to the minute, in UTC; a dash where it is not known."""
    return "-" if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _gain(ratio: float | None) -> str:
    """A factor with three digits, `2.14×`; a dash where there is none."""
    if ratio is None:
        return "-"
    return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def _part(gain: float, most: float) -> float:
    """The part of a bar that shows a gain, where all of it shows the largest: logarithmic, from no gain on."""
    return max(math.log(gain) / math.log(most), 0.0) if most > 1.0 else 0.0
