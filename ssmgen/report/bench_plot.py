"""A benchmark as a picture: time and memory against the swept size, or a bar for each provider."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ssmgen.bench import Point, Result
from ssmgen.codegen import write_atomically
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.report.bench import task_text
from ssmgen.report.bench_sweep import fits

__all__ = ["check_plot", "draw_bench"]

# Paul Tol's bright colours, which those who see few colours tell apart; then the same with other marks.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
_MARKS = ("o", "s")
_SUFFIXES = (".svg", ".png", ".pdf")
_LABELS = {"seqlen": "length L", "dim": "channels D", "d_state": "states N", "threads": "threads"}


def check_plot(path: Path) -> None:
    """Complain before the run, and not after it.

    Raises:
        InvalidInputError: The file's ending is none of a picture.
        TargetUnavailableError: matplotlib is not installed.
    """
    if path.suffix not in _SUFFIXES:
        raise InvalidInputError(f"--plot {path}: the name must end in {', '.join(_SUFFIXES)}.")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise TargetUnavailableError(
            "--plot needs matplotlib: pip install matplotlib, or the extra `ssmgen[examples]`."
        ) from error


def draw_bench(result: Result, path: Path) -> None:
    """Write the picture: a row of panels for each op."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = [list(points) for _, points in groupby(result.points, lambda point: point.task.problem.op)]
    if result.sweep is None:
        figure = Figure(figsize=(8, 1.0 + 2.6 * len(result.points)), layout="constrained")
        axes = figure.subplots(len(result.points), 1, squeeze=False)
        for axis, point in zip(axes[:, 0], result.points, strict=True):
            _draw_bars(axis, point)
    else:
        figure = Figure(figsize=(11, 4.6 * len(groups)), layout="constrained")
        axes = figure.subplots(len(groups), 2, squeeze=False)
        for (time, memory), points in zip(axes, groups, strict=True):
            _draw_lines(time, memory, points, result.sweep)
    memory_file = io.BytesIO()
    # The same numbers give the same file.
    with mpl.rc_context({"svg.hashsalt": "ssmgen"}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(memory_file, format=path.suffix[1:], dpi=120, metadata=metadata)
    write_atomically(path, memory_file.getvalue())


def _draw_bars(axis: Any, point: Point) -> None:
    rows = [row for row in reversed(point.rows) if row.seconds is not None and row.quartiles is not None]
    seconds = [1e3 * (row.seconds or 0.0) for row in rows]
    spread = [
        [1e3 * abs((row.seconds or 0.0) - (row.quartiles or (0, 0))[k]) for row in rows] for k in (0, 1)
    ]
    axis.barh([row.provider for row in rows], seconds, xerr=spread, color=_COLOURS[0], ecolor="#333333")
    axis.bar_label(axis.containers[-1], [f" {value:.3g} ms" for value in seconds], fontsize=8)
    limit = None if point.limit is None else point.limit.seconds
    if limit is not None:
        axis.axvline(1e3 * limit, color="black", linestyle="--", linewidth=1)
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set_xlabel("ms" if limit is None else "ms; dashed: the machine's limit", fontsize=8)
    axis.set_title(task_text(point), fontsize=8, loc="left")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_lines(time: Any, memory: Any, points: Sequence[Point], sweep: str) -> None:
    found = fits(points)
    for number, row in enumerate(points[0].rows):
        done = [
            (point.value, each)
            for point in points
            if (each := point.row(row.provider)) is not None and each.seconds is not None
        ]
        if not done:
            continue
        style = {
            "color": _COLOURS[number % len(_COLOURS)],
            "marker": _MARKS[number // len(_COLOURS) % len(_MARKS)],
            "markersize": 4,
            "linewidth": 1.2,
        }
        for axis, fit, values in (
            (time, found[row.provider][0], [1e3 * (each.seconds or 0.0) for _, each in done]),
            (memory, found[row.provider][1], [(each.memory or 0) / 2**20 for _, each in done]),
        ):
            pairs = [(size, value) for (size, _), value in zip(done, values, strict=True) if value > 0]
            if not pairs:
                continue
            grows = "" if fit is None or sweep == "threads" else f", exponent {fit.exponent:.2f}"
            axis.plot(*zip(*pairs, strict=True), label=f"{row.provider}{grows}", **style)
    limits = [(p.value, 1e3 * p.limit.seconds) for p in points if p.limit is not None and p.limit.seconds]
    if limits:
        time.plot(
            *zip(*limits, strict=True),
            color="black",
            linestyle="--",
            linewidth=1,
            label="the machine's limit",
        )
    for axis, label in ((time, "time of a run, ms"), (memory, "memory beyond the inputs, MiB")):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel(_LABELS[sweep])
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    time.set_title(f"{points[0].task.problem.op}, {points[0].task.mode}", fontsize=10, loc="left")
