"""Whole tunes among hostile kernels: each failure is named, nothing else suffers, and the right config wins."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssmgen import store
from ssmgen.tuning import FAILURES, Observer, Trial, Tuner, TuneResult, compiling, run
from ssmgen.tuning.process import memory
from tests.tuning.fakes import PROBLEM
from tests.tuning.hostile import FAILURES_OF, PIPE, open_hostile

_ENOUGH = 3 << 29  # bytes of memory that PyTorch and the operands need, and a hog does not get


class Recorder(Observer):
    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def measured(self, trial: Trial) -> None:
        self.trials.append(trial)

    @property
    def failures(self) -> dict[str, str | None]:
        return {str(trial.config["behaviour"]): trial.failure for trial in self.trials}

    def of(self, behaviour: str) -> Trial:
        return next(trial for trial in self.trials if trial.config["behaviour"] == behaviour)


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv(PIPE, str(tmp_path / "pipe"))
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    # A machine with little memory and a tuner in a hurry: what hangs costs seconds, and a hog harms nobody.
    # A process counts what its parent held at its start, too: a hog has to get more than these tests.
    monkeypatch.setattr(memory, "available", lambda: max(_ENOUGH, int(1.5 * (memory.status("VmHWM") or 0))))
    monkeypatch.setattr(compiling, "_COMPILE_SECONDS", (12.0, 60.0))
    monkeypatch.setattr(run, "_TRY_SECONDS", (5.0, 20.0))
    yield
    assert not [line for line in _commands() if str(tmp_path) in line], "compilers were left behind"


def _commands() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "cc1" in line]


def tune(behaviours: tuple[str, ...], recorder: Recorder, seconds: float = 400.0) -> TuneResult:
    with Tuner(",".join(behaviours), open_target=open_hostile) as tuner:
        return tuner.tune(PROBLEM, budget_seconds=seconds, observer=recorder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tune_among_hostile_kernels_names_every_failure_and_finds_the_right_config() -> None:
    recorder = Recorder()
    result = tune(tuple(FAILURES_OF), recorder)
    assert recorder.failures == FAILURES_OF
    assert result.best is not None
    assert result.best.config["behaviour"] == "good"
    assert result.is_exhaustive
    assert set(result.failures) <= set(FAILURES)
    assert sum(result.failures.values()) == len(FAILURES_OF) - 2
    (entry,) = store.read_file(result.path or Path())
    assert entry.config == result.best.config
    assert entry.error["out"] < 2e-6
    # What went wrong is said in a way that helps.
    assert "#error no" in recorder.of("refused").detail
    assert "SIGABRT" in recorder.of("compiler_aborts").detail
    assert "a workspace" in recorder.of("overruns_scratch").detail
    assert "seqlen=1" in recorder.of("wrong_at_length_1").detail
    assert "exit code 3" in recorder.of("exits").detail
    # The next run starts from all that, except what may have been the machine's fault.
    again = Recorder()
    resumed = tune(tuple(name for name in FAILURES_OF if name not in ("compiles_forever", "hangs")), again)
    assert resumed.tried == 0
    assert resumed.best is not None
    assert resumed.best.config == result.best.config


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviours", [("slow", "good", "segfaults", "overruns_scratch", "unsteady", "refused")], ids=str
)
def test_a_short_tune_survives_too(behaviours: tuple[str, ...]) -> None:
    recorder = Recorder()
    start = time.monotonic()
    result = tune(behaviours, recorder, 60.0)
    assert time.monotonic() - start < 60.0
    assert recorder.failures == {name: FAILURES_OF[name] for name in behaviours}
    assert result.best is not None
    assert result.best.config["behaviour"] == "good"
