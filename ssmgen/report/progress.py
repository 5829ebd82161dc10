"""A tuning run while it runs: a live display on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.report.wording import milliseconds, problem_text, times
from ssmgen.tuning import Observer, Trial, TuneResult

__all__ = ["Lines", "Screen", "watched"]

_MOST_LINES = 6  # of problems that are done, and of those that wait: a terminal has 24
_LINE_SECONDS = 10.0  # between two lines that only say how far the search is


class _Tally(Observer):
    """What is known of the problem that is being tuned."""

    def __init__(self) -> None:
        self.space: Space | None = None
        self.reference: float | None = None
        self.best: Trial | None = None
        self.tried = self.resumed = self.failed = 0
        self.begin = self.deadline = time.monotonic()

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        self.space, self.resumed, self.deadline = space, resumed, deadline
        self.reference = self.best = None
        self.tried = self.failed = 0
        self.begin = time.monotonic()

    def referenced(self, seconds: float | None) -> None:
        self.reference = seconds

    def measured(self, trial: Trial) -> None:
        self.tried += 1
        if trial.failure is not None:
            self.failed += 1
        elif self.best is None or trial.seconds < self.best.seconds:
            self.best = trial

    @property
    def left(self) -> float:
        """Seconds of the problem's budget that are left."""
        return max(0.0, self.deadline - time.monotonic())

    def count(self) -> str:
        """How many configs were tried, of how many, and how many failed."""
        valid = 0 if self.space is None else len(self.space)
        parts = [f"{self.tried} tried of {valid}"]
        if self.resumed:
            parts.append(f"{self.resumed} known from before")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def gain(self) -> str:
        """The best time so far and what it is against the reference."""
        if self.best is None:
            return "none yet"
        gain = "" if self.reference is None else f" ({times(self.reference, self.best.seconds)})"
        return f"{milliseconds(self.best.seconds)}{gain}"


class Lines(_Tally):
    """Plain lines: every improvement, and how far the search is every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last = time.monotonic()

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        """See `Observer`."""
        super().started(space, resumed, deadline)
        self._say(f"{problem_text(space.problem)}: {len(space)} configs, {self.left:.0f} s")

    def referenced(self, seconds: float | None) -> None:
        """See `Observer`."""
        super().referenced(seconds)
        if seconds is not None:
            self._say(f"  PyTorch: {milliseconds(seconds)}")

    def measured(self, trial: Trial) -> None:
        """See `Observer`."""
        super().measured(trial)
        if trial is self.best:
            self._say(f"  best so far: {self.gain()} {trial.config}")
        elif time.monotonic() - self._last > _LINE_SECONDS:
            self._say(f"  {self.count()}, {self.left:.0f} s left")

    def deciding(self, configs: Sequence[Config]) -> None:
        """See `Observer`."""
        self._say(f"  {self.count()}; timing {len(configs)} finalists in turns")

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.print(line, soft_wrap=True, markup=False)


class Screen(_Tally):
    """The live display of several problems, one after another; a context manager."""

    def __init__(self, console: Console, heading: str, problems: Sequence[Problem]) -> None:
        super().__init__()
        self._heading = heading
        self._problems = tuple(problems)
        self._results: dict[Problem, TuneResult] = {}
        self._phase, self._what = "starting", "the worker process"
        # The search blocks while a config runs, so the display refreshes itself.
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        """See `Observer`."""
        super().started(space, resumed, deadline)
        self._results.pop(space.problem, None)  # it may be tuned again, with a larger budget
        self._phase, self._what = "preparing", "operands, float64 results, PyTorch's time"

    def compiling(self, configs: Sequence[Config]) -> None:
        """See `Observer`."""
        more = f" and {len(configs) - 1} more" if len(configs) > 1 else ""
        self._phase, self._what = "compiling", f"{configs[0]}{more}"

    def timing(self, config: Config) -> None:
        """See `Observer`."""
        self._phase, self._what = "timing", str(config)

    def deciding(self, configs: Sequence[Config]) -> None:
        """See `Observer`."""
        self._phase, self._what = "deciding", f"{len(configs)} finalists, timed in turns"

    def finished(self, result: TuneResult) -> None:
        """See `Observer`."""
        self._results[result.problem] = result

    def render(self) -> RenderableType:
        """The display as it is now."""
        rows: list[RenderableType] = [Text(self._heading, "bold"), Text()]
        current = None if self.space is None else self.space.problem
        done = [problem for problem in self._problems if problem in self._results]
        waiting = [
            problem for problem in self._problems if problem not in self._results and problem != current
        ]
        if len(done) > _MOST_LINES:
            rows.append(Text(f"✓ {len(done) - _MOST_LINES} more", "dim"))
        rows += [_done(self._results[problem]) for problem in done[-_MOST_LINES:]]
        if current in self._problems and current not in done:
            assert current is not None
            rows += [Text.assemble(("▶ ", "bold cyan"), (problem_text(current), "bold")), self._current()]
        rows += [Text(f"· {problem_text(problem)}", "dim") for problem in waiting[:_MOST_LINES]]
        if len(waiting) > _MOST_LINES:
            rows.append(Text(f"· {len(waiting) - _MOST_LINES} more", "dim"))
        return Group(*rows)

    def _current(self) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="cyan", min_width=9)
        table.add_column(overflow="fold")
        table.add_row("PyTorch", milliseconds(self.reference))
        table.add_row("best", Text(self.gain(), "bold green"))
        if self.best is not None:
            table.add_row("", Text(str(self.best.config), "green"))
        table.add_row("configs", self.count())
        table.add_row(self._phase, Text(self._what, "yellow"))
        budget = max(self.deadline - self.begin, 1e-9)
        bar = Table.grid(padding=(0, 1, 0, 0))
        bar.add_row(ProgressBar(budget, budget - self.left, width=40), f"{self.left:.0f} s left")
        table.add_row("time", bar)
        return Padding(table, (0, 0, 0, 2))


def _done(result: TuneResult) -> Text:
    if result.best is None:
        return Text.assemble(("✗ ", "bold red"), problem_text(result.problem), "  no config worked")
    reference = None if result.reference is None else result.reference.seconds
    gain = "" if reference is None else f", {times(reference, result.best.seconds)} faster than PyTorch"
    return Text.assemble(
        ("✓ ", "bold green"),
        problem_text(result.problem),
        (f"  {milliseconds(result.best.seconds)}{gain}", "green"),
    )


@contextmanager
def watched(
    console: Console | None, facts: DeviceFacts, problems: Sequence[Problem], budget_seconds: float
) -> Iterator[Observer]:
    """The observer that suits a console: a screen, lines, or silence where there is none."""
    if console is None:
        yield Observer()
    elif console.is_terminal:
        heading = f"Tuning for {facts.name}, {budget_seconds:.0f} s in all. Ctrl-C keeps what was measured."
        with Screen(console, heading, problems) as screen:
            yield screen
    else:
        yield Lines(console)
