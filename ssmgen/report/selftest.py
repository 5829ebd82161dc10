"""The self-test as it runs, a bar on a terminal and lines anywhere else, and its table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.selftest import Case, Outcome, cases, present_targets

__all__ = ["SelfTest", "print_selftest", "selftest"]

_LINE_SECONDS = 5.0  # between two lines that say how far it is


@dataclass(frozen=True)
class SelfTest:
    """Every check that ran, in its order, and the seconds that all of them took."""

    results: tuple[tuple[Case, Outcome], ...]
    seconds: float

    @property
    def is_passed(self) -> bool:
        """Whether there was something to check, and nothing failed."""
        return bool(self.results) and not any(outcome.failure for _, outcome in self.results)

    def to_data(self) -> dict[str, Any]:
        """The self-test as JSON data."""
        return {
            "passed": self.is_passed,
            "seconds": self.seconds,
            "checks": [_data(case, outcome) for case, outcome in self.results],
        }


def _data(case: Case, outcome: Outcome) -> dict[str, Any]:
    figures = outcome.figures
    return {
        "target": case.target,
        "check": case.check,
        "op": case.problem.op,
        "direction": case.problem.direction,
        "problem": str(case.problem),
        "config": None if case.config is None else str(case.config),
        "error": None if figures is None else figures.error,
        "tolerance": None if figures is None else figures.tolerance,
        "failure": outcome.failure or None,
        "seconds": outcome.seconds,
    }


def selftest(console: Console | None) -> SelfTest:
    """Run every check on every target that is here; progress goes to the console, where there is one."""
    start = time.perf_counter()
    every = [case for target in present_targets() for case in cases(target)]
    with _shown(console, len(every)) as show:
        results = tuple((case, _run(case, show)) for case in every)
    return SelfTest(results, time.perf_counter() - start)


def _run(case: Case, show: Callable[[Case, Outcome | None], None]) -> Outcome:
    show(case, None)
    outcome = case.outcome()
    show(case, outcome)
    return outcome


@contextmanager
def _shown(console: Console | None, total: int) -> Iterator[Callable[[Case, Outcome | None], None]]:
    """What is told of each case, before it runs and after."""
    if console is None:
        yield lambda case, outcome: None
    elif console.is_terminal:
        columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=total)

            def show(case: Case, outcome: Outcome | None) -> None:
                text = f"{case.target}: {case.check}, {_label(case.problem)}"
                progress.update(task, advance=0 if outcome is None else 1, description=text)

            yield show
    else:
        yield _lines(console, total)


def _lines(console: Console, total: int) -> Callable[[Case, Outcome | None], None]:
    done, last = 0, time.monotonic()

    def show(case: Case, outcome: Outcome | None) -> None:
        nonlocal done, last
        if outcome is None:
            return
        done += 1
        if done == total or time.monotonic() - last > _LINE_SECONDS:
            last = time.monotonic()
            line = f"{done} of {total} checks, the last on {case.target}: {_label(case.problem)}"
            console.print(line, soft_wrap=True, markup=False)

    return show


def print_selftest(result: SelfTest, console: Console) -> None:
    """Print a row for each problem on each target, then what failed."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(width=1)
    table.add_column("target")
    table.add_column("kernels", overflow="fold")
    table.add_column("checks", justify="right")
    table.add_column("error", justify="right")
    table.add_column("at most", justify="right")
    for (target, problem), group in groupby(result.results, lambda item: (item[0].target, item[0].problem)):
        table.add_row(*_row(target, problem, [outcome for _, outcome in group]))
    console.print(Text("Self-test", "bold"))
    console.print(table)
    failed = [(case, outcome) for case, outcome in result.results if outcome.failure]
    for case, outcome in failed:
        config = "" if case.config is None else f" {case.config}"
        where = f"{case.target}, {case.check}: {case.problem}{config}"
        console.print(f"✗ {where}\n  {outcome.failure}", style="red", soft_wrap=True, markup=False)
    count = len(result.results)
    said = f"{count - len(failed)} of {count} checks passed in {result.seconds:.0f} s."
    console.print(said, style="bold green" if result.is_passed else "bold red")


def _row(target: str, problem: Problem, outcomes: Sequence[Outcome]) -> Iterable[Text | str]:
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    figures = [outcome.figures for outcome in outcomes if outcome.figures is not None]
    yield Text("✗", "bold red") if failed else Text("✓", "green")
    yield Text(target, "cyan")
    yield _label(problem)
    yield f"{len(outcomes) - failed} of {len(outcomes)}"
    yield f"{max(figure.error for figure in figures):.1e}" if figures else "-"
    yield f"{figures[0].tolerance:.0e}" if figures else "-"


def _label(problem: Problem) -> str:
    """The problem without its sizes: op, direction, dtype, and how many of its options are not the usual ones."""
    usual = interface(problem.op).options
    changed = [name for name, value in problem.options if value != usual[name][0]]
    options = f", {', '.join(changed)}" if changed else ""
    return f"{problem.op} {problem.direction}, {problem.dtype}{options}"
