"""What a warm-up has prepared: a bar while it does, then a line for each problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ssmgen import warming
from ssmgen.report.wording import problem_text
from ssmgen.warming import Prepared

__all__ = ["prepared_data", "print_prepared", "shown"]


@contextmanager
def shown(console: Console | None) -> Iterator[warming.Progress | None]:
    """What shows how many kernels are ready; None where there is no terminal."""
    if console is None or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("kernels compiled", total=None)
        yield lambda prepared, done, count: progress.update(task, completed=done, total=count)


def prepared_data(prepared: Prepared) -> dict[str, Any]:
    """One kernel as JSON data."""
    problem = prepared.problem
    return {
        "op": problem.op,
        "direction": problem.direction,
        "dims": dict(problem.dims),
        "dtype": problem.dtype,
        "options": dict(problem.options),
        "target": prepared.target,
        "config": None if prepared.config is None else str(prepared.config),
        "how": prepared.how,
        "is_loose": prepared.is_loose,
        "seconds": prepared.seconds,
    }


def print_prepared(found: Sequence[Prepared], console: Console) -> None:
    """A line for each problem: its config, why that one, and what compiling its kernels took."""
    seconds: dict[str, float] = {}
    for item in found:
        kernel = "the PyTorch reference" if item.config is None else f"{item.config}, {item.how}"
        line = f"{problem_text(item.problem)}: {kernel}"
        seconds[line] = seconds.get(line, 0.0) + item.seconds
    for line, taken in seconds.items():
        console.print(f"{line}; {taken:.1f} s", soft_wrap=True, markup=False)
