from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ssmgen import store, targets
from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, TargetUnavailableError, UnknownNameError
from ssmgen.kernels import Space
from ssmgen.targets import Target
from ssmgen.tuning import Observer, Trial, Tuner, TuneResult, tune
from tests.helpers import make_problem, run_config
from tests.tuning.fakes import PROBLEM, FakeTarget, open_fake


@pytest.fixture(autouse=True)
def _own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))


class Recorder(Observer):
    """Remembers what it is told, and presses Ctrl-C after so many trials."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.events: list[str] = []
        self.trials: list[Trial] = []
        self._interrupt_after = interrupt_after

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        self.events.append("started")
        assert deadline > time.monotonic()

    def referenced(self, seconds: float | None) -> None:
        self.events.append("referenced")

    def compiling(self, configs: Sequence[Config]) -> None:
        self.events.append("compiling")

    def timing(self, config: Config) -> None:
        self.events.append("timing")

    def measured(self, trial: Trial) -> None:
        self.events.append("measured")
        self.trials.append(trial)
        if len(self.trials) == self._interrupt_after:
            raise KeyboardInterrupt

    def deciding(self, configs: Sequence[Config]) -> None:
        self.events.append("deciding")

    def finished(self, result: TuneResult) -> None:
        self.events.append("finished")


def fake(behaviours: str, max_error: float | None = None, **options: object) -> TuneResult:
    with Tuner(behaviours, max_error=max_error, open_target=open_fake) as tuner:
        return tuner.tune(PROBLEM, **{"budget_seconds": 120.0, **options})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_larger_error_lets_in_what_is_wrong_otherwise() -> None:
    strict, loose = fake("slow,wrong"), fake("slow,wrong", max_error=1.0)
    assert strict.best is not None
    assert loose.best is not None
    assert strict.best.config["behaviour"] == "slow"
    # Of what was tried under the other limit nothing is known.
    assert loose.resumed == 0
    assert loose.best.config["behaviour"] == "wrong"
    assert max(loose.best.error.values()) > 1e-4
    with pytest.raises(InvalidInputError, match="error must be positive"):
        fake("slow", max_error=0.0)


def test_a_run_finds_the_fast_config_and_saves_it() -> None:
    recorder = Recorder()
    result = fake("good,slow,wrong", observer=recorder)
    assert result.best is not None
    assert result.default is not None
    assert result.reference is not None
    assert (result.best.config["behaviour"], result.default.config["behaviour"]) == ("good", "slow")
    assert result.best.seconds < result.default.seconds
    assert result.speedup == result.reference.seconds / result.best.seconds
    assert (result.tried, result.valid, result.resumed) == (6, 6, 0)
    assert result.is_exhaustive
    assert not result.is_interrupted
    assert recorder.events[:3] == ["started", "referenced", "compiling"]
    assert recorder.events[-2:] == ["deciding", "finished"]
    (entry,) = store.read_file(result.path or Path())
    assert entry.config == result.best.config
    assert (entry.evidence, entry.seconds) == ("measured", result.best.seconds)
    assert entry.error["out"] < 2e-6
    match = store.lookup(PROBLEM, result.facts, lambda entry: True)
    assert match is not None
    assert match.entry == entry


@pytest.mark.slow
def test_failures_are_counted_by_kind_and_cost_nothing_else() -> None:
    result = fake(
        "good,slow,wrong,unwritten,stray_write,uncompilable,compiler_dies,aborts", budget_seconds=60.0
    )
    assert result.best is not None
    assert result.best.config["behaviour"] == "good"
    assert result.failures == {
        "wrong result": 2,
        "not finite": 2,
        "out of bounds": 2,
        "compile error": 2,
        "compiler crash": 2,
        "crash": 2,
    }
    assert result.excluded == {("fake", "odd"): 8}
    assert (result.tried, result.valid) == (16, 16)


@pytest.mark.slow
def test_a_finalist_that_fails_is_a_failure_and_the_next_one_wins() -> None:
    result = fake("slow,quarrels")
    assert result.best is not None
    assert result.best.config["behaviour"] == "slow"
    assert result.failures == {"crash": 2}
    assert fake("slow,quarrels").resumed == 4


@pytest.mark.slow
def test_finalists_that_take_the_worker_down_only_together_are_judged_by_the_search() -> None:
    result = fake("slow,dies_quarrelling")
    assert result.best is not None
    assert any("could not be timed in turns (SIGABRT" in note for note in result.notes)
    assert result.failures == {}


@pytest.mark.slow
def test_a_hang_costs_its_timeout_and_the_budget_holds() -> None:
    start = time.monotonic()
    result = fake("slow,hangs", budget_seconds=4.0)
    assert result.best is not None
    assert result.best.config["behaviour"] == "slow"
    # A hang has no end of its own; starting and killing processes takes seconds on a busy machine.
    assert time.monotonic() - start < 4.0 + 10.0


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured_and_the_next_run_starts_from_it() -> None:
    first = Recorder(interrupt_after=3)
    result = fake("good,slow,wrong", observer=first)
    assert result.is_interrupted
    assert result.tried == 3
    assert result.path is not None
    second = Recorder()
    result = fake("good,slow,wrong", observer=second)
    assert (result.resumed, result.tried) == (3, 3)
    assert result.is_exhaustive
    assert not {trial.config for trial in first.trials} & {trial.config for trial in second.trials}


_KILLED = """
import os, signal
from ssmgen.tuning import Observer, Tuner
from tests.tuning.fakes import PROBLEM, open_fake

