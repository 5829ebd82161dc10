"""What a benchmark looks like, and what its JSON holds."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from ssmgen.bench import BASELINE, Observer, Point, Result, Row, Task, machine_facts
from ssmgen.bench.limits import Limit
from ssmgen.errors import InvalidInputError
from ssmgen.report.bench import print_bench
from ssmgen.report.bench_data import SCHEMA, bench_data
from ssmgen.report.bench_plot import check_plot, draw_bench
from ssmgen.report.bench_progress import bench_watched
from ssmgen.targets import target
from tests.helpers import make_problem


def point(length: int = 2048, value: int | None = None) -> Point:
    task = Task(make_problem("selective_scan", seqlen=length), "forward", 2)
    second = 1e-6 * length
    rows = (
        Row("ssmgen", "done", "", (second, 1.1 * second), {"out": 2e-7}, 1 << 20, 3, "channels(...), tuned"),
        Row(BASELINE, "done", "", (100 * second,), {"out": 1e-7}, length << 10, 3),
        Row("numba", "failed", "timeout: not done within 60 s"),
        Row("pykeops", "skipped", "has no selective_scan"),
    )
    limit = Limit(0.5 * second, 0.2 * second, {"scan": 4e-11}, 2e10)
    return Point(task, rows, limit, task.checked, 0.5, value)


ONE = Result([point()], [("jax", "jax is not installed", "pip install jax")], None, 12.0)
SWEEP = Result([point(size, size) for size in (128, 512, 2048, 8192, 1 << 20)], [], "seqlen", 12.0)


def printed(result: Result, width: int = 80, *, terminal: bool = False) -> str:
    file = io.StringIO()
    print_bench(result, Console(file=file, width=width, force_terminal=terminal, color_system=None))
    return file.getvalue()


def test_the_table_has_what_was_asked_for() -> None:
    text = printed(ONE)
    ours = next(line for line in text.splitlines() if line.startswith("ssmgen "))
    assert ours.split() == ["ssmgen", "2.15", "ms", "±2%", "95.2x", "48%", "2e-07", "1.0", "MiB"]
    assert "1.02 ms, the larger of arithmetic 1.02 ms (50.3M x 40.0 ps (scan)) and memory" in text
    assert "numba failed: timeout: not done within 60 s" in text
    assert "left out: pykeops (has no selective_scan)" in text
    assert "jax is not installed; to have it: pip install jax" in text
    assert "ssmgen: channels(...), tuned" in text
    assert "other processes used 0.5 cores meanwhile" in text


@pytest.mark.parametrize("result", [ONE, SWEEP])
def test_a_terminal_of_80_columns_is_enough(result: Result) -> None:
    assert max(map(len, printed(result, 80, terminal=True).splitlines())) <= 80


def test_in_a_pipe_a_sentence_is_a_line() -> None:
    lines = printed(ONE, 40).splitlines()
    assert any(line.startswith("limit ") and line.endswith("GB/s)") for line in lines)


def test_a_wrong_result_is_called_that() -> None:
    task = point().task
    rows = (Row("x", "done", "", (1.0,), {"out": math.inf}), Row("y", "done", "", (1.0,), {"out": 4e-3}))
    result = Result([Point(task, rows, None, task)], [], None, 1.0)
    x, y = (line.split() for line in printed(result).splitlines() if line[:2] in ("x ", "y "))
    assert "wrong" in x
    assert "4e-03" in y
    data = json.loads(json.dumps(bench_data(result, {}, []), allow_nan=False))
    assert data["points"][0]["rows"][0]["errors"] == {"out": None}


def test_a_sweep_shows_sizes_growth_and_why_some_are_missing() -> None:
    text = printed(SWEEP)
    assert "seqlen=128 to 1 048 576" in text
    assert "L^1.00 ±0.00" in text
    assert "numba: failed, timeout" in text
    errors = [line for line in text.splitlines() if line.startswith("1,048,576")]
    assert len(errors) == 2  # of time and of memory


def test_the_data_can_be_repeated_and_read() -> None:
    facts = machine_facts(target("cpu"))
    data = json.loads(
        json.dumps(bench_data(ONE, facts, ["bench", "selective_scan", "--option", "B=constant x"]))
    )
    assert data["schema"] == SCHEMA
    assert data["command"] == "ssmgen bench selective_scan --option 'B=constant x'"
    assert {
        "cpu",
        "arch",
        "cores",
        "caches",
        "memory_bytes",
        "system",
        "python",
        "compiler",
        "versions",
        "commit",
    } <= set(data["machine"])
    assert {"torch", "numpy"} <= set(data["machine"]["versions"])
    (found,) = data["points"]
    assert found["dims"] == {"batch": 1, "dim": 1536, "seqlen": 2048, "d_state": 16, "groups": 1}
    assert found["limit"]["seconds"] == pytest.approx(1.024e-3)
    rows = {row["provider"]: row for row in found["rows"]}
    assert rows["ssmgen"]["speedup"] == pytest.approx(100 / 1.05)
    assert rows["ssmgen"]["fraction_of_limit"] == pytest.approx(0.5 / 1.05)
    assert rows["ssmgen"]["runs"] == 2
    assert rows["ssmgen"]["errors"] == {"out": 2e-7}
    assert rows["numba"]["seconds"] is None
    assert all(set(row) == set(rows["ssmgen"]) for row in rows.values())
    assert data["absent"] == [
        {"provider": "jax", "why": "jax is not installed", "install": "pip install jax"}
    ]


def test_the_data_of_a_sweep_has_its_fits() -> None:
    data = bench_data(SWEEP, {}, [])
    fits = {fit["provider"]: fit for fit in data["fits"]}
    assert fits["ssmgen"]["time"]["exponent"] == pytest.approx(1.0)
    assert fits["ssmgen"]["time"]["linear"] is True
    assert fits["ssmgen"]["memory"] is None  # it does not grow
    assert fits[BASELINE]["memory"]["exponent"] == pytest.approx(1.0)


@pytest.mark.parametrize("result", [ONE, SWEEP])
def test_the_picture_is_the_same_for_the_same_numbers(result: Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        check_plot(path)
        draw_bench(result, path)
    assert first.read_bytes() == second.read_bytes()
    assert b"<svg" in first.read_bytes()


def test_a_picture_of_no_known_kind_is_refused_before_the_run() -> None:
    with pytest.raises(InvalidInputError, match="must end in"):
        check_plot(Path("picture.doc"))


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_said(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=terminal)
    done = point()
    with bench_watched(console) as observer:
        observer.started(done.task, 0, 2, 1e9)
        observer.checking(done.task)
        observer.preparing("numba")
        observer.round(1, 2)
        observer.finished(done)
    if not terminal:
        assert "1 of 2: selective_scan" in file.getvalue()
        assert "the fastest ssmgen with 2.15 ms" in file.getvalue()


def test_silence_where_there_is_no_console() -> None:
    with bench_watched(None) as observer:
        assert type(observer) is Observer
