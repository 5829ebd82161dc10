"""What was tuned as JSON data; `docs/report.md` says what the fields mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import ssmgen
from ssmgen import store
from ssmgen.report.history.crossovers import Crossover, crossovers
from ssmgen.report.history.plain import plain
from ssmgen.report.history.reading import History, Saved, Tuned
from ssmgen.report.history.studies import Importance
from ssmgen.tuning.journal import TrialLine

__all__ = ["SCHEMA", "history_data"]

SCHEMA = 1


def history_data(history: History, importances: Sequence[Sequence[Importance]]) -> dict[str, Any]:
    """The numbers of the page.

    Args:
        history: What was tuned.
        importances: Of the params, for each of the problems.
    """
    return {
        "schema": SCHEMA,
        "created": history.created.isoformat(timespec="seconds"),
        "ssmgen": ssmgen.__version__,
        "complaints": list(history.complaints),
        "tuned": [_tuned(item, found) for item, found in zip(history.tuned, importances, strict=True)],
        "crossovers": [_crossover(item) for item in crossovers(history.tuned)],
        "shipped": [_saved(item) for item in history.shipped],
    }


def _saved(saved: Saved) -> dict[str, Any]:
    return {"path": plain(str(saved.path)), **saved.entry.to_data()}


def _tuned(item: Tuned, importances: Sequence[Importance]) -> dict[str, Any]:
    return {
        "problem": str(item.problem),
        **store.problem_data(item.problem),
        "device": store.device_data(item.device),
        "threads": item.threads,
        "tolerance": item.tolerance,
        "versions": item.versions,
        "saved": None if item.saved is None else {**_saved(item.saved), "stale": item.is_stale},
        "gain_over_default": item.gain_over_default,
        "gain_over_reference": item.gain_over_reference,
        "journal": None if item.journal is None else plain(str(item.journal)),
        "trials": [_trial(record) for record in item.records],
        "earlier_trials": item.earlier,
        "failures": [asdict(failure) for failure in item.failures],
        "importances": [
            {"variant": found.variant, "timed": found.timed, "shares": dict(found.shares)}
            for found in importances
        ],
        "command": item.command,
    }


def _trial(record: TrialLine) -> dict[str, Any]:
    trial = record.trial
    return {
        "config": str(trial.config),
        "variant": trial.config.variant,
        "seconds": None if trial.timing is None else trial.timing.seconds,
        "quartiles": None if trial.timing is None else list(trial.timing.quartiles),
        # JSON has no infinity: null is a result that is not finite.
        "error": {plain(name): value if isfinite(value) else None for name, value in trial.error.items()},
        "failure": trial.failure,
        "at": record.at,
    }


def _crossover(found: Crossover) -> dict[str, Any]:
    return {
        "op": found.problem.op,
        "direction": found.problem.direction,
        "device": found.device,
        "threads": found.threads,
        "dim": found.dim,
        "points": [point._asdict() for point in found.points],
        "fastest": [{"variant": variant, "from": first, "to": last} for variant, first, last in found.ranges],
    }
