"""A benchmark on paper: a table for each task, or for each sweep of an op."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from ssmgen.bench import BASELINE, Point, Result, Row
from ssmgen.bench.limits import Limit
from ssmgen.report.bench_sweep import print_sweep, task_line
from ssmgen.report.terminal import print_line
from ssmgen.report.wording import mebibytes, milliseconds, problem_text, times

__all__ = ["print_bench", "task_text"]


_WRONG = 0.05  # half precision is off by less than a hundredth


def print_bench(result: Result, console: Console) -> None:
    """Print tables that are readable from 80 columns up."""
    if result.sweep is None:
        for point in result.points:
            _print_point(point, console)
            console.print()
    else:
        for _, points in groupby(result.points, lambda point: point.task.problem.op):
            print_sweep(list(points), result.sweep, console)
            console.print()
    _print_absent(result, console)
    if result.interrupted:
        console.print("Interrupted: this is what was done until then.", style="yellow")


def task_text(point: Point) -> str:
    """The task in a line."""
    return task_line(point.task, problem_text(point.task.problem))


def _print_point(point: Point, console: Console) -> None:
    print_line(task_text(point), "bold", console)
    if point.limit is not None:
        print_line(f"limit {_limit_text(point, point.limit)}", "cyan", console)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("provider", style="bold", no_wrap=True)
    for heading in ("time", "spread", f"vs {BASELINE}", "of limit", "error", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.columns[3].style = "green"
    shown = [row for row in point.rows if row.status != "skipped"]
    for row in shown:
        table.add_row(*_cells(point, row), style="" if row.status == "done" else "red")
    if shown:
        console.print(table)
    for row in point.rows:
        if row.status == "failed":
            print_line(f"{row.provider} failed: {row.reason}", "red", console)
    for row in shown:
        if row.note:
            print_line(f"{row.provider}: {row.note}", "dim", console)
    _print_conditions(point, shown, console)
    skipped = [f"{row.provider} ({row.reason})" for row in point.rows if row.status == "skipped"]
    if skipped:
        print_line(f"left out: {', '.join(skipped)}", "dim", console)


def _cells(point: Point, row: Row) -> list[str]:
    if row.seconds is None or row.quartiles is None:
        return [row.provider, row.status, *["-"] * 5]
    low, high = row.quartiles
    speedup, fraction = point.speedup(row, BASELINE), point.fraction(row)
    return [
        row.provider,
        milliseconds(row.seconds),
        f"±{50 * (high - low) / row.seconds:.0f}%" if len(row.samples) > 1 else "one run",
        "-" if speedup is None else times(speedup, 1.0),
        "-"
        if fraction is None
        else f"{100 * fraction:.0f}%"
        if fraction >= 0.1
        else f"{100 * fraction:.1f}%",
        _error_text(row.error),
        mebibytes(row.memory),
    ]


def _error_text(error: float | None) -> str:
    if error is None:
        return "-"
    return "wrong" if error > _WRONG else f"{error:.0e}"


def _limit_text(point: Point, limit: Limit) -> str:
    """What the limit is, and of what it consists."""
    moved = f"{point.task.bytes / 1e6:,.1f} MB at {limit.bandwidth / 1e9:.1f} GB/s"
    memory = f"memory {milliseconds(limit.memory)} ({moved})"
    if limit.compute is None:
        return f"not known, the arithmetic of this op is not timed; {memory}"
    if not limit.per_element:
        return memory
    each = " + ".join(f"{1e12 * seconds:.1f} ps ({body})" for body, seconds in limit.per_element.items())
    compute = f"arithmetic {milliseconds(limit.compute)} ({point.task.elements / 1e6:,.1f}M x {each})"
    return f"{milliseconds(limit.seconds)}, the larger of {compute} and {memory}"


def _print_conditions(point: Point, shown: Sequence[Row], console: Console) -> None:
    said = []
    if point.checked != point.task:
        along = [
            f"{name}={size}" for name, size in point.checked.problem.dims if size != point.task.problem[name]
        ]
        said.append(f"errors are those at {', '.join(along)}")
    if point.others is not None and point.others >= 0.1:
        said.append(f"other processes used {point.others:.1f} cores meanwhile")
    if said:
        print_line("; ".join(said), "yellow", console)


def _print_absent(result: Result, console: Console) -> None:
    for _, why, install in result.absent:
        print_line(f"{why}; to have it: {install}", "dim", console)
