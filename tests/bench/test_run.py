"""Whole runs in processes: a bad provider is a row, and takes nothing else down."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ssmgen.bench import Bench, Job, Point, Row, Task, run
from ssmgen.bench.sweep import SWEEPS, jobs_of, outlook
from ssmgen.errors import InvalidInputError, UnknownNameError
from tests.bench.fakes import TASK, Fake, open_fake
from tests.helpers import make_problem


@pytest.mark.slow
def test_bad_providers_are_rows_and_the_good_one_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_ANSWER_SECONDS", 2.0)
    names = ["good", "raises", "aborts", "hangs later", "absent"]
    start = time.monotonic()
    with Bench([Fake(name) for name in names], open_fake, budget_seconds=60, limit_seconds=5) as bench:
        result = bench.run([Job(TASK)])
    assert time.monotonic() - start < 60
    (point,) = result.points
    rows = {row.provider: row for row in point.rows}
    assert set(rows) == {"good", "raises", "aborts", "hangs later"}
    assert rows["good"].status == "done"
    assert len(rows["good"].samples) > 3
    assert rows["raises"].reason == "error: ValueError: no such kernel"
    assert rows["aborts"].reason.startswith("crash: SIGABRT")
    assert rows["hangs later"].status == "failed"
    assert rows["hangs later"].reason.startswith("timeout")
    assert point.limit is not None
    assert point.fraction(rows["good"]) is not None
    assert result.absent == [("absent", "nobody has it", "")]


@pytest.mark.slow
def test_a_hang_while_getting_ready_costs_what_patience_says() -> None:
    with Bench([Fake("hangs")], open_fake, budget_seconds=60, limit_seconds=1) as bench:
        (point,) = bench.run([Job(TASK)]).points
    assert point.rows[0].reason == "timeout: not done within 1 s"


@pytest.mark.slow
def test_what_the_budget_does_not_cover_says_so() -> None:
    with Bench([Fake("good")], open_fake, budget_seconds=1) as bench:
        (point,) = bench.run([Job(TASK)]).points
    assert point.rows[0].status == "skipped"


def test_a_sweep_varies_one_size() -> None:
    jobs = jobs_of(make_problem("selective_scan"), "forward", "seqlen", 2)
    assert [job.value for job in jobs] == list(SWEEPS["seqlen"])
    assert all(job.task.problem["seqlen"] == job.value and job.task.threads == 2 for job in jobs)
    nodes = jobs_of(make_problem("cauchy_mult"), "forward", "seqlen", 2)
    assert nodes[0].task.problem["nodes"] == 65
    assert [job.task.threads for job in jobs_of(make_problem("linear_scan"), "forward", "threads", 3)] == [
        1,
        2,
    ]


def test_what_cannot_be_swept_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="sweep"):
        jobs_of(make_problem("linear_scan"), "forward", "width", 2)
    with pytest.raises(InvalidInputError, match="no d_state"):
        jobs_of(make_problem("linear_scan"), "forward", "d_state", 2)


def points(seconds: Callable[[int], float], memory: Callable[[int], int], *sizes: int) -> list[Point]:
    found = []
    for size in sizes:
        task = Task(make_problem("linear_scan", seqlen=size), "forward", 1)
        row = Row("x", "done", samples=(seconds(size),), memory=memory(size))
        found.append(Point(task, (row,), None, task, None, size))
    return found


def test_the_next_size_is_tried_where_it_should_fit() -> None:
    linear = points(lambda n: 1e-3 * n, lambda n: 1 << 20, 100, 400)
    assert outlook("x", 1600, linear, 60.0) is None
    assert "would take about 1.6 s" in (outlook("x", 1600, linear, 6.0) or "")
    square = points(lambda n: 1e-5 * n**2, lambda n: 1 << 20, 100, 400)
    assert "would take about 25.6 s" in (outlook("x", 1600, square, 60.0) or "")
    large = points(lambda n: 1e-6, lambda n: n << 30, 100, 400)
    assert "GiB" in (outlook("x", 1600, large, 60.0) or "")


def test_nothing_is_known_of_a_provider_that_has_not_run() -> None:
    assert outlook("y", 1600, points(lambda n: n, lambda n: n, 100, 400), 1.0) is None


def test_after_a_failure_larger_sizes_are_not_tried() -> None:
    (last,) = points(lambda n: n, lambda n: n, 100)
    failed = Point(last.task, (Row("x", "failed", "timeout"),), None, last.task, None, 100)
    assert outlook("x", 400, [failed], 1e9) == "failed at 100"
    skipped = Point(last.task, (Row("x", "skipped", "would take years"),), None, last.task, None, 100)
    assert outlook("x", 400, [skipped], 1e9) == "would take years"
