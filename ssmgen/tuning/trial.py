"""What became of one config: a time with its spread and error, or a failure and its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from ssmgen.config import Config

__all__ = ["FAILURES", "Timing", "Trial"]

# The last is one of predictions alone: a loop of the machine code whose rounds nobody knows.
FAILURES = (
    "compile error",
    "compile timeout",
    "compiler crash",
    "wrong result",
    "not finite",
    "not repeatable",
    "out of bounds",
    "input changed",
    "out of resources",
    "out of memory",
    "illegal access",
    "crash",
    "timeout",
    "not accounted for",
)


@dataclass(frozen=True)
class Timing:
    """The median of some runs, in seconds, and their quartiles."""

    seconds: float
    quartiles: tuple[float, float]

    @staticmethod
    def of(samples: Sequence[float]) -> Timing:
        """The timing of at least one run."""
        if len(samples) == 1:
            return Timing(samples[0], (samples[0], samples[0]))
        low, _, high = quantiles(samples, n=4, method="inclusive")
        return Timing(median(samples), (low, high))


@dataclass(frozen=True)
class Trial:
    """One config, tried.

    Attributes:
        config: The config.
        timing: How long a run takes; None where it failed.
        error: Relative error by output, the worst over all cases; empty where it did not run.
        failure: One of `FAILURES`, or None.
        detail: What the compiler or the check said about the failure.
        source_hash: Hash of the rendered source.
    """

    config: Config
    timing: Timing | None = None
    error: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None
    detail: str = ""
    source_hash: str = ""

    @property
    def seconds(self) -> float:
        """Median seconds of a run that succeeded."""
        assert self.timing is not None, f"{self.config} failed: {self.failure}"
        return self.timing.seconds

    @property
    def rank(self) -> float:
        """What a search compares: the first quartile, since what disturbs a run only ever makes it longer."""
        assert self.timing is not None, f"{self.config} failed: {self.failure}"
        return self.timing.quartiles[0]

    def to_data(self) -> dict[str, Any]:
        """The trial as JSON data."""
        return {
            "config": str(self.config),
            "timing": None if self.timing is None else [self.timing.seconds, *self.timing.quartiles],
            "error": dict(self.error),
            "failure": self.failure,
            "detail": self.detail,
            "source_hash": self.source_hash,
        }

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Trial:
        """The trial that `to_data` wrote.

        Raises:
            InvalidInputError: The config has another form.
            AttributeError, KeyError, OverflowError, TypeError, ValueError: A value is missing, or is none.
        """
        timing = None
        if data["timing"] is not None:
            seconds, low, high = (_positive(value) for value in data["timing"])
            timing = Timing(seconds, (low, high))
        if data["failure"] not in ((None,) if timing else FAILURES):
            raise ValueError(f"failure is {data['failure']!r}")
        return Trial(
            config=Config.parse(data["config"]),
            timing=timing,
            error={str(name): _error(value) for name, value in data["error"].items()},
            failure=data["failure"],
            detail=str(data["detail"]),
            source_hash=str(data["source_hash"]),
        )


def _positive(value: Any) -> float:
    seconds = float(value)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{value!r} is no time")
    return seconds


def _error(value: Any) -> float:
    error = float(value)
    if not error >= 0:
        raise ValueError(f"{value!r} is no error")
    return error
