"""Axes: where a value lies on a picture, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Axis", "Tick"]

_STEPS = (1, 2, 5, 10)
_MOST_TICKS = 5
_ROOM = 0.06  # of the axis, left free at both ends
_LEAST_RATIO = math.log(1.5)  # noise is not to look like a difference


class Tick(NamedTuple):
    """A mark of an axis: where it is, and what is written beside it."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis.

    Attributes:
        low: The value at its start.
        high: The value at its end.
        start: Where it starts, in units of the picture.
        end: Where it ends.
        is_log: Whether equal ratios, and not equal differences, are equally long.
        text: Writes a value.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool
    text: Callable[[float], str]

    @staticmethod
    def over(
        values: Sequence[float], start: float, end: float, text: Callable[[float], str], is_log: bool = True
    ) -> Axis:
        """The axis that holds these values, positive where it is logarithmic, with room at its ends."""
        low, high = (math.log(v) if is_log else v for v in (min(values), max(values)))
        missing = max((_LEAST_RATIO if is_log else 1.0) - (high - low), 0.0) / 2
        low, high = low - missing, high + missing
        room = _ROOM * (high - low)
        low, high = low - room, high + room
        if is_log:
            low, high = math.exp(low), math.exp(high)
        return Axis(low, high, start, end, is_log, text)

    def counts(self) -> tuple[Tick, ...]:
        """A few round numbers of things, of which the first is 1."""
        values = [value for value in _linear(self.low, self.high) if value > 1 and value == int(value)]
        return tuple(Tick(self.at(value), self.text(value)) for value in (1.0, *values))

    def at(self, value: float) -> float:
        """Where a value lies, to a tenth."""
        if self.is_log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, apart: float = 12.0) -> tuple[Tick, ...]:
        """A few round values, at least so far from one another that they can be written."""
        decades = math.log10(self.high / self.low) if self.is_log else 0.0
        values = _logarithmic(self.low, self.high) if decades > 0.7 else _linear(self.low, self.high)
        return self.written(values, apart)

    def written(self, values: Sequence[float], apart: float) -> tuple[Tick, ...]:
        """These values, less those that would be written over the one before."""
        found: list[Tick] = []
        for value in values:
            tick = Tick(self.at(value), self.text(value))
            if not found or abs(tick.at - found[-1].at) >= apart:
                found.append(tick)
        return tuple(found)


def _linear(low: float, high: float) -> list[float]:
    least = (high - low) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in _STEPS if factor * power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def _logarithmic(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in values if low <= value <= high]
        if len(found) <= _MOST_TICKS + 1:
            return found
    return found[:: math.ceil(len(found) / _MOST_TICKS)]
