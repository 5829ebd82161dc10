"""A bar that counts configs while they are compiled, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ssmgen.kernels import Space
from ssmgen.tuning import Observer, Trial

__all__ = ["counted"]


class _Bar(Observer):
    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        """See `Observer`."""
        self._progress.update(self._task, total=len(space))

    def measured(self, trial: Trial) -> None:
        """See `Observer`."""
        self._progress.advance(self._task)


@contextmanager
def counted(console: Console | None, what: str) -> Iterator[Observer]:
    """An observer that shows how many configs are done; silent where there is no terminal."""
    if console is None or not console.is_terminal:
        yield Observer()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, what)
