"""A sweep on paper: times and memory by size and provider, and how they grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssmgen.bench import Fit, Point, Row, Task, exponent
from ssmgen.report.terminal import print_line
from ssmgen.report.wording import mebibytes, milliseconds, problem_text

__all__ = ["fits", "print_sweep", "task_line"]

_SIZE_WIDTH, _VALUE_WIDTH, _GAP = 10, 9, 2


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
    print_line(_heading(points, sweep), "bold", console)
    for what, text in (("time", _time_text), ("memory", _memory_text)):
        for some in _fitting(names, console.width):
            _print_sizes(what, points, sweep, some, text, console)
    if sweep != "threads":
        _print_fits(points, sweep, names, console)
    _print_reasons(points, console)


def task_line(task: Task, problem: str, ending: str = "") -> str:
    """A task in a line: what is computed of the problem, and by how many threads, or what else ends the line."""
    mode = "" if task.mode == "forward" else f"{task.mode} of "
    threads = f"{task.threads} thread{'s' if task.threads > 1 else ''}"
    return f"{mode}{problem}, {ending or threads}"


def _heading(points: Sequence[Point], sweep: str) -> str:
    task = points[0].task
    text = problem_text(task.problem)
    for (name, size), (_, other) in zip(task.problem.dims, points[-1].task.problem.dims, strict=True):
        if size != other:
            text = text.replace(f"{name}={size}", f"{name}={size:,} to {other:,}".replace(",", " "))
    return task_line(task, text, "by threads" if sweep == "threads" else "")


def _time_text(row: Row) -> str:
    return milliseconds(row.seconds)


def _memory_text(row: Row) -> str:
    return mebibytes(row.memory)


def _fitting(names: Sequence[str], width: int) -> list[list[str]]:
    """The columns of one table after another, each as wide as the console takes."""
    tables: list[list[str]] = [[]]
    left = width - _SIZE_WIDTH
    for name in names:
        needed = max(len(name), _VALUE_WIDTH) + _GAP
        if tables[-1] and needed > left:
            tables.append([])
            left = width - _SIZE_WIDTH
        tables[-1].append(name)
        left -= needed
    return tables


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
    print_line(
        "By least squares in logarithms, with a 95% interval, from where a value is four times the smallest.",
        "dim",
        console,
    )


def _fit_cells(fit: Fit | None, sweep: str) -> tuple[str, str]:
    if fit is None:
        return "-", "-"
    symbol = {"seqlen": "L", "dim": "D", "d_state": "N"}[sweep]
    return f"{symbol}^{fit.exponent:.2f} ±{fit.margin:.2f}", f"{fit.first:,}"


def _print_reasons(points: Sequence[Point], console: Console) -> None:
    """Why sizes are missing, once for each provider and reason."""
    said: dict[tuple[str, str], list[int | None]] = {}
    for name in (row.provider for row in points[0].rows):
        for point in points:
            row = point.row(name)
            if row is not None and row.status != "done":
                said.setdefault((name, f"{row.status}, {row.reason}"), []).append(point.value)
    for (name, reason), values in said.items():
        where = f" at {values[0]:,}" if len(values) == 1 else f" from {values[0]:,} to {values[-1]:,}"
        where = "" if len(values) == len(points) else where
        print_line(f"{name}{where}: {reason}", "dim", console)
