"""How long a warp takes that has its partition for itself: what it issues, and what it waits for in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import isclose
from statistics import mean

from ssmgen.model.account import Account
from ssmgen.model.listing import Instruction, Loop
from ssmgen.targets.devices import Core

__all__ = ["cycles_alone"]

_MOST_OUTSTANDING = 64
# Loads that a loop starts some rounds ahead are waited for in one of so many rounds: 1, 2 or 3 of them divide this.
_PERIOD = 6
_SETTLING = 2  # rounds before


def cycles_alone(account: Account, core: Core) -> float:
    """Cycles from the first instruction to the last, by the compiler's own marks of what waits for what."""
    warp = _Warp(account, core)
    warp.run(range(len(account.listing.instructions)), None)
    return warp.now


class _Warp:
    def __init__(self, account: Account, core: Core) -> None:
        self._account = account
        self._core = core
        self._ready: dict[int, list[float]] = defaultdict(list)
        self._free: dict[str, float] = defaultdict(float)
        self._loaded = 0.0  # when the last load is there
        self.now = 0.0

    def run(self, body: Sequence[int], inside: Loop | None) -> None:
        """Go through some instructions once, and through the loops among them as often as they run."""
        listing = self._account.listing
        loops = [loop for loop in listing.loops if listing.parent(loop) == inside]
        starts = {loop.body[0]: loop for loop in loops}
        skipped = {index for loop in loops for index in loop.body}
        for index in body:
            if index in starts:
                self._repeat(starts[index])
            if index not in skipped:
                self._issue(listing.instructions[index])

    def _repeat(self, loop: Loop) -> None:
        rounds = self._account.iterations.get(loop, 0.0)
        if rounds <= 0:
            return
        taken: list[float] = []
        while len(taken) < min(rounds, _SETTLING + _PERIOD):
            start = self.now
            self.run(loop.body, loop)
            taken.append(self.now - start)
            # What finds nothing on its way stands for all rounds that follow.
            if self._loaded <= self.now and len(taken) > 1 and isclose(taken[-1], taken[-2]):
                break
        steady = taken[-_PERIOD:] if self._loaded > self.now else taken[-1:]
        self._skip((rounds - len(taken)) * mean(steady))

    def _skip(self, cycles: float) -> None:
        self.now += cycles
        self._loaded += cycles
        for times in self._ready.values():
            times[:] = [time + cycles for time in times]
        for pipe in self._free:
            self._free[pipe] += cycles

    def _issue(self, item: Instruction) -> None:
        for counter, outstanding in item.waits:
            times = self._ready[counter]
            done = times[: max(0, len(times) - outstanding)]
            self.now = max([self.now, *done])
            del times[: len(done)]
        self.now = max(self.now, self._free[item.pipe])
        busy = self._core.cycles[item.pipe]
        self._free[item.pipe] = self.now + busy
        for counter, what in item.marks:
            times = self._ready[counter]
            times.append(self.now + self._latency(item, what))
            del times[:-_MOST_OUTSTANDING]
            if item.pipe == "global" and item.kind != "store" and what == "result":
                self._loaded = max(self._loaded, times[-1])
        self.now += item.stall or busy

    def _latency(self, item: Instruction, what: str) -> float:
        latency = self._core.latency
        if what == "operands":
            return latency["operands"]
        # What a lane spilled stays in the first cache, which is as near as shared memory.
        return latency["shared"] if item.kind == "spill" else latency.get(item.pipe, latency["other"])
