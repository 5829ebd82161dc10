"""What has been tried, in a file that only grows: the next run starts from it, however this one ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ssmgen import settings
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space
from ssmgen.problem import Problem
from ssmgen.trust import FOLDER_MODE, own_cache, require_own
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
    """The journal of one problem on one device: JSON lines, one for each trial.

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
    ) -> None:
        # What counts as a wrong result is part of what was tried.
        allowed = () if max_error is None else (max_error,)
        identity = hashlib.sha256(repr((problem, facts, threads, *allowed)).encode()).hexdigest()[:12]
        name = f"{problem.op}_{identity}.jsonl"
        self.path: Path = settings.cache_dir() / "sessions" / facts.slug / name
        # What a journal says was verified is believed.
        with contextlib.suppress(OSError):
            own_cache("sessions")
        require_own(self.path.parent)
        require_own(self.path)
        self._versions = dict(versions)

    def load(self, source_hash: Callable[[Config], str | None]) -> dict[Config, Trial]:
        """The trials that still hold, by config: same versions, same source; the latest counts.

        Args:
            source_hash: Hash of the source a config renders to now; None where the space no longer holds it.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return {}
        found: dict[Config, Trial] = {}
        for line in lines:
            # A run that was killed may have left half a line.
            try:
                data = json.loads(line)
                trial, versions = Trial.from_data(data), data["versions"]
            except (ValueError, KeyError, TypeError, AttributeError, SsmgenError):
                continue
            if versions == self._versions and trial.failure not in _FORGIVEN:
                found[trial.config] = trial
        return {config: trial for config, trial in found.items() if source_hash(config) == trial.source_hash}

    def append(self, trial: Trial) -> None:
        """Add a trial; a journal that cannot be written costs the resume, not the run."""
        line = json.dumps({**trial.to_data(), "versions": self._versions})
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            # The line break comes first: after half a line it starts a new one.
            with self.path.open("ab", buffering=0) as file:
                # One call of the system: what another process appends at the same time stays apart.
                file.write(f"\n{line}".encode())
        except OSError:
            pass
