"""What a tuning run tells while it runs, and what it has found at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.tuning.trial import Timing, Trial

__all__ = ["Final", "Observer", "TuneResult"]


class Observer:
    """Told of every step of a run, in order; does nothing. Subclasses show what they care for."""

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        """The search begins.

        Args:
            space: The problem, the device and the valid configs.
            resumed: How many of them an earlier run has tried.
            deadline: When the budget ends, on the clock of `time.monotonic`.
        """

    def referenced(self, seconds: float | None) -> None:
        """The reference has been timed, or took too long for the budget (None)."""

    def compiling(self, configs: Sequence[Config]) -> None:
        """These are being compiled."""

    def timing(self, config: Config) -> None:
        """This one is being verified and timed."""

    def measured(self, trial: Trial) -> None:
        """This one has been tried."""

    def deciding(self, configs: Sequence[Config]) -> None:
        """These finalists are being timed in turns."""

    def finished(self, result: TuneResult) -> None:
        """The run is over and its result saved."""

    def beside(self, name: str) -> Observer:
        """What is told of the runs on another device, named so, at the same time as this one."""
        return Observer()


@dataclass(frozen=True)
class Final:
    """A config at the end of a run.

    Attributes:
        config: The config.
        timing: Its time, from the final comparison where there was one.
        error: Relative error by output, the worst over all cases that it was verified on.
        source_hash: Hash of its rendered source.
    """

    config: Config
    timing: Timing
    error: dict[str, float]
    source_hash: str

    @property
    def seconds(self) -> float:
        """Median seconds of a run."""
        return self.timing.seconds


@dataclass(frozen=True)
class TuneResult:
    """One problem, tuned.

    Attributes:
        problem: The problem.
        facts: The device.
        reference: Time of the PyTorch reference; None where one run of it takes too long for the budget.
        default: The built-in default; None where it failed or did not run.
        best: The best config; None where none worked.
        tried: How many configs this run has tried.
        resumed: How many were known from an earlier run.
        valid: How many configs the space holds.
        failures: How many failed, by kind.
        excluded: How many each rule left out of the space, by (variant, rule).
        is_exhaustive: Whether every config of the space has been tried.
        is_interrupted: Whether Ctrl-C ended the search.
        notes: Sentences worth showing: ties, a busy machine, what was left out.
        path: The file it was saved to; None where nothing was.
        seconds: How long the run took.
        evidence: `measured`, or `predicted` by the model of a GPU that need not be here.
    """

    problem: Problem
    facts: DeviceFacts
    reference: Timing | None
    default: Final | None
    best: Final | None
    tried: int
    resumed: int
    valid: int
    failures: Counter[str]
    excluded: Counter[tuple[str, str]]
    is_exhaustive: bool
    is_interrupted: bool
    notes: tuple[str, ...]
    path: Path | None
    seconds: float
    evidence: str = "measured"

    @property
    def speedup(self) -> float | None:
        """How many times faster the best config is than the reference."""
        if self.reference is None or self.best is None:
            return None
        return self.reference.seconds / self.best.seconds
