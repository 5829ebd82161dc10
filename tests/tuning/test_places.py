"""One worker for each GPU of a kind, with stand-ins for the GPUs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace

import pytest

from ssmgen.problem import Problem
from ssmgen.targets import driver
from ssmgen.tuning import Observer, TuneResult, campaign
from ssmgen.tuning.places import at_once, gpus_alike
from ssmgen.tuning.process import Worker
from ssmgen.tuning.trial import Trial
from tests.helpers import make_problem
from tests.tuning.fakes import config, open_fake
from tests.tuning.test_budget import Clock
from tests.tuning.test_campaign import FakeTuner, result_of

module = import_module("ssmgen.tuning.campaign")
SCANS = [make_problem("linear_scan", dim=32, seqlen=2**power) for power in range(4, 12)]


def test_gpus_of_the_current_ones_name_come_with_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["H100", "A100", "H100", "H100"]
    monkeypatch.setattr(driver, "count", lambda: len(names))
    monkeypatch.setattr(driver, "properties", lambda device: SimpleNamespace(name=names[device.index]))
    for current, alike in ((2, [2, 0, 3]), (1, [1])):
        monkeypatch.setattr(driver, "current_device", lambda current=current: current)
        assert gpus_alike() == alike


def test_a_worker_keeps_to_its_gpu() -> None:
    assert [Worker(open_fake, "cuda", gpu=index)._first().gpu for index in (0, 3)] == [0, 3]  # type: ignore[attr-defined]
    assert Worker(open_fake, "cpu")._first().gpu is None  # type: ignore[attr-defined]


class Tuners:
    """A fake tuner for each GPU that is asked for; all work at the same time, for real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpus: list[int]) -> None:
        self.made: dict[int | None, FakeTuner] = {}
        self.at_work, self.most_at_work = 0, 0
        self._lock = threading.Lock()
        monkeypatch.setattr(driver, "is_available", lambda: True)
        monkeypatch.setattr(module, "gpus_alike", lambda: gpus)
        monkeypatch.setattr(module, "open_tuner", self.open)

    def open(self, name: str, *, gpu: int | None, **_: object) -> FakeTuner:
        outer = self

        class Busy(FakeTuner):
            def tune(self, problem: Problem, *, budget_seconds: float, **options: object) -> TuneResult:
                with outer._lock:
                    outer.at_work += 1
                    outer.most_at_work = max(outer.at_work, outer.most_at_work)
                time.sleep(0.05)
                with outer._lock:
                    outer.at_work -= 1
                return super().tune(problem, budget_seconds=budget_seconds, **options)

        return self.made.setdefault(gpu, Busy(Clock()))


def test_problems_wait_in_one_queue_for_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    tuners = Tuners(monkeypatch, [1, 0, 3])
    results = list(campaign(SCANS, "cuda", budget_seconds=60.0))
    assert sorted(result.problem["seqlen"] for result in results) == [scan["seqlen"] for scan in SCANS]
    assert list(tuners.made) == [1, 0, 3]
    shares = [tuner.budgets for tuner in tuners.made.values()]
    assert sum(map(len, shares)) == len(SCANS)
    assert min(map(len, shares)) > 0
    assert tuners.most_at_work == 3
    # Three at once: each of the eight has three eighths of the time, and the last ones all that is left.
    given = {problem: seconds for share in shares for problem, seconds in share.items()}
    assert given[SCANS[0]] == pytest.approx(60.0 * 3 / 8, rel=0.05)
    assert given[SCANS[-1]] > 50.0


def test_no_more_gpus_are_taken_than_there_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    tuners = Tuners(monkeypatch, [0, 1, 2])
    assert len(list(campaign(SCANS[:2], "cuda", budget_seconds=60.0))) == 2
    assert list(tuners.made) == [0, 1]
    tuners = Tuners(monkeypatch, [0, 1, 2])
    assert len(list(campaign(SCANS[:1], "cuda", budget_seconds=60.0))) == 1
    # The current device's worker; nothing is pinned.
    assert list(tuners.made) == [None]


TRIAL = Trial(config("good"), failure="crash")


def until_stopped(observer: Observer, started: threading.Event, problem: Problem) -> TuneResult:
    """As a run does: Ctrl-C ends the search, and what it does after that is told, too."""
    try:
        while True:
            started.set()
            observer.measured(TRIAL)
            time.sleep(0.01)
    except KeyboardInterrupt:
        observer.measured(TRIAL)
        observer.deciding([])
        return result_of(problem, is_interrupted=True)


@pytest.mark.timeout(12)
def test_ctrl_c_ends_every_search_and_keeps_what_it_has() -> None:
    # Whoever runs the tests in the background of a script hands down an ignored Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = [threading.Event() for _ in range(3)]

    def work(index: int) -> object:
        def run(observer: Observer) -> Iterator[TuneResult]:
            yield until_stopped(observer, begun[index], SCANS[index])
            pytest.fail("nothing more is begun")

        return run

    def interrupt() -> None:
        for event in begun:
            event.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        results = list(at_once([work(index) for index in range(3)], [Observer()] * 3))  # type: ignore[misc]
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(result.problem["seqlen"] for result in results) == [scan["seqlen"] for scan in SCANS[:3]]
    assert all(result.is_interrupted for result in results)


@pytest.mark.timeout(12)
def test_an_error_on_one_device_ends_the_others_and_is_raised() -> None:
    begun = threading.Event()

    def fails(observer: Observer) -> Iterator[TuneResult]:
        begun.wait()
        raise ValueError("no such thing")
        yield

    def runs(observer: Observer) -> Iterator[TuneResult]:
        yield until_stopped(observer, begun, SCANS[0])

    found: list[TuneResult] = []
    with pytest.raises(ValueError, match="no such thing"):
        found.extend(at_once([fails, runs], [Observer()] * 2))
    assert [result.is_interrupted for result in found] == [True]
