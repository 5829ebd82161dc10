"""Which tuned config serves a problem: its class's own, the nearest class's, or a like device's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ssmgen import settings
from ssmgen.device import DeviceFacts
from ssmgen.problem import Problem
from ssmgen.store.entry import TunedConfig
from ssmgen.store.files import config_path, read_file

__all__ = ["GENERIC", "Match", "lookup", "lookup_first", "matches", "ranked"]

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
    return lookup_first((problem,), facts, is_valid)


def lookup_first(
    problems: Iterable[Problem], facts: DeviceFacts, is_valid: Callable[[TunedConfig], bool]
) -> Match | None:
    """What `lookup` finds for the first of some problems of one op for which it finds anything, or None.

    Files are looked at once, for all of them: a call with a new length may ask for hundreds.
    """
    known: dict[object, list[_Listed]] | None = None
    for problem in problems:
        if known is None:
            known = defaultdict(list)
            for listed in _listed(problem.op, facts):
                known[_form(listed.entry.problem)].append(listed)
        alike = known.get(_form(problem))
        if alike is None:
            continue
        found = _in_order(_candidates(alike, problem.problem_class(), facts))
        match = next((match for match in found if is_valid(match.entry)), None)
        if match is not None:
            return match
    return None


def matches(problem: Problem, facts: DeviceFacts) -> tuple[Match, ...]:
    """Every entry that may serve a problem on a device, in the order in which `lookup` prefers them."""
    return _in_order(_candidates(_listed(problem.op, facts), problem.problem_class(), facts))


def ranked(op: str, facts: DeviceFacts) -> tuple[Match, ...]:
    """Every entry of an op that may serve some problem on a device, by all that `lookup` goes by except distances."""
    return _in_order(_candidates(_listed(op, facts), None, facts))


class _Listed(NamedTuple):
    """An entry, the file it was read from, and the place of that file's folder in the order of the search."""

    entry: TunedConfig
    path: Path
    order: int


Rank = tuple[bool, bool, float, bool, int, str, str]


def _in_order(found: Iterable[tuple[Rank, Match]]) -> tuple[Match, ...]:
    return tuple(match for _, match in sorted(found, key=lambda item: item[0]))


def _form(problem: Problem) -> object:
    """What two problems share that are any distance from each other; not all of it."""
    return problem.direction, problem.dtype, problem.options


def _listed(op: str, facts: DeviceFacts) -> Iterator[_Listed]:
    """The entries of an op for the device and those like it."""
    for order, folder in enumerate(settings.config_dirs()):
        own = config_path(folder, facts, op)
        # A GPU shares its arch with siblings, and a CPU behind another name may have the same vectors.
        for path in sorted({own, *folder.glob(f"*/{op}.json")}):
            for entry in read_file(path):
                if entry.device.kind == facts.kind and entry.device.arch in (facts.arch, GENERIC):
                    yield _Listed(entry, path, order)


def _candidates(
    listed: Iterable[_Listed], wanted: Problem | None, facts: DeviceFacts
) -> Iterator[tuple[Rank, Match]]:
    for entry, path, order in listed:
        distance = 0.0 if wanted is None else wanted.distance(entry.problem.problem_class())
        if distance is None:
            continue
        generic = entry.device.arch == GENERIC
        other = entry.device.name != facts.name
        how = GENERIC if generic else "same arch" if other else "nearest" if distance else "exact"
        predicted = entry.evidence != "measured"
        rank = (generic, other, distance, predicted, order, entry.device.name, str(entry.problem))
        yield rank, Match(entry, how, distance, path)
