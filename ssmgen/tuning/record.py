"""What a run keeps of its trials, and how it shares them with runs elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from ssmgen.config import Config
from ssmgen.tuning.trial import Trial

__all__ = ["FORGIVEN", "Record", "Rounds"]

# Seconds of finalists, by config, one for each round.
Rounds = Mapping[Config, Sequence[float]]

# These may have been the machine's fault, so the next run tries again.
FORGIVEN = ("timeout", "compile timeout")


class Record(ABC):
    """The trials of one problem on one device, of this run and of others that work on it at the same time."""

    @abstractmethod
    def load(self, source_hash: Callable[[Config], str | None]) -> dict[Config, Trial]:
        """The trials that still hold, by config: same versions, same source; the latest counts.

        Args:
            source_hash: Hash of the source a config renders to now; None where the space no longer holds it.
        """

    @abstractmethod
    def append(self, trial: Trial) -> None:
        """Add a trial."""

    @abstractmethod
    def claim(self, configs: Sequence[Config]) -> list[Config]:
        """Those of the configs that are for this run to try, and for no other until they are appended or released."""

    @abstractmethod
    def release(self) -> None:
        """Give back what was claimed and not tried."""

    @abstractmethod
    def news(self) -> list[Trial]:
        """What other runs have tried since this was last asked."""

    @abstractmethod
    def taken(self, configs: Sequence[Config]) -> list[Config]:
        """Those of the configs that other runs are trying, or have tried."""

    @abstractmethod
    def decide(self, count: int, compare: Callable[[], Rounds], seconds: float) -> Rounds:
        """The finalists' times, from whichever run compares them first.

        Args:
            count: How many configs were tried: runs that know the same have the same finalists.
            compare: Times them here.
            seconds: How long to wait for another run that does.
        """
