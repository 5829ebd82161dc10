"""What a tuning run has found: a table of times, then the details of each problem; and the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ssmgen.report.wording import milliseconds, problem_text, times
from ssmgen.tuning import Final, TuneResult

__all__ = ["print_results", "print_table", "result_data"]


def print_results(results: Sequence[TuneResult], console: Console) -> None:
    """Print the table and the details; readable from 80 columns up."""
    print_table(results, console)
    console.print()
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
    for result in results:
        default = None if result.default is None else result.default.seconds
        op = result.problem.op if result.problem.direction == "forward" else f"{result.problem.op} bwd"
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
        table.add_row(op, milliseconds(_reference(result)), milliseconds(default), *cells)
    for column in (3, 4):
        table.columns[column].style = "green"
    console.print(table)


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
