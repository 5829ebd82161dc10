from __future__ import annotations

from pathlib import Path

import pytest

from ssmgen.config import Config
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
