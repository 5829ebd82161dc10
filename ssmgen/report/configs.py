"""What became of tuned configs that were verified, pruned or merged: for people, and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ssmgen import store
from ssmgen.report.wording import milliseconds, problem_text
from ssmgen.tuning.recheck import Rechecked

__all__ = [
    "merged_data",
    "print_merged",
    "print_pruned",
    "print_rechecked",
    "pruned_data",
    "rechecked_data",
]


def print_rechecked(item: Rechecked, console: Console) -> None:
    """Print a config that was tried again: the problem, then outcome, times and why."""
    entry = item.entry
    style = "red" if item.is_bad else "green" if item.timing is not None else "yellow"
    now = "" if item.timing is None else f", {milliseconds(item.timing.seconds)} now"
    console.print(Text(problem_text(entry.problem)), soft_wrap=True)
    console.print(
        Text.assemble(
            "  ",
            (item.outcome, style),
            f": {entry.config}, {milliseconds(entry.seconds)} {entry.evidence}{now}",
            f"; {item.detail}" if item.detail else "",
        ),
        soft_wrap=True,
    )


def rechecked_data(item: Rechecked) -> dict[str, Any]:
    """A config that was tried again, as JSON data."""
    return {
        **_entry_data(item.path, item.entry),
        "outcome": item.outcome,
        "is_bad": item.is_bad,
        "recorded_seconds": item.entry.seconds,
        "recorded_default_seconds": item.entry.default_seconds,
        "seconds": None if item.timing is None else item.timing.seconds,
        "quartiles": None if item.timing is None else list(item.timing.quartiles),
        "default_seconds": item.default_seconds,
        # JSON has no infinity, which is the error of what was not written.
        "error": {name: value if value < float("inf") else None for name, value in item.error.items()},
        "detail": item.detail,
    }


def print_pruned(found: store.Pruned, dry_run: bool, console: Console) -> None:
    """Print what was removed, a line each, and a sum."""
    for path, entry in found.entries:
        console.print(Text(f"{problem_text(entry.problem)}: {entry.config} in {path}"), soft_wrap=True)
    for path in found.leftovers:
        console.print(Text(f"half-written file {path}"), soft_wrap=True)
    verb = "would be removed" if dry_run else "removed"
    console.print(f"{len(found.entries)} configs and {len(found.leftovers)} half-written files {verb}")


def pruned_data(found: store.Pruned) -> dict[str, Any]:
    """What was removed, as JSON data."""
    return {
        "configs": [_entry_data(path, entry) for path, entry in found.entries],
        "leftovers": [str(path) for path in found.leftovers],
    }


def print_merged(found: Sequence[store.Merged], console: Console) -> None:
    """Print what was added or replaced, a line each, and a sum."""
    for item in found:
        if item.outcome in ("added", "replaced"):
            text = f"{item.outcome}: {problem_text(item.entry.problem)}: {item.entry.config} in {item.path}"
            console.print(Text(text), soft_wrap=True)
    counts = Counter(item.outcome for item in found)
    outcomes = ("added", "replaced", "known", "passed over")
    console.print(", ".join(f"{counts[outcome]} {outcome}" for outcome in outcomes))


def merged_data(item: store.Merged) -> dict[str, Any]:
    """An entry of a source, as JSON data."""
    return {**_entry_data(item.path, item.entry), "outcome": item.outcome}


def _entry_data(path: Path, entry: store.TunedConfig) -> dict[str, Any]:
    return {
        "path": str(path),
        "problem": str(entry.problem),
        "device": entry.device.name,
        "config": str(entry.config),
        "evidence": entry.evidence,
    }
