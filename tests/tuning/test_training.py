"""Forward and backward tuned together, and what training makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssmgen import dispatch
from ssmgen.errors import InvalidInputError
from ssmgen.targets import target
from ssmgen.tuning import Observer, TuneResult, campaign, training_pairs
from tests.helpers import make_problem

SCAN = make_problem("selective_scan", dim=32, seqlen=96, d_state=4)
LINEAR = make_problem("linear_scan", dim=32, seqlen=96)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(tmp_path / "configs"))
    dispatch.forget()


def test_pairs_agree_on_what_is_saved_and_keep_to_the_memory_allowed() -> None:
    cpu = target("cpu")
    pairs = training_pairs(SCAN, cpu, most_states=1.0)
    assert len(pairs) >= 2
    for forward, backward in pairs:
        assert (forward.direction, backward.direction) == ("forward", "backward")
        assert forward.options == backward.options
    # States of 4 in fp32 before every 16th step are a quarter of u.
    saved = [pair.forward.option("saved") for pair in training_pairs(SCAN, cpu, most_states=0.2)]
    assert 16 not in saved
    assert 32 in saved
    assert [pair.forward for pair in training_pairs(LINEAR, cpu, most_states=4.0)] == [LINEAR]


def test_what_no_kernel_differentiates_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InvalidInputError, match="allow more"):
        training_pairs(SCAN, target("cpu"), most_states=1e-6)
    with pytest.raises(InvalidInputError, match="gradients of selective_state_update"):
        training_pairs(make_problem("selective_state_update"), target("cpu"), most_states=4.0)


class Recorder(Observer):
    def __init__(self) -> None:
        self.finished_runs: list[TuneResult] = []

    def finished(self, result: TuneResult) -> None:
        self.finished_runs.append(result)


@pytest.mark.slow
def test_training_runs_the_fastest_pair_that_was_tuned() -> None:
    recorder = Recorder()
    choices = [training_pairs(problem, target("cpu"), most_states=4.0) for problem in (SCAN, LINEAR)]
    results = list(campaign(choices, "cpu", budget_seconds=90, max_trials=3, observer=recorder))
    assert [result.problem.direction for result in results] == ["backward", "forward"] * 2
    assert all(result.best is not None for result in results)
    backward, forward, *_ = results
    assert backward.problem.options == forward.problem.options
    assert any("by their defaults" in note for note in backward.notes)

    seconds: dict[object, float] = {}
    latest = {result.problem: result for result in recorder.finished_runs if result.problem.op == SCAN.op}
    for result in latest.values():
        assert result.best is not None
        saved = result.problem.option("saved")
        seconds[saved] = seconds.get(saved, 0.0) + result.best.seconds
    chosen, opposite = dispatch.resolve_training(SCAN, target("cpu"))
    assert opposite is not None
    assert chosen.option("saved") == opposite.option("saved") == min(seconds, key=lambda key: seconds[key])
