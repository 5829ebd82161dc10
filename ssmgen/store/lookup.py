"""Which tuned config serves a problem: its class's own, the nearest class's, or a like device's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssmgen import settings
from ssmgen.device import DeviceFacts
from ssmgen.problem import Problem
from ssmgen.store.entry import TunedConfig
from ssmgen.store.files import config_path, read_file

__all__ = ["GENERIC", "Match", "lookup", "ranked"]

GENERIC = "generic"  # the arch of entries that serve any device of their kind, where nothing else does


@dataclass(frozen=True)
class Match:
    """An entry that serves a problem, and why it was chosen.

    Attributes:
        entry: The entry.
        how: `exact` for the problem's class on this device, `nearest` for another class, `same arch` for
            another device, `generic` for no device in particular.
        distance: Sum of |log2| ratios of the classes' run-time sizes; 0 for the same class.
        path: The file it was read from.
    """

    entry: TunedConfig
    how: str
    distance: float
    path: Path


def lookup(problem: Problem, facts: DeviceFacts, is_valid: Callable[[TunedConfig], bool]) -> Match | None:
    """The best tuned config for a problem on a device, or None.

    This device before another of its arch, and that before any device; then the nearest class, then measured before
    predicted, then the order of `settings.config_dirs()`.

    Args:
        problem: The problem; its class is what is looked up.
        facts: The device.
        is_valid: Whether an entry may serve: its config lies in the problem's space and its source is as it
            was. Called on the best candidates only, until one passes.
    """
    found = sorted(_candidates(problem.op, problem.problem_class(), facts), key=lambda item: item[0])
    return next((match for _, match in found if is_valid(match.entry)), None)


Rank = tuple[bool, bool, float, bool, int, str, str]


def ranked(op: str, facts: DeviceFacts) -> tuple[Match, ...]:
    """Every entry of an op that may serve some problem on a device, by all that `lookup` goes by except distances."""
    return tuple(match for _, match in sorted(_candidates(op, None, facts), key=lambda item: item[0]))


def _candidates(op: str, wanted: Problem | None, facts: DeviceFacts) -> Iterator[tuple[Rank, Match]]:
    for order, folder in enumerate(settings.config_dirs()):
        own = config_path(folder, facts, op)
        # A GPU shares its arch with siblings, and a CPU behind another name may have the same vectors.
        for path in sorted({own, *folder.glob(f"*/{op}.json")}):
            for entry in read_file(path):
                distance = 0.0 if wanted is None else wanted.distance(entry.problem.problem_class())
                if distance is None or entry.device.kind != facts.kind:
                    continue
                generic = entry.device.arch == GENERIC
                if entry.device.arch != facts.arch and not generic:
                    continue
                other = entry.device.name != facts.name
                how = GENERIC if generic else "same arch" if other else "nearest" if distance else "exact"
                predicted = entry.evidence != "measured"
                rank = (generic, other, distance, predicted, order, entry.device.name, str(entry.problem))
                yield rank, Match(entry, how, distance, path)
