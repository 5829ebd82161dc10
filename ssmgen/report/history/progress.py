"""A bar for each step of a report, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ssmgen.report.history import reading

__all__ = ["steps"]


@contextmanager
def steps(console: Console | None) -> Iterator[reading.Progress | None]:
    """What is told how far each step is; None where there is no terminal."""
    if console is None or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("files read", total=None)
        yield lambda what, done, count: progress.update(task, description=what, completed=done, total=count)
