"""What there is: ops, their kernels in each language, and the tuned configs with their evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ssmgen import settings, store
from ssmgen.kernels import INTERFACES, Interface, Space, Variant, variants
from ssmgen.problem import Problem
from ssmgen.report.wording import milliseconds, problem_text
from ssmgen.targets import target

__all__ = ["Listing", "print_listing"]

# Each language's kernels are listed with the size of their space on one target that exists on every machine.
_LANGUAGES = {"c": "cpu", "triton": "sm_90"}


@dataclass(frozen=True)
class _Kernel:
    variant: Variant
    target: str
    configs: int


@dataclass(frozen=True)
class _Saved:
    path: Path
    entry: store.TunedConfig

    @property
    def is_stale(self) -> bool:
        """Whether the templates no longer render what was tuned, so that dispatch passes the entry over."""
        return not store.is_current(self.entry)


class Listing:
    """Everything that `ssmgen list` shows, collected once."""

    def __init__(self) -> None:
        self.kernels = {op: tuple(_kernels(face)) for op, face in INTERFACES.items()}
        self.saved = tuple(
            _Saved(store.config_path(folder, entry.device, entry.problem.op), entry)
            for folder, entry in store.entries()
        )

    def to_data(self) -> dict[str, Any]:
        """The listing as JSON data."""
        return {
            "ops": [_op_data(INTERFACES[op], kernels) for op, kernels in self.kernels.items()],
            "tuned": [
                {"path": str(saved.path), "stale": saved.is_stale, **saved.entry.to_data()}
                for saved in self.saved
            ],
        }


def _op_data(face: Interface, kernels: Sequence[_Kernel]) -> dict[str, Any]:
    return {
        "op": face.op,
        "formula": list(face.formula),
        "dims": dict(face.dims),
        "dtypes": list(face.dtypes),
        "options": {name: list(values) for name, values in face.options.items()},
        "kernels": [
            {
                "language": kernel.variant.language,
                "direction": kernel.variant.direction,
                "variant": kernel.variant.name,
                "summary": kernel.variant.summary,
                "configs": {kernel.target: kernel.configs},
            }
            for kernel in kernels
        ],
    }


def _kernels(face: Interface) -> Iterator[_Kernel]:
    options = {name: values[0] for name, values in face.options.items()}
    problem = Problem.of(face.op, face.dims, face.dtypes[0], options)
    for language, name in _LANGUAGES.items():
        for variant in variants(face.op, language):
            # Backward is shown for the longest way between saved states that the variant takes.
            directed = replace(problem, direction=variant.direction)
            if variant.direction == "backward" and "saved" in options:
                ways = (directed.with_options(saved=steps) for steps in reversed(face.options["saved"]))
                directed = next(filter(variant.supports, ways), directed)
            space = Space.of(directed, target(name).facts, [variant])
            yield _Kernel(variant, name, len(space))


def print_listing(listing: Listing, console: Console) -> None:
    """Print the ops with their kernels, then the tuned configs file by file; of what ships as predicted, how many."""
    for op, kernels in listing.kernels.items():
        console.print(_op(INTERFACES[op], kernels))
    if not listing.saved:
        console.print("No tuned configs yet; make some with: ssmgen tune --d-state 16")
        return
    shipped = [saved for saved in listing.saved if _is_shipped_prediction(saved)]
    others = [saved for saved in listing.saved if saved not in shipped]
    for path, group in groupby(others, key=lambda saved: saved.path):
        found = list(group)
        console.print(Text(found[0].entry.device.name, "bold"), Text(f"({found[0].entry.device.arch})"))
        console.print(Padding(Text(str(path), "dim"), (0, 0, 0, 2)), soft_wrap=True)
        for saved in found:
            console.print(Padding(_entry(saved), (0, 0, 1, 2)))
    if shipped:
        counts = Counter(f"{saved.entry.device.name} ({saved.entry.device.arch})" for saved in shipped)
        console.print(Text("Predicted configs that ship, all in ssmgen list --json", "bold"))
        for device, count in counts.items():
            console.print(f"  {device}: {count}")


def _is_shipped_prediction(saved: _Saved) -> bool:
    return saved.entry.evidence == "predicted" and saved.path.is_relative_to(settings.shipped_config_dir())


def _op(face: Interface, kernels: Sequence[_Kernel]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, justify="right")
    for kernel in kernels:
        variant = kernel.variant
        table.add_row(
            Text(variant.language, "cyan"),
            variant.name if variant.direction == "forward" else f"{variant.name}, {variant.direction}",
            variant.summary,
            f"{kernel.configs} configs ({kernel.target})",
        )
    dtypes = Text(", ".join(face.dtypes), "dim")
    heading = Text.assemble((face.op, "bold"), "  ", dtypes)
    formula = Text("\n".join(face.formula), "italic")
    return Group(heading, Padding(formula, (0, 0, 0, 2)), Padding(table, (0, 0, 1, 2)))


def _entry(saved: _Saved) -> RenderableType:
    entry = saved.entry
    times = f"{milliseconds(entry.seconds)} {entry.evidence} {entry.created}"
    if entry.reference_seconds is not None:
        times += f", {entry.reference_seconds / entry.seconds:.1f}x faster than PyTorch"
    lines = [Text(problem_text(entry.problem)), Text(f"  {entry.config}", "green"), Text(f"  {times}")]
    if saved.is_stale:
        lines.append(Text("  stale: the template has changed since; tune again", "yellow"))
    return Group(*lines)