class Killer(Observer):
    count = 0
    def measured(self, trial):
        self.count += 1
        if self.count == 2:
            os.kill(os.getpid(), signal.SIGKILL)

with Tuner("good,slow", open_target=open_fake) as tuner:
    tuner.tune(PROBLEM, budget_seconds=30.0, observer=Killer())
"""


@pytest.mark.slow
def test_a_run_that_is_killed_is_resumed_too() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.run([sys.executable, "-c", _KILLED], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    result = fake("good,slow")
    assert (result.resumed, result.tried) == (2, 2)


@pytest.mark.slow
def test_nothing_is_saved_where_nothing_works() -> None:
    broken = fake("wrong,uncompilable")
    assert (broken.best, broken.default, broken.path, broken.speedup) == (None, None, None, None)
    assert broken.failures == {"wrong result": 2, "compile error": 2}


@pytest.mark.slow
def test_one_worker_serves_several_problems() -> None:
    with Tuner("good", open_target=open_fake) as tuner:
        results = [
            tuner.tune(PROBLEM.with_dims(seqlen=length), budget_seconds=20.0, max_trials=1)
            for length in (32, 64)
        ]
    assert [result.tried for result in results] == [1, 1]
    assert results[1].seconds < results[0].seconds
    assert len(store.read_file(results[1].path or Path())) == 2


def _interpreted(name: str) -> Target:
    target = FakeTarget(("good",))
    target.facts = type(target.facts)(**{**vars(target.facts), "kind": "interpret"})
    return target


def _named(name: str) -> Target:
    target = FakeTarget(("good",))
    target.facts = type(target.facts)(
        **{**vars(target.facts), "kind": "cuda", "arch": "sm_90", "present": False}
    )
    return target


def test_targets_that_cannot_be_timed_say_so() -> None:
    with pytest.raises(TargetUnavailableError, match="nothing to tune"):
        tune(PROBLEM, "reference", budget_seconds=1.0)
    with pytest.raises(TargetUnavailableError, match="times say nothing"):
        Tuner("interpret", open_target=_interpreted)
    with pytest.raises(TargetUnavailableError, match="'sm_90' is only named"):
        Tuner("sm_90", open_target=_named)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UnknownNameError):
        tune(PROBLEM, "abacus", budget_seconds=1.0)
    with Tuner("good", open_target=open_fake) as tuner:
        with pytest.raises(InvalidInputError, match="positive"):
            tuner.tune(PROBLEM, budget_seconds=0.0)
        with pytest.raises(InvalidInputError, match="has no kernel for linear_scan"):
            tuner.tune(make_problem("linear_scan", "bf16"), budget_seconds=1.0)


@pytest.mark.slow
def test_a_real_kernel_is_tuned_for_the_cpu_within_its_budget() -> None:
    problem = make_problem("linear_scan", batch=2, dim=24, seqlen=300)
    start = time.monotonic()
    result = tune(problem, "cpu", budget_seconds=10.0)
    assert time.monotonic() - start < 10.0 * 1.05 + 3.0
    assert result.best is not None
    assert result.reference is not None
    assert result.best.seconds < result.reference.seconds
    (entry,) = store.load(Path(os.environ["SSMGEN_CONFIG_DIR"]))
    assert entry.config == result.best.config
    assert run_config(targets.target("cpu"), problem, entry.config, seed=7)["out"] < 2e-6
