"""How problems and numbers are written for people."""

from __future__ import annotations

from ssmgen.kernels import interface
from ssmgen.problem import Problem

__all__ = ["counted", "duration", "error_text", "mebibytes", "milliseconds", "problem_text", "times"]


def counted(number: int, thing: str) -> str:
    """So many things, `1 trial` or `2 trials`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def duration(seconds: float | None) -> str:
    """A time with three digits in the unit that suits it, `12.7 µs`; a dash where there is none."""
    if seconds is None:
        return "-"
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        # Three digits round up to the next unit.
        if seconds < 999.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def error_text(error: float | None) -> str:
    """A relative error, `3.1e-07`; a dash where there is none."""
    return "-" if error is None else f"{error:.1e}"


def milliseconds(seconds: float | None) -> str:
    """A time in ms with three digits, `12.7 ms`; a dash where there is none."""
    if seconds is None:
        return "-"
    value = 1e3 * seconds
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} ms"


def mebibytes(size: int | None) -> str:
    """A size in MiB, `12.0 MiB`, or in KiB below a tenth of one; a dash where there is none."""
    if size is None:
        return "-"
    value = size / 2**20
    if value < 0.1:
        return f"{size / 2**10:.0f} KiB"
    return f"{value:,.0f} MiB" if value >= 100 else f"{value:.1f} MiB"


def times(slow: float | None, fast: float) -> str:
    """By what factor the second time is shorter, `33.9x`; a dash where the first is missing."""
    if slow is None:
        return "-"
    ratio = slow / fast
    return f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def problem_text(problem: Problem) -> str:
    """The problem without what goes without saying: the forward direction, and options at their defaults."""
    defaults = interface(problem.op).options
    dims = ", ".join(f"{name}={size}" for name, size in problem.dims)
    options = [
        name if value is True else f"{name}={str(value).lower()}"
        for name, value in problem.options
        if value != defaults[name][0]
    ]
    direction = "" if problem.direction == "forward" else f" {problem.direction}"
    ending = f" [{', '.join(options)}]" if options else ""
    return f"{problem.op}{direction} ({dims}) {problem.dtype}{ending}"
