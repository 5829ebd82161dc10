"""Trials as studies of Optuna, one for each variant of a problem: for its importances, and for its dashboard."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssmgen.report.history.files import write_file
from ssmgen.report.history.plain import plain
from ssmgen.report.history.reading import MOST_DETAIL, Progress, Tuned
from ssmgen.report.wording import counted, problem_text
from ssmgen.tuning.journal import TrialLine

if TYPE_CHECKING:
    import optuna

__all__ = ["FEWEST_TRIALS", "Importance", "importances", "write_studies"]

FEWEST_TRIALS = 20  # timed ones, so that five are among the fastest quarter
_QUANTILE = 0.25


class Importance(NamedTuple):
    """How much each param decides whether a config of a variant is among the fastest quarter of those timed.

    Attributes:
        variant: The variant.
        timed: How many of its configs were timed.
        shares: (param, share) pairs that sum to 1, the largest first; empty where too few were timed, or nothing
            varied.
    """

    variant: str
    timed: int
    shares: tuple[tuple[str, float], ...]


def importances(
    tuned: Sequence[Tuned], progress: Progress | None = None
) -> tuple[tuple[Importance, ...], ...]:
    """For each problem the importance of its variants' params by PED-ANOVA (Watanabe et al., 2023), as Optuna has it.

    Args:
        tuned: What was tuned.
        progress: Told how many problems are done.
    """
    found = []
    for number, item in enumerate(tuned):
        if progress is not None:
            progress("importances", number, len(tuned))
        found.append(tuple(_importance(variant, records) for variant, records in _by_variant(item)))
    return tuple(found)


def _importance(variant: str, records: Sequence[TrialLine]) -> Importance:
    timed = [record for record in records if record.trial.timing is not None]
    if len(timed) < FEWEST_TRIALS:
        return Importance(variant, len(timed), ())
    import optuna

    _quiet()
    study = _add_study(optuna.storages.InMemoryStorage(), variant, timed)
    return Importance(variant, len(timed), _shares(study))


def write_studies(path: Path, tuned: Sequence[Tuned], progress: Progress | None = None) -> int:
    """Write the trials as a journal of Optuna, which optuna-dashboard opens; give the number of studies.

    Args:
        path: The file; what it held is replaced.
        tuned: What was tuned.
        progress: Told how many problems are written.

    Raises:
        InvalidInputError: The file cannot be written.
    """
    _quiet()
    storage, logs = _journal_in_memory()
    names: Counter[str] = Counter()
    for number, item in enumerate(tuned):
        if progress is not None:
            progress("problems written", number, len(tuned))
        for variant, records in _by_variant(item):
            name = _study_name(item, variant)
            names[name] += 1
            # Devices of one name may differ in what else is known of them.
            suffix = f" ({names[name]})" if names[name] > 1 else ""
            study = _add_study(storage, f"{name}{suffix}", records)
            for attribute, value in _about(item).items():
                study.set_user_attr(attribute, value)
    # Optuna's own file would be locked and flushed to the disk for every trial.
    write_file(path, "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs))
    return names.total()


def _journal_in_memory() -> tuple[optuna.storages.BaseStorage, list[dict[str, Any]]]:
    """A storage, and the list that it writes what a file of Optuna's has as lines of JSON to."""
    import optuna
    from optuna.storages.journal import BaseJournalBackend, JournalStorage

    logs: list[dict[str, Any]] = []

    class Backend(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            return logs[log_number_from:]

        def append_logs(self, added: list[dict[str, Any]]) -> None:
            logs.extend(added)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return JournalStorage(Backend()), logs


def _by_variant(tuned: Tuned) -> Iterator[tuple[str, list[TrialLine]]]:
    for variant in tuned.variants:
        yield variant, [record for record in tuned.records if record.trial.config.variant == variant]


def _quiet() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _study_name(tuned: Tuned, variant: str) -> str:
    threads = "" if tuned.threads is None else f", {counted(tuned.threads, 'thread')}"
    allowed = "" if tuned.max_error is None else f", error up to {tuned.max_error:g}"
    return f"{problem_text(tuned.problem)}: {variant} on {tuned.device.name}{threads}{allowed}"


def _about(tuned: Tuned) -> dict[str, object]:
    return {
        "problem": str(tuned.problem),
        "device": tuned.device.name,
        "arch": tuned.device.arch,
        "threads": tuned.threads,
        "max_error": tuned.tolerance,
        "versions": tuned.versions,
    }


def _add_study(storage: optuna.storages.BaseStorage, name: str, records: Sequence[TrialLine]) -> optuna.Study:
    """A study of the records; what failed is a failed trial there, too, with its kind as a user attribute."""
    import optuna

    study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["seconds"])
    values: dict[str, dict[object, None]] = {}
    for record in records:
        for param, value in record.trial.config.params:
            values.setdefault(param, {})[value] = None
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        param: optuna.distributions.CategoricalDistribution(sorted(seen, key=lambda v: (str(type(v)), v)))  # type: ignore[arg-type]
        for param, seen in values.items()
    }
    for record in records:
        trial = record.trial
        params = dict(trial.config.params)
        frozen = optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL if trial.timing is None else optuna.trial.TrialState.COMPLETE,
            params=params,
            distributions={param: distributions[param] for param in params},
            value=None if trial.timing is None else trial.seconds,
            user_attrs=_attributes(record),
        )
        if record.at is not None:
            frozen.datetime_start = frozen.datetime_complete = datetime.fromtimestamp(record.at)
        study.add_trial(frozen)
    return study


def _attributes(record: TrialLine) -> dict[str, object]:
    trial = record.trial
    found: dict[str, object] = {"config": str(trial.config), "source_hash": plain(trial.source_hash)}
    if trial.timing is not None:
        found["quartiles"] = list(trial.timing.quartiles)
    if trial.error:
        found["error"] = {
            # JSON has no infinity, which is the error of what is not finite.
            plain(name): value if math.isfinite(value) else None
            for name, value in trial.error.items()
        }
    if trial.failure is not None:
        found |= {"failure": trial.failure, "detail": plain(trial.detail.strip(), MOST_DETAIL)}
    return found


def _shares(study: optuna.Study) -> tuple[tuple[str, float], ...]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    # Optuna 4 has another name for the quantile.
    known = inspect.signature(PedAnovaImportanceEvaluator).parameters
    name = "target_quantile" if "target_quantile" in known else "baseline_quantile"
    evaluator = PedAnovaImportanceEvaluator(**{name: _QUANTILE})  # type: ignore[arg-type]
    found = get_param_importances(study, evaluator=evaluator)
    return tuple(found.items()) if sum(found.values()) > 0 else ()
