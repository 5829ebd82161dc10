"""Trials in a storage that runs on several machines share: each config is tried by one of them."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ssmgen.config import Config
from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space
from ssmgen.tuning.claims import Claim, Claims
from ssmgen.tuning.record import FORGIVEN, Record, Rounds
from ssmgen.tuning.session import source_hash
from ssmgen.tuning.trial import Trial

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["Shared"]

_POLL = 0.2


class Shared(Record):
    """A study for each variant, and one for who compares the finalists. All that is read is checked."""

    def __init__(
        self,
        storage: BaseStorage,
        space: Space,
        threads: int | None,
        versions: Mapping[str, str],
        max_error: float | None = None,
    ) -> None:
        """Runs share what has the same problem, device, threads, versions and largest error."""
        facts = replace(space.facts, present=False)
        identity = (space.problem, facts, threads, sorted(versions.items()), max_error)
        digest = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
        self._space = space
        self._hash = partial(source_hash, space)
        self._prefix = f"{space.problem.function} {digest}"
        self._storage = storage
        self._variants = {name: self._study(name) for name in space.configs}
        self._claimed: dict[Config, Claim] = {}
        self._seen: set[tuple[str, int]] = set()
        # These hold for the run that saw them, and not for those that start later.
        self._forgiven: set[tuple[str, int]] = set()

    def load(self, source_hash: Callable[[Config], str | None]) -> dict[Config, Trial]:
        """See `Record`."""
        found: dict[Config, Trial] = {}
        for where, trial in self._unseen():
            if trial.failure in FORGIVEN:
                self._forgiven.add(where)
            elif source_hash(trial.config) == trial.source_hash:
                found[trial.config] = trial
        return found

    def news(self) -> list[Trial]:
        """See `Record`."""
        return [trial for _, trial in self._unseen() if self._hash(trial.config) == trial.source_hash]

    def append(self, trial: Trial) -> None:
        """See `Record`."""
        claims, claim = self._variants[trial.config.variant], self._claimed.pop(trial.config, None)
        if claim is None:
            claim = self._make(trial.config)  # a finalist that failed after it had worked
        self._seen.add((trial.config.variant, claim.number))
        claims.keep(claim, trial.to_data(), None if trial.failure is not None else trial.rank)

    def claim(self, configs: Sequence[Config]) -> list[Config]:
        """See `Record`."""
        taken = self.taken(configs)
        wanted = [config for config in configs if config not in taken]
        for config in wanted:
            self._claimed[config] = self._make(config)
        holding = self._holding()
        numbers = {config: self._claimed[config].number for config in wanted}
        mine = [
            config for config in wanted if holding.get(self._key(config), numbers[config]) == numbers[config]
        ]
        for config in set(wanted) - set(mine):
            self._variants[config.variant].withdraw(self._claimed.pop(config))
        return mine

    def release(self) -> None:
        """See `Record`."""
        while self._claimed:
            config, claim = self._claimed.popitem()
            self._variants[config.variant].withdraw(claim)

    def taken(self, configs: Sequence[Config]) -> list[Config]:
        """See `Record`."""
        holding = self._holding()
        return [config for config in configs if self._key(config) in holding]

    def decide(self, count: int, compare: Callable[[], Rounds], seconds: float) -> Rounds:
        """See `Record`."""
        claims, key = self._study("finals"), f"the finalists of {count}"
        mine = claims.make(key)
        found = self._awaited(claims, key, mine, time.monotonic() + seconds)
        if found is not None:
            claims.withdraw(mine)
            return found
        rounds = compare()
        fastest = min((min(samples) for samples in rounds.values()), default=None)
        claims.keep(mine, {str(config): list(samples) for config, samples in rounds.items()}, fastest)
        return rounds

    def _awaited(self, claims: Claims, key: str, mine: Claim, end: float) -> Rounds | None:
        """What an earlier claim gives before the time ends; None where the comparison is for this run to make."""
        with suppress(KeyboardInterrupt):
            while time.monotonic() < end:
                holding = (entry for entry in claims.entries() if entry.key == key and entry.holds)
                first = next(holding, None)
                if first is None or first.number == mine.number:
                    break
                if first.kept is not None:
                    return self._rounds(first.kept)
                time.sleep(_POLL)
        return None

    def _study(self, name: str) -> Claims:
        return Claims(self._storage, f"{self._prefix} {name}")

    def _make(self, config: Config) -> Claim:
        variant = self._space.variant(config)
        choices = dict(variant.params(self._space.problem, self._space.facts))
        return self._variants[config.variant].make(self._key(config), dict(config.params), choices)

    def _key(self, config: Config) -> str:
        return f"{config} {self._hash(config)}"

    def _holding(self) -> dict[str, int]:
        """The lowest number of the claims of each config that somebody tries, or has tried."""
        found: dict[str, int] = {}
        for name, claims in self._variants.items():
            for entry in claims.entries():
                if entry.holds and (name, entry.number) not in self._forgiven:
                    found.setdefault(entry.key, entry.number)
        return found

    def _unseen(self) -> list[tuple[tuple[str, int], Trial]]:
        """What was tried and not yet told, with the study and number of each."""
        found = []
        for name, claims in self._variants.items():
            for entry in claims.entries():
                trial = None if (name, entry.number) in self._seen else self._trial(entry.kept)
                if trial is not None:
                    self._seen.add((name, entry.number))
                    found.append(((name, entry.number), trial))
        return found

    def _trial(self, kept: object) -> Trial | None:
        """The trial that was kept; None for none, or what no run of ours has written."""
        try:
            trial = Trial.from_data(kept)  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, SsmgenError):
            return None
        times = () if trial.timing is None else (trial.timing.seconds, *trial.timing.quartiles)
        return trial if trial.config in self._space and all(0 < x < math.inf for x in times) else None

    def _rounds(self, kept: object) -> Rounds | None:
        """The times that were kept; None for none, or what no run of ours has written."""
        try:
            rounds = {Config.parse(text): [float(x) for x in samples] for text, samples in kept.items()}  # type: ignore[attr-defined]
        except (ValueError, TypeError, AttributeError, OverflowError, SsmgenError):
            return None
        counts = {len(samples) for samples in rounds.values()}
        is_ours = len(counts) <= 1 and 0 not in counts and all(config in self._space for config in rounds)
        return rounds if is_ours and all(0 < x < math.inf for xs in rounds.values() for x in xs) else None
