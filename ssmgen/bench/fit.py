"""How time and memory grow with a size: the slope in logarithms, with its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

__all__ = ["Fit", "exponent"]

# Student's t, 97.5%, by degrees of freedom; beyond them the normal distribution's.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_T_MANY = 1.96
_FEWEST = 3
# What a call costs whatever its size is no part of the growth: sizes count from this many times the smallest value on.
_ABOVE_FIXED = 4.0


@dataclass(frozen=True)
class Fit:
    """value ~ size^exponent.

    Attributes:
        exponent: The slope of the logarithms by least squares.
        margin: Half of its 95% confidence interval.
        points: How many sizes count.
        first, last: The smallest and the largest of them.
    """

    exponent: float
    margin: float
    points: int
    first: int
    last: int

    @property
    def is_linear(self) -> bool:
        """Whether the exponent is 1 within its margin, or within 5%."""
        return abs(self.exponent - 1) <= max(self.margin, 0.05)


def exponent(sizes: Sequence[int], values: Sequence[float]) -> Fit | None:
    """The fit, or None where fewer than three sizes count.

    Args:
        sizes: Ascending.
        values: Positive; those below four times the smallest, where a call costs what every call costs, do not count.
    """
    pairs = [(size, value) for size, value in zip(sizes, values, strict=True) if value > 0]
    if not pairs:
        return None
    floor = min(value for _, value in pairs)
    grown = [pair for pair in pairs if pair[1] >= _ABOVE_FIXED * floor]
    if len(grown) < _FEWEST:
        return None
    xs, ys = [log(size) for size, _ in grown], [log(value) for _, value in grown]
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    freedom = count - 2
    t = _T[freedom - 1] if freedom <= len(_T) else _T_MANY
    margin = t * sqrt(rest / freedom / spread)
    return Fit(slope, margin, count, grown[0][0], grown[-1][0])
