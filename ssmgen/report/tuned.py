"""What a tuning run has found: a table of times, then the details of each problem; and the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ssmgen.problem import Problem
from ssmgen.report.wording import milliseconds, problem_text, times
from ssmgen.tuning import Final, TuneResult

__all__ = ["print_results", "print_table", "result_data"]

_MOST_DETAILED = 8
_LABEL_WIDTH = 16  # a table of 80 columns has no more for it


def print_results(results: Sequence[TuneResult], console: Console) -> None:
    """Print the table and the details, of many results only what went wrong; readable from 80 columns up."""
    print_table(results, console)
    console.print()
    if len(results) > _MOST_DETAILED:
        for path in dict.fromkeys(result.path for result in results if result.path is not None):
            console.print(Text.assemble(("saved", "cyan"), f"  {path}"), soft_wrap=True)
        results = [result for result in results if result.best is None]
    for result in results:
        console.print(_details(result))
        if result.path is not None:
            # Never wrapped by us, so that the path can be copied.
            console.print(Text.assemble("  ", ("saved", "cyan"), f"     {result.path}"), soft_wrap=True)
        console.print()


def print_table(results: Sequence[TuneResult], console: Console) -> None:
    """Print one line of times for each problem."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("op", style="bold", no_wrap=True)
    is_predicted = any(result.evidence == "predicted" for result in results)
    headings = (
        "PyTorch",
        "default",
        "predicted" if is_predicted else "tuned",
        "vs PyTorch",
        "vs default",
        "error",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    labels = _labels([result.problem for result in results])
    for result in results:
        default = None if result.default is None else result.default.seconds
        if result.best is None:
            cells = ["none", "-", "-", "-"]
        else:
            best = result.best.seconds
            error = max(result.best.error.values(), default=None)
            cells = [
                milliseconds(best),
                times(_reference(result), best),
                times(default, best),
                "-" if error is None else f"{error:.0e}",
            ]
        table.add_row(labels[result.problem], milliseconds(_reference(result)), milliseconds(default), *cells)
    for column in (3, 4):
        table.columns[column].style = "green"
    console.print(table)


def _labels(problems: Sequence[Problem]) -> dict[Problem, Text]:
    """The name of each problem's op, and, where it is there several times, what tells them apart, a line below."""
    kinds: dict[str, list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        name = problem.op if problem.direction == "forward" else f"{problem.op} bwd"
        kinds.setdefault(name, []).append(problem)
    found = {}
    for name, kind in kinds.items():
        traits = {
            problem: {**dict(problem.dims), **dict(problem.options), "": problem.dtype} for problem in kind
        }
        telling = [key for key in traits[kind[0]] if len({repr(trait[key]) for trait in traits.values()}) > 1]
        for problem, trait in traits.items():
            words = [f"{key}={str(trait[key]).lower()}" if key else problem.dtype for key in telling]
            lines = wrap(" ".join(words), _LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
            found[problem] = Text(name)
            for line in lines:
                found[problem].append(f"\n  {line}", "not bold dim")
    return found


def result_data(result: TuneResult) -> dict[str, Any]:
    """One result as JSON data."""
    return {
        "problem": str(result.problem),
        "op": result.problem.op,
        "direction": result.problem.direction,
        "dims": dict(result.problem.dims),
        "dtype": result.problem.dtype,
        "options": dict(result.problem.options),
        "device": result.facts.name,
        "arch": result.facts.arch,
        "reference_seconds": _reference(result),
        "default": _final_data(result.default),
        "best": _final_data(result.best),
        "speedup_over_reference": result.speedup,
        "speedup_over_default": _over_default(result),
        "tried": result.tried,
        "resumed": result.resumed,
        "valid": result.valid,
        "failures": dict(result.failures),
        "excluded": {f"{variant}: {rule}": count for (variant, rule), count in result.excluded.items()},
        "exhaustive": result.is_exhaustive,
        "interrupted": result.is_interrupted,
        "notes": list(result.notes),
        "path": None if result.path is None else str(result.path),
        "seconds": result.seconds,
        "evidence": result.evidence,
    }


def _final_data(final: Final | None) -> dict[str, Any] | None:
    if final is None:
        return None
    return {
        "config": str(final.config),
        "seconds": final.seconds,
        "quartiles": list(final.timing.quartiles),
        "error": final.error,
        "source_hash": final.source_hash,
    }


def _reference(result: TuneResult) -> float | None:
    return None if result.reference is None else result.reference.seconds


def _over_default(result: TuneResult) -> float | None:
    if result.best is None or result.default is None:
        return None
    return result.default.seconds / result.best.seconds


def _details(result: TuneResult) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    table.add_row(
        "config",
        Text("no config worked" if result.tried else "none was tried", "red")
        if result.best is None
        else str(result.best.config),
    )
    table.add_row("tried", _tried(result))
    if result.failures:
        table.add_row("failed", _counts(result.failures))
    if result.excluded:
        rules = Counter[str]()
        for (_, rule), count in result.excluded.items():
            rules[rule] += count
        table.add_row("left out", f"{_counts(rules)} (static rules)")
    for note in result.notes:
        table.add_row("note", note)
    return Group(Text(problem_text(result.problem), "bold"), Padding(table, (0, 0, 0, 2)))


def _tried(result: TuneResult) -> str:
    parts = [f"{result.tried} of {result.valid} configs in {result.seconds:.0f} s"]
    if result.resumed:
        parts.append(f"{result.resumed} known from an earlier run")
    if result.is_interrupted:
        parts.append("interrupted")
    elif result.is_exhaustive:
        parts.append("all of them")
    return ", ".join(parts)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
