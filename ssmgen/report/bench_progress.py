"""A benchmark while it runs: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ssmgen.bench import Observer, Point, Task
from ssmgen.report.wording import milliseconds, problem_text

__all__ = ["bench_watched"]

_LINE_SECONDS = 10.0


class _Told(Observer):
    """What happens, in a few words."""

    def __init__(self) -> None:
        self.number, self.total = 0, 1
        self.problem = ""

    def started(self, task: Task, number: int, total: int, deadline: float) -> None:
        self.number, self.total = number, total
        mode = "" if task.mode == "forward" else f"{task.mode} of "
        self.problem = f"{mode}{problem_text(task.problem)}"

    def checking(self, task: Task) -> None:
        self.say("float64 results")

    def preparing(self, provider: str) -> None:
        self.say(f"preparing {provider}")

    def round(self, number: int, providers: int) -> None:
        self.say(f"round {number}, {providers} provider{'s' if providers != 1 else ''} in turns")

    def say(self, what: str) -> None:
        """Show what happens now."""


class _Bar(_Told):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("starting", total=None, problem="")

    def started(self, task: Task, number: int, total: int, deadline: float) -> None:
        super().started(task, number, total, deadline)
        self._progress.update(self._task, total=total, completed=number, problem=self.problem)

    def finished(self, point: Point) -> None:
        self._progress.advance(self._task)

    def say(self, what: str) -> None:
        self._progress.update(self._task, description=f"{self.number + 1} of {self.total}: {what}")


class _Lines(_Told):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last = time.monotonic()

    def started(self, task: Task, number: int, total: int, deadline: float) -> None:
        super().started(task, number, total, deadline)
        left = deadline - time.monotonic()
        self._print(f"{number + 1} of {total}: {self.problem}, {left:.0f} s")

    def finished(self, point: Point) -> None:
        done = [row for row in point.rows if row.seconds is not None]
        fastest = min(done, key=lambda row: row.seconds or 0.0, default=None)
        best = (
            ""
            if fastest is None
            else f", the fastest {fastest.provider} with {milliseconds(fastest.seconds)}"
        )
        self._print(f"  {len(done)} providers done{best}")

    def say(self, what: str) -> None:
        if time.monotonic() - self._last > _LINE_SECONDS:
            self._print(f"  {what}")

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.print(line, soft_wrap=True, markup=False)


@contextmanager
def bench_watched(console: Console | None) -> Iterator[Observer]:
    """The observer that suits a console: a bar, lines, or silence where there is none."""
    if console is None:
        yield Observer()
    elif console.is_terminal:
        columns = (BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as progress:
            yield _Bar(progress)
    else:
        yield _Lines(console)
