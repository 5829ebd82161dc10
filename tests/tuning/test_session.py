from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ssmgen.config import Config
from ssmgen.tuning.journal import RunLine, journal_paths, read_journal
from ssmgen.tuning.session import Session
from ssmgen.tuning.trial import FAILURES, Timing, Trial
from tests.helpers import make_problem
from tests.tuning.fakes import PROBLEM, FakeTarget, config

FACTS = FakeTarget(("good",)).facts


def make_session(**versions: str) -> Session:
    return Session(PROBLEM, FACTS, 2, versions or {"compiler": "1"})


def good(block: int, seconds: float = 1e-3) -> Trial:
    return Trial(config("good", block), Timing(seconds, (seconds, seconds)), {"out": 1e-7}, source_hash="h")


@pytest.fixture(autouse=True)
def _own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path))


def _same(config: Config) -> str:
    return "h"


def test_trials_come_back_failures_and_all() -> None:
    trials = [good(1), Trial(config("wrong"), None, {"out": float("inf")}, "not finite", "why", "h")]
    for trial in trials:
        make_session().append(trial)
    assert make_session().load(_same) == {trial.config: trial for trial in trials}


def test_the_latest_trial_of_a_config_counts() -> None:
    for seconds in (2.0, 1.0):
        make_session().append(good(1, seconds))
    assert make_session().load(_same)[config("good")].seconds == 1.0


def test_another_version_source_or_problem_is_measured_again() -> None:
    make_session().append(good(1))
    assert make_session(compiler="2").load(_same) == {}
    assert make_session().load(lambda config: "another") == {}
    assert make_session().load(lambda config: None) == {}
    assert Session(make_problem("linear_scan"), FACTS, 2, {"compiler": "1"}).load(_same) == {}


@pytest.mark.parametrize("failure", FAILURES)
def test_timeouts_are_tried_again_and_other_failures_are_not(failure: str) -> None:
    make_session().append(Trial(config("hangs"), failure=failure, source_hash="h"))
    assert len(make_session().load(_same)) == (0 if "timeout" in failure else 1)


@pytest.mark.parametrize(
    "garbage", [b"{", b"\xff\xfe", b"[]", b"null", b'{"config": "good("}', b'{"timing": 3}']
)
def test_a_torn_line_costs_only_itself(garbage: bytes) -> None:
    session = make_session()
    session.append(good(1))
    session.append(good(2))
    whole = session.path.read_bytes()
    session.path.write_bytes(whole[:-20])
    assert list(make_session().load(_same)) == [config("good", 1)]
    session.path.write_bytes(whole + b"\n" + garbage)
    session.append(good(3))
    assert [c["block"] for c in make_session().load(_same)] == [1, 2, 3]


def test_a_journal_that_cannot_be_written_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "file"))
    session = make_session()
    session.append(good(1))
    assert session.load(_same) == {}


def test_a_journal_says_what_it_is_of_and_when_each_trial_ended() -> None:
    start = time.time()
    for number in (1, 2):
        session = Session(PROBLEM, FACTS, 2, {"compiler": "1"}, 1e-5, config("slow"))
        session.append(good(number))
        session.append(good(number, 2.0))
    (path,) = journal_paths()
    assert path == session.path
    found = read_journal(path)
    assert found.run == RunLine(PROBLEM, replace(FACTS, present=False), 2, 1e-5, config("slow"))
    assert [record.trial for record in found.records] == [good(1), good(1, 2.0), good(2), good(2, 2.0)]
    assert all(start - 1 <= (record.at or 0) <= time.time() + 1 for record in found.records)
    assert {record.versions["compiler"] for record in found.records} == {"1"}
    # Once for each run.
    assert len(path.read_text().split("\n")) == 1 + 4 + 2


def test_journals_of_earlier_versions_are_read_and_say_less() -> None:
    session = make_session()
    session.append(good(1))
    first, run, trial = session.path.read_text().split("\n")
    assert (first, "run" in json.loads(run)) == ("", True)
    old = json.loads(trial)
    del old["at"]
    session.path.write_text("\n" + json.dumps(old))
    assert make_session().load(_same) == {config("good", 1): good(1)}
    found = read_journal(session.path)
    assert (found.run, found.records[0].at, found.unreadable) == (None, None, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"timing": [float("nan"), 1, 1]},
        {"timing": [-1.0, 1, 1]},
        {"timing": [1, 1]},
        {"timing": [10**400, 1, 1]},
        {"failure": "crash"},
        {"error": {"out": float("nan")}},
        {"versions": {"compiler": 1}},
        {"at": 1e300},
        {"run": {"problem": 3}},
        {"run": {"problem": {}, "device": {}, "threads": -1, "max_error": None, "default": None}},
    ],
)
def test_what_no_run_writes_is_no_trial(changes: dict[str, object]) -> None:
    session = make_session()
    session.append(good(1))
    trial = json.loads(session.path.read_text().split("\n")[-1])
    with session.path.open("a") as file:
        file.write("\n" + json.dumps({**trial, **changes}))
    found = read_journal(session.path)
    assert ([record.trial for record in found.records], found.unreadable) == ([good(1)], 1)
    assert found.run is not None
