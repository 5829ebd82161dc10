"""What has been tried, in a file that only grows: the next run starts from it, however this one ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ssmgen import settings
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.trust import FOLDER_MODE, own_cache, require_own
from ssmgen.tuning.journal import FOLDER, Record, RunLine, read_journal
from ssmgen.tuning.trial import Trial

__all__ = ["Session", "source_hash"]

# These may have been the machine's fault, so the next run tries again.
_FORGIVEN = ("timeout", "compile timeout")


def source_hash(space: Space, config: Config) -> str | None:
    """Hash of the source that a config renders to now; None where the space does not hold it."""
    if config not in space:
        return None
    return space.variant(config).source(space.problem, config).hash


class Session:
    """The journal of one problem on one device: a run says once what it tunes, then appends a line for each trial.

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
            if versions == self._versions and trial.failure not in _FORGIVEN
        }
        return {config: trial for config, trial in found.items() if source_hash(config) == trial.source_hash}

    def append(self, trial: Trial) -> None:
        """Add a trial; a journal that cannot be written costs the resume, not the run."""
        lines = [] if self._unsaid is None else [self._unsaid.to_data()]
        lines.append(Record(trial, self._versions, round(time.time(), 3)).to_data())
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
