"""What has been tried, in a file that only grows: the next run starts from it, however this one ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from ssmgen import settings
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.trust import FOLDER_MODE, own_cache, require_own
from ssmgen.tuning.journal import FOLDER, RunLine, TrialLine, read_journal
from ssmgen.tuning.record import FORGIVEN, Record, Rounds
from ssmgen.tuning.trial import Trial

__all__ = ["Session", "source_hash", "threads_of"]


def source_hash(space: Space, config: Config) -> str | None:
    """Hash of the source that a config renders to now; None where the space does not hold it."""
    if config not in space:
        return None
    return space.variant(config).source(space.problem, config).hash


def threads_of(target: Target) -> int | None:
    """Threads that kernels are timed with; None on a GPU."""
    return torch.get_num_threads() if target.facts.kind == "cpu" else None


class Session(Record):
    """The journal of one problem on one device: a run says once what it tunes, then appends a line for each trial.

    Nobody waits for anybody.

    Raises:
        TargetUnavailableError: Somebody else could have written it.
    """

    def __init__(
        self,
        problem: Problem,
        facts: DeviceFacts,
        threads: int | None,
        versions: Mapping[str, str],
        max_error: float | None = None,
        default: Config | None = None,
    ) -> None:
        # What counts as a wrong result is part of what was tried.
        allowed = () if max_error is None else (max_error,)
        identity = hashlib.sha256(repr((problem, facts, threads, *allowed)).encode()).hexdigest()[:12]
        name = f"{problem.op}_{identity}.jsonl"
        self.path: Path = settings.cache_dir() / FOLDER / facts.slug / name
        # What a journal says was verified is believed.
        with contextlib.suppress(OSError):
            own_cache(FOLDER)
        require_own(self.path.parent)
        require_own(self.path)
        self._versions = dict(versions)
        self._unsaid: RunLine | None = RunLine(problem, facts, threads, max_error, default)

    def load(self, source_hash: Callable[[Config], str | None]) -> dict[Config, Trial]:
        """The trials that still hold, by config: same versions, same source; the latest counts.

        Args:
            source_hash: Hash of the source a config renders to now; None where the space no longer holds it.
        """
        try:
            records = read_journal(self.path).records
        except OSError:
            return {}
        found = {
            trial.config: trial
            for trial, versions, _ in records
            if versions == self._versions and trial.failure not in FORGIVEN
        }
        return {config: trial for config, trial in found.items() if source_hash(config) == trial.source_hash}

    def append(self, trial: Trial) -> None:
        """Add a trial; a journal that cannot be written costs the resume, not the run."""
        lines = [] if self._unsaid is None else [self._unsaid.to_data()]
        lines.append(TrialLine(trial, self._versions, round(time.time(), 3)).to_data())
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            # The line break comes first: after half a line it starts a new one.
            text = "".join(f"\n{json.dumps(line)}" for line in lines)
            with self.path.open("ab", buffering=0) as file:
                # One call of the system: what another process appends at the same time stays apart.
                file.write(text.encode())
            self._unsaid = None
        except OSError:
            pass

    def claim(self, configs: Sequence[Config]) -> list[Config]:
        """All of them."""
        return list(configs)

    def release(self) -> None:
        """Nothing was claimed."""

    def news(self) -> list[Trial]:
        """None: what another process has appended meanwhile, the next run reads."""
        return []

    def taken(self, configs: Sequence[Config]) -> list[Config]:
        """None of them."""
        return []

    def decide(self, count: int, compare: Callable[[], Rounds], seconds: float) -> Rounds:
        """What is compared here."""
        return compare()
