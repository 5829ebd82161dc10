"""Where one variant becomes faster than another, over a size in which problems that were tuned differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from ssmgen.problem import RUNTIME_DIMS, Problem
from ssmgen.report.history.reading import Tuned

__all__ = ["Crossover", "Point", "crossovers"]


class Point(NamedTuple):
    """The fastest trial of a variant at one size, and how many of its configs were timed there."""

    size: int
    variant: str
    seconds: float
    timed: int


@dataclass(frozen=True)
class Crossover:
    """Problems that differ in one size alone, tuned on one device.

    Attributes:
        device: The device's name.
        threads: Threads of CPU kernels.
        problem: One of the problems; the others have another `dim`.
        dim: The size in which they differ.
        points: The fastest trial of each variant at each size.
    """

    device: str
    threads: int | None
    problem: Problem
    dim: str
    points: tuple[Point, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes, rising."""
        return tuple(sorted({point.size for point in self.points}))

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants, by name."""
        return tuple(sorted({point.variant for point in self.points}))

    @property
    def ranges(self) -> tuple[tuple[str, int, int], ...]:
        """The fastest variant, and from which to which of the sizes it is, in order."""
        fastest = [
            min((p for p in self.points if p.size == size), key=lambda point: point.seconds)
            for size in self.sizes
        ]
        found = []
        for variant, group in groupby(fastest, key=lambda point: point.variant):
            sizes = [point.size for point in group]
            found.append((variant, sizes[0], sizes[-1]))
        return tuple(found)


def crossovers(tuned: Sequence[Tuned]) -> tuple[Crossover, ...]:
    """Every set of at least two problems that differ in one run-time size, where at least two variants were timed."""
    groups: dict[tuple[object, ...], list[Tuned]] = {}
    for item in tuned:
        dims = dict(item.problem.dims)
        # The rows of a state are as many as there are sequences.
        dims.pop("slots", None)
        for dim in RUNTIME_DIMS & dims.keys():
            alike = item.problem.with_dims(
                **{dim: 1, **({"slots": 1} if "slots" in dict(item.problem.dims) else {})}
            )
            key = (dim, alike, item.device.name, item.threads, item.max_error)
            groups.setdefault(key, []).append(item)
    found = [_crossover(str(key[0]), items) for key, items in groups.items()]
    return tuple(
        sorted(
            (item for item in found if len(item.sizes) > 1 and len(item.variants) > 1),
            key=lambda item: (item.device, str(item.problem), item.dim),
        )
    )


def _crossover(dim: str, items: Sequence[Tuned]) -> Crossover:
    points = []
    for item in sorted(items, key=lambda item: item.problem[dim]):
        for variant in item.variants:
            seconds = [r.trial.seconds for r in item.timed if r.trial.config.variant == variant]
            if seconds:
                points.append(Point(item.problem[dim], variant, min(seconds), len(seconds)))
    first = items[0]
    return Crossover(first.device.name, first.threads, first.problem, dim, tuple(points))
