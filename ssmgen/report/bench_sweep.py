"""A sweep on paper: times and memory by size and provider, and how they grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssmgen.bench import Fit, Point, Row, exponent
from ssmgen.report.wording import mebibytes, milliseconds, problem_text

__all__ = ["fits", "print_sweep"]

_COLUMN = 13  # of a provider in a table of sizes


def fits(points: Sequence[Point]) -> dict[str, tuple[Fit | None, Fit | None]]:
    """For each provider how its time and its memory grow with the swept size of one op's points."""
    return {
        row.provider: (_fit(points, row.provider, _seconds), _fit(points, row.provider, _memory))
        for row in points[0].rows
    }


def _seconds(row: Row) -> float | None:
    return row.seconds


def _memory(row: Row) -> float | None:
    return row.memory


def _fit(points: Sequence[Point], name: str, value: Callable[[Row], float | None]) -> Fit | None:
    known = [
        (point.value, found)
        for point in points
        if (row := point.row(name)) is not None and point.value is not None and (found := value(row))
    ]
    return exponent([size for size, _ in known], [found for _, found in known])


def print_sweep(points: Sequence[Point], sweep: str, console: Console) -> None:
    """Print the points of one op, in ascending sizes."""
    names = [row.provider for row in points[0].rows if any(_is_done(point, row.provider) for point in points)]
    console.print(Text(f"{_heading(points, sweep)}", "bold"), soft_wrap=True)
    width = max(1, (console.width - 10) // _COLUMN)
    for start in range(0, len(names), width):
        some = names[start : start + width]
        _print_sizes("time", points, sweep, some, lambda row: milliseconds(row.seconds), console)
    for start in range(0, len(names), width):
        some = names[start : start + width]
        _print_sizes("memory", points, sweep, some, lambda row: mebibytes(row.memory), console)
    if sweep != "threads":
        _print_fits(points, sweep, names, console)
    _print_reasons(points, console)


def _heading(points: Sequence[Point], sweep: str) -> str:
    task = points[0].task
    mode = "" if task.mode == "forward" else f"{task.mode} of "
    first, last = points[0].value, points[-1].value
    threads = "" if sweep == "threads" else f", {task.threads} thread{'s' if task.threads > 1 else ''}"
    return f"{mode}{problem_text(task.problem)}{threads}: {sweep} from {first:,} to {last:,}"


def _is_done(point: Point, name: str) -> bool:
    row = point.row(name)
    return row is not None and row.status == "done"


def _print_sizes(
    what: str,
    points: Sequence[Point],
    sweep: str,
    names: Sequence[str],
    text: Callable[[Row], str],
    console: Console,
) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(sweep, justify="right", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        rows = (point.row(name) for name in names)
        table.add_row(
            f"{point.value:,}", *("-" if row is None or row.status != "done" else text(row) for row in rows)
        )
    console.print(Text(what, "cyan"))
    console.print(table)
    console.print()


def _print_fits(points: Sequence[Point], sweep: str, names: Sequence[str], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("provider", style="bold", no_wrap=True)
    for heading in ("time grows as", "from", "memory grows as", "from"):
        table.add_column(heading, justify="right", no_wrap=True)
    found = fits(points)
    for name in names:
        table.add_row(name, *_fit_cells(found[name][0], sweep), *_fit_cells(found[name][1], sweep))
    console.print(table)
    console.print(
        "By least squares in logarithms, with a 95% interval, from where a value is four times the smallest.",
        style="dim",
        soft_wrap=True,
    )


def _fit_cells(fit: Fit | None, sweep: str) -> tuple[str, str]:
    if fit is None:
        return "-", "-"
    symbol = {"seqlen": "L", "dim": "D", "d_state": "N"}[sweep]
    return f"{symbol}^{fit.exponent:.2f} ±{fit.margin:.2f}", f"{fit.first:,}"


def _print_reasons(points: Sequence[Point], console: Console) -> None:
    """Why sizes are missing, once for each provider and reason."""
    said: dict[tuple[str, str], list[int | None]] = {}
    for point in points:
        for row in point.rows:
            if row.status != "done":
                said.setdefault((row.provider, f"{row.status}, {row.reason}"), []).append(point.value)
    for (name, reason), values in said.items():
        where = f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
        everywhere = len(values) == len(points)
        console.print(
            f"{name}{'' if everywhere else f' at {where}'}: {reason}",
            style="dim",
            soft_wrap=True,
            markup=False,
        )
