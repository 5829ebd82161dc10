"""A benchmark as JSON data, with what is needed to repeat it; `docs/bench.md` says what the fields mean."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import groupby
from math import isfinite
from typing import Any

from ssmgen.bench import BASELINE, Fit, Point, Result, Row
from ssmgen.report.bench_sweep import fits

__all__ = ["SCHEMA", "bench_data"]

SCHEMA = 1


def bench_data(
    result: Result, machine: dict[str, Any], arguments: Sequence[str] | None = None
) -> dict[str, Any]:
    """The data.

    Args:
        result: A run.
        machine: See `ssmgen.bench.machine`.
        arguments: Of the command; those of this process by default.
    """
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "schema": SCHEMA,
        "command": shlex.join(["ssmgen", *words]),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "baseline": BASELINE,
        "sweep": result.sweep,
        "seconds": result.seconds,
        "interrupted": result.interrupted,
        "points": [_point(point) for point in result.points],
        "fits": _fits(result),
        "absent": [
            {"provider": name, "why": why, "install": install} for name, why, install in result.absent
        ],
    }


def _point(point: Point) -> dict[str, Any]:
    task, limit = point.task, point.limit
    return {
        "op": task.problem.op,
        "mode": task.mode,
        "dims": dict(task.problem.dims),
        "dtype": task.problem.dtype,
        "options": dict(task.problem.options),
        "threads": task.threads,
        "value": point.value,
        "elements": task.elements,
        "bytes": task.bytes,
        "checked": dict(point.checked.problem.dims),
        "other_cores": point.others,
        "limit": None
        if limit is None
        else {
            "seconds": limit.seconds,
            "compute_seconds": limit.compute,
            "memory_seconds": limit.memory,
            "element_seconds": dict(limit.per_element),
            "bytes_per_second": limit.bandwidth,
        },
        "rows": [_row(point, row) for row in point.rows],
    }


def _row(point: Point, row: Row) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "version": row.version,
        "status": row.status,
        "reason": row.reason,
        "note": row.note,
        "seconds": row.seconds,
        "quartiles": None if row.quartiles is None else list(row.quartiles),
        "fastest": min(row.samples, default=None),
        "runs": len(row.samples),
        "input_sets": row.sets,
        # JSON has no infinity: null is a result that is not finite.
        "errors": None
        if row.errors is None
        else {name: error if isfinite(error) else None for name, error in row.errors.items()},
        "memory_bytes": row.memory,
        "speedup": point.speedup(row, BASELINE),
        "fraction_of_limit": point.fraction(row),
    }


def _fits(result: Result) -> list[dict[str, Any]]:
    if result.sweep is None or result.sweep == "threads":
        return []
    found = []
    for op, points in groupby(result.points, lambda point: point.task.problem.op):
        for name, (time, memory) in fits(list(points)).items():
            found.append({"op": op, "provider": name, "time": _fit(time), "memory": _fit(memory)})
    return found


def _fit(fit: Fit | None) -> dict[str, Any] | None:
    return None if fit is None else {**asdict(fit), "linear": fit.is_linear}
