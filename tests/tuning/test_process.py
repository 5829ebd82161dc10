from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from ssmgen.tuning.process import Worker
from ssmgen.tuning.trial import Trial
from ssmgen.tuning.worker import Compile, Final, Prepare, Reference, Try
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError
from tests.tuning.fakes import PROBLEM, config, open_fake

# One process of tests for the one worker that they ask.
pytestmark = pytest.mark.xdist_group("worker")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(open_fake, "fake") as worker:
        yield worker


def attempt(worker: Worker, behaviour: str, limit: float = 20.0) -> Trial:
    trial = worker.ask(Try(PROBLEM, config(behaviour), None), limit)
    assert isinstance(trial, Trial)
    return trial


def test_answers_come_from_another_process(worker: Worker) -> None:
    assert "cache" in str(worker.ask(Prepare(PROBLEM), 20.0))
    assert float(str(worker.ask(Reference(PROBLEM), 20.0))) > 0


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("good", None),
        ("wrong", "wrong result"),
        ("stray_write", "out of bounds"),
        ("uncompilable", "compile error"),
        ("runtime_error", "crash"),
        ("too_large", "out of resources"),
        ("too_much", "out of memory"),
        ("illegal", "illegal access"),
    ],
)
def test_a_trial_says_what_became_of_a_config(worker: Worker, behaviour: str, failure: str | None) -> None:
    trial = attempt(worker, behaviour)
    assert trial.failure == failure
    assert (trial.timing is None) == (failure is not None)
    assert (trial.detail == "") == (failure is None)


@pytest.mark.slow
def test_a_crash_is_reported_by_its_signal_and_the_next_request_starts_anew(worker: Worker) -> None:
    with pytest.raises(WorkerDiedError, match="SIGABRT"):
        attempt(worker, "aborts")
    assert not worker.is_alive
    assert attempt(worker, "good").failure is None


@pytest.mark.slow
def test_what_this_process_holds_does_not_count_as_the_workers() -> None:
    held = b"x" * (1 << 30)
    with Worker(open_fake, "fake") as worker, pytest.raises(WorkerDiedError) as caught:
        attempt(worker, "aborts")
    assert caught.value.peak == 0
    assert held[-1:] == b"x"


def test_compiling_several_tells_which_are_done_and_which_failed(worker: Worker) -> None:
    configs = tuple(config(behaviour) for behaviour in ("good", "uncompilable", "slow"))
    done: list[object] = []
    failed = worker.ask(Compile(PROBLEM, configs), 20.0, done.append)
    assert sorted(map(str, done)) == sorted(map(str, configs))
    assert isinstance(failed, tuple)
    assert [(trial.config, trial.failure) for trial in failed] == [(configs[1], "compile error")]


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(worker: Worker) -> None:
    attempt(worker, "good")

    def interrupt(answer: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.ask(Compile(PROBLEM, (config("good"), config("slow"))), 20.0, interrupt)
    assert attempt(worker, "wrong").failure == "wrong result"


def test_a_mistake_of_ours_is_not_a_failure_of_a_config(worker: Worker) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        worker.ask(Final(PROBLEM, (), 0.1, 0), 20.0)


@pytest.mark.slow
def test_a_killed_worker_leaves_nothing_behind() -> None:
    with Worker(open_fake, "fake") as worker:
        worker.ask(Prepare(PROBLEM), 20.0)
        assert worker._process is not None
        group = worker._process.pid
    assert (
        subprocess.run(["ps", "-o", "pid=", "-g", str(group)], capture_output=True, check=False).stdout == b""
    )


def test_a_hang_is_killed_in_time(worker: Worker) -> None:
    attempt(worker, "good")
    start = time.monotonic()
    with pytest.raises(WorkerTimeoutError):
        attempt(worker, "hangs", limit=0.5)
    assert time.monotonic() - start < 2.0
    assert not worker.is_alive
