"""Who does what, in one study of a storage: each thing is claimed before it is done, and kept when it is."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssmgen.config import Value
from ssmgen.tuning.storage import told

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

__all__ = ["Claim", "Claims", "Entry"]

_LEASE = 900.0  # seconds after which whoever claimed something is gone: nothing takes as long


class Claim(NamedTuple):
    """A claim of this process: its id in the storage, and its number in the study."""

    id: int
    number: int


class Entry(NamedTuple):
    """A claim of any process.

    Attributes:
        number: Its number in the study.
        key: What was claimed.
        kept: What came of it; None where nothing has.
        is_open: Whether somebody is at it.
    """

    number: int
    key: str
    kept: object
    is_open: bool

    @property
    def holds(self) -> bool:
        """Whether nobody else need do it: it is neither withdrawn nor left by a process that is gone."""
        return self.is_open or self.kept is not None


class Claims:
    """The claims of one study, each a trial of Optuna's.

    The storage numbers the trials of a study one after another, and whoever has made a claim sees all that have lower
    numbers: of several claims of one thing the lowest holds, and the others are withdrawn.
    """

    def __init__(self, storage: BaseStorage, study: str) -> None:
        """Make the study if it is not there."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        self._storage = storage
        with told():
            with suppress(DuplicatedStudyError):
                storage.create_new_study([StudyDirection.MINIMIZE], study)
            self._study = storage.get_study_id_from_name(study)

    def make(
        self,
        key: str,
        params: Mapping[str, Value] | None = None,
        choices: Mapping[str, Sequence[Value]] | None = None,
    ) -> Claim:
        """Claim something; the params, and what they are chosen from, are for whoever looks at the study."""
        import optuna

        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(params or {}),
            distributions={
                name: optuna.distributions.CategoricalDistribution(tuple(values))
                for name, values in (choices or {}).items()
            },
            user_attrs={"key": key, "by": f"{_host()} {os.getpid()}", "since": time.time()},
        )
        with told():
            made = self._storage.create_new_trial(self._study, trial)
            return Claim(made, self._storage.get_trial_number_from_id(made))

    def keep(self, claim: Claim, kept: object, value: float | None) -> None:
        """What came of a claim: JSON data, and the trial's value, None for a failure."""
        from optuna.trial import TrialState

        with told():
            self._storage.set_trial_user_attr(claim.id, "kept", kept)
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            self._storage.set_trial_state_values(claim.id, state, None if value is None else [value])

    def withdraw(self, claim: Claim) -> None:
        """Give up a claim."""
        from optuna.trial import TrialState

        with told():
            self._storage.set_trial_state_values(claim.id, TrialState.FAIL)

    def entries(self) -> list[Entry]:
        """Every claim of the study, by number."""
        with told():
            trials = self._storage.get_all_trials(self._study, deepcopy=False)
        return [
            Entry(
                trial.number,
                key,
                trial.user_attrs.get("kept"),
                not trial.state.is_finished() and _is_there(trial),
            )
            for trial in sorted(trials, key=lambda trial: trial.number)
            if isinstance(key := trial.user_attrs.get("key"), str)
        ]


def _host() -> str:
    """This machine, and in it the processes that this one can ask for."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _is_there(trial: FrozenTrial) -> bool:
    """Whether the process that made a claim may still be at it."""
    since: Any = trial.user_attrs.get("since")
    if not isinstance(since, float) or time.time() - since > _LEASE:
        return False
    host, _, process = str(trial.user_attrs.get("by")).rpartition(" ")
    if host != _host():
        return True
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
