"""Compiling beside timing, where that disturbs nothing, and before it, where it would; what fails is blamed alone."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ssmgen.config import Config
from ssmgen.tuning import compiling
from ssmgen.tuning.compiling import Beside
from ssmgen.tuning.patience import Patience
from ssmgen.tuning.trial import Trial
from ssmgen.tuning.tune import Tuner
from tests.tuning.fakes import PROBLEM
from tests.tuning.logged import FOLDER, Event, events, open_logged


def config(behaviour: str, block: int = 1) -> Config:
    return Config.of("fake", {"behaviour": behaviour, "block": block})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "logged"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    # Names of files are hashes of text, and each process would salt them in its own way.
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def overlapping(compiled: list[Event], ran: list[Event]) -> list[tuple[Event, Event]]:
    return [
        (one, other) for one in compiled for other in ran if one.start < other.end and other.start < one.end
    ]


def split(found: list[Event]) -> tuple[list[Event], list[Event]]:
    return [item for item in found if item.what == "compile"], [item for item in found if item.what == "run"]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["triton", "c"])
def test_a_gpu_is_timed_while_others_compile_and_a_cpu_is_not(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tuner(language, open_target=open_logged) as tuner:
        space = tuner.target.space(PROBLEM).where(lambda config: config["behaviour"] == "good")
        monkeypatch.setattr(tuner.target, "space", lambda problem: space)
        result = tuner.tune(PROBLEM, budget_seconds=240.0)
    assert result.tried == len(space) == 3
    compiled, ran = split(events())
    timing = {event.process for event in ran}
    assert len(timing) == 1
    if language == "c":
        assert {event.process for event in compiled} == timing
        assert not overlapping(compiled, ran)
    else:
        assert timing.isdisjoint(event.process for event in compiled)
        assert overlapping(compiled, ran)


@pytest.mark.slow
def test_each_failure_is_that_of_its_config_and_the_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "hangs", 6.0)
    wanted = [config("compiler_hangs"), config("uncompilable"), config("compiler_dies"), config("good")]
    beside = Beside(open_logged, "triton", 2)
    try:
        found = list(beside.ready(PROBLEM, wanted, lambda: 60.0))
    finally:
        beside.close()
    failures = {item.config: item.failure for item in found if isinstance(item, Trial)}
    assert failures == {
        config("uncompilable"): "compile error",
        config("compiler_dies"): "compiler crash",
        config("compiler_hangs"): "compile timeout",
    }
    assert [item for item in found if isinstance(item, Config)] == [config("good")]


@pytest.mark.slow
def test_what_is_ready_does_not_wait_for_what_is_not_and_nobody_waits_at_the_end() -> None:
    beside = Beside(open_logged, "triton", 2)
    try:
        ready = beside.ready(PROBLEM, [config("compiler_hangs"), config("good")], lambda: 600.0)
        assert next(ready) == config("good")
        start = time.monotonic()
        ready.close()
        assert time.monotonic() - start < 10.0
        # The processes that were ended start anew.
        assert list(beside.ready(PROBLEM, [config("good", 2)], lambda: 600.0)) == [config("good", 2)]
    finally:
        beside.close()
    assert threading.active_count() < 10


@pytest.mark.slow
def test_what_the_budget_cuts_short_is_no_failure() -> None:
    beside = Beside(open_logged, "triton", 1)
    try:
        started = [config("good"), config("good", 2)]
        assert list(beside.ready(PROBLEM, started, lambda: 60.0)) == started
        hanging = [config("compiler_hangs"), config("compiler_hangs", 2)]
        assert not list(beside.ready(PROBLEM, hanging, lambda: 0.0))
    finally:
        beside.close()


def test_a_core_is_left_to_what_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.os, "cpu_count", lambda: 16)
    with Tuner("triton", open_target=open_logged) as tuner:
        assert tuner._compilers is not None
        assert tuner._compilers.batch == 2 * 15
    with Tuner("c", open_target=open_logged) as tuner:
        assert tuner._compilers is None
