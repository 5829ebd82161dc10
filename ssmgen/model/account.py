"""How often each instruction of a kernel runs: the loops of its machine code, set against those of its source.

Compilers unroll, peel and split loops, so several loops of the machine code may come from one of the source: one that
takes several steps at a time, and others for what is left. Line numbers tell which belong together. How many steps one
takes follows from the bytes that it moves: what a step moves is known (`ssmgen.model.moved`), and where it is not, a
step has as many stores (loads, special functions) in every loop that was made of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssmgen.model.listing import Listing, Loop
from ssmgen.model.trips import SourceLoop

__all__ = ["Account", "account"]

# What a step has as often in every loop that was made of it, the most telling first.
_ANCHORS = ("store", "atomic", "load", "mufu", "tensor", "shared", "fma", "alu")


@dataclass(frozen=True)
class Account:
    """How often instructions run in one warp.

    Attributes:
        listing: The function.
        times: Runs of each instruction, in the listing's order.
        iterations: Rounds of each loop, each time it is reached.
        steps: Steps of the source's loop that a round takes.
        unexplained: Sentences about loops whose rounds are not known; there is no cost where there are any.
    """

    listing: Listing
    times: tuple[float, ...]
    iterations: dict[Loop, float]
    steps: dict[Loop, int]
    unexplained: tuple[str, ...]

    def pipes(self, loop: Loop | None = None) -> Counter[str]:
        """Instructions that one warp runs, by pipe: in all, or in a round of a loop with the loops inside it."""
        found: Counter[str] = Counter()
        rounds = 1.0 if loop is None else self.times[loop.header]
        for index in range(len(self.times)) if loop is None else loop.body:
            if rounds:
                found[self.listing.instructions[index].pipe] += self.times[index] / rounds  # type: ignore[assignment]
        return found

    def bytes(self, *kinds: str) -> float:
        """Bytes that the instructions of some kinds move for one lane."""
        pairs = zip(self.listing.instructions, self.times, strict=True)
        return sum(item.bytes * times for item, times in pairs if item.kind in kinds)

    def main(self) -> Loop | None:
        """The loop in which a warp runs most of its instructions, outermost of those that do."""
        outer = [loop for loop in self.listing.loops if self.listing.parent(loop) is None]
        return max(outer, key=lambda loop: sum(self.times[index] for index in loop.body), default=None)


def account(
    listing: Listing,
    loops: Sequence[SourceLoop],
    moved: Mapping[int, float] | None = None,
    peeled: Mapping[int, int] | None = None,
) -> Account:
    """Set a function's loops against those of its source.

    Args:
        listing: The function.
        loops: The loops of its source.
        moved: Bytes that a lane moves at each line of the source, once through, as far as is known.
        peeled: Rounds of a loop that are written out behind it, by the line of its header.
    """
    origin = _origins(listing, loops)
    unexplained = [
        f"a loop of {len(loop.body)} instructions is of no loop of the source"
        for loop, source in origin.items()
        if source is None
    ]
    for loop, source in origin.items():
        around = listing.parent(loop)
        while around is not None and source is not None:
            if origin[around] is source:
                # Perhaps of a helper, which is inlined at a line of that loop.
                unexplained.append(
                    f"a loop inside the one at line {source.first} is of no loop of the source"
                )
            around = listing.parent(around)
    iterations: dict[Loop, float] = {}
    steps: dict[Loop, int] = {}
    for source in loops:
        for group in _siblings(listing, [loop for loop in listing.loops if origin[loop] is source]):
            siblings = _with_all_inside(listing, group)
            iterations |= dict.fromkeys(group, 0.0)
            if source.trips is None:
                unexplained.append(f"how often the loop at line {source.first} runs depends on the data")
            less = (peeled or {}).get(source.first, 0)
            left = [(max(0.0, count - less), share) for count, share in (source.counts or {}).items()]
            taken = _steps(listing, siblings, loops, moved or {})
            for loop in sorted(siblings, key=lambda loop: -taken[loop]):
                steps[loop] = taken[loop]
                many = taken[loop] > 1
                iterations[loop] = sum(
                    share * (count // taken[loop] if many else count) for count, share in left
                )
                left = [(count % taken[loop] if many else 0.0, share) for count, share in left]
    times = [1.0] * len(listing.instructions)
    for loop in listing.loops:
        for index in loop.body:
            times[index] *= iterations.get(loop, 0.0)
    return Account(listing, tuple(times), iterations, steps, tuple(dict.fromkeys(unexplained)))


def _origins(listing: Listing, loops: Sequence[SourceLoop]) -> dict[Loop, SourceLoop | None]:
    """The loops of the source that those of the machine code come from."""
    found: dict[Loop, SourceLoop | None] = {}
    for loop in reversed(listing.loops):
        source = _origin(listing, loop, loops)
        inside = [found[other] for other in found if listing.parent(other) is loop]
        # It may hold more of what the loop inside leaves over than of its own.
        found[loop] = (_around(source) if source is not None and source in inside else None) or source
    for loop in listing.loops:
        source = found[loop]
        # Where the loop around is nowhere, this is that one, and what it seemed to be was written out in it.
        while source is not None and (around := _around(source)) is not None:
            if (around.trips or 0) <= 1 or around in found.values():
                break
            source = found[loop] = around
    return {loop: found[loop] for loop in listing.loops}


def _around(source: SourceLoop) -> SourceLoop | None:
    """The loop around one of the source, of those that are still loops when they are compiled."""
    around = source.parent
    while around is not None and around.unrolled:
        around = around.parent
    return around


def _origin(listing: Listing, loop: Loop, loops: Sequence[SourceLoop]) -> SourceLoop | None:
    """The loop of the source that most of a loop's own instructions come from."""
    lines = Counter(listing.instructions[index].line for index in listing.own(loop))
    votes: Counter[int] = Counter()
    for line, count in lines.items():
        if (source := _innermost(line, loops)) is not None:
            votes[loops.index(source)] += count
    return loops[votes.most_common(1)[0][0]] if votes else None


def _innermost(line: int, loops: Sequence[SourceLoop]) -> SourceLoop | None:
    """The loop of the source that a line is in, of those that are still loops when they are compiled."""
    around = [source for source in loops if not source.unrolled and source.first <= line <= source.last]
    # Later ones are further inside. The header's line is also that of what comes before the first round.
    return around[-1] if around else None


def _siblings(listing: Listing, found: Sequence[Loop]) -> list[list[Loop]]:
    """Loops of one origin, by the loop around them; a loop inside another of the same origin is a part of it."""
    groups: dict[Loop | None, list[Loop]] = {}
    for loop in found:
        groups.setdefault(listing.parent(loop), []).append(loop)
    return list(groups.values())


def _with_all_inside(listing: Listing, siblings: Sequence[Loop]) -> list[Loop]:
    """Those loops with most loops inside: compilers make others for the case that the loops inside do not run."""
    inside = {loop: sum(loop.holds(other) for other in listing.loops) for loop in siblings}
    return [loop for loop in siblings if inside[loop] or not any(inside.values())]


def _steps(
    listing: Listing, siblings: Sequence[Loop], loops: Sequence[SourceLoop], moved: Mapping[int, float]
) -> dict[Loop, int]:
    """Steps of the source that a round of each loop takes."""
    known = {loop: _steps_moved(listing, loop, loops, moved) for loop in siblings}
    found = {loop: steps for loop, steps in known.items() if steps is not None}
    if len(found) == len(siblings):
        return found
    if len(siblings) == 1:
        return {siblings[0]: 1}
    counts = {loop: _anchors(listing, loop) for loop in siblings}
    for anchor in _ANCHORS:
        fewest = min(count[anchor] for count in counts.values())
        if fewest:
            return {loop: max(1, round(count[anchor] / fewest)) for loop, count in counts.items()}
    return dict.fromkeys(siblings, 1)


def _steps_moved(
    listing: Listing, loop: Loop, loops: Sequence[SourceLoop], moved: Mapping[int, float]
) -> int | None:
    """Steps of a round, by what it moves in all: compilers merge neighbouring accesses, and mix up their lines."""
    if any(loop.holds(other) for other in listing.loops):
        return 1  # only innermost loops are unrolled in part
    source = _origin(listing, loop, loops)
    step = 0.0
    for line, size in moved.items():
        around = _innermost(line, loops)
        # A loop inside that is none of the machine code any more runs whole in every step.
        while around is not None and around is not source:
            size *= 1.0 if around.unrolled else around.trips or 0.0
            around = around.parent
        step += size if around is source else 0.0
    items = [listing.instructions[index] for index in loop.body]
    found = sum(item.bytes for item in items if item.kind in ("load", "store"))
    return max(1, round(found / step)) if found and step else None


def _anchors(listing: Listing, loop: Loop) -> Counter[str]:
    found: Counter[str] = Counter()
    for item in (listing.instructions[index] for index in loop.body):
        found[item.kind] += 1
        found[item.pipe] += 1
    return found
