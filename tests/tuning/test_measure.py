from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target, target
from ssmgen.tuning import measure
from ssmgen.tuning.measure import Bench, last_level_cache
from ssmgen.tuning.operands import runner
from tests.helpers import make_problem
from tests.tuning.fakes import BEHAVIOURS, PROBLEM, FakeTarget, config

GOOD, SLOW = config("good"), config("slow")


def test_a_clear_loser_is_timed_only_a_few_times() -> None:
    bench = Bench(FakeTarget(BEHAVIOURS), PROBLEM)
    few = bench.time(SLOW, best=1e-4)
    many = bench.time(SLOW, best=2e-3)
    assert len(few) < 10 < len(many)
    assert min(few) >= 2e-3


def test_a_config_that_loses_to_its_rival_by_some_is_timed_less_than_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seconds that a machine takes at random: a third more, or the same, and now and then a disturbance."""
    draw, runs = random.Random(0), Counter[str]()
    bench = Bench(FakeTarget(BEHAVIOURS), PROBLEM)
    seconds = {GOOD: 1e-3, SLOW: 1.33e-3}
    monkeypatch.setattr(bench, "rotating", lambda config: _Named(config))
    monkeypatch.setattr(bench, "_warm_up", lambda run: None)

    def time(run: _Named, repetitions: int, restore: object) -> list[float]:
        runs[str(run.config["behaviour"])] += repetitions
        noise = (1 + 0.2 * draw.random() + 5 * (draw.random() < 0.05) for _ in range(repetitions))
        return [seconds[run.config] * factor for factor in noise]

    monkeypatch.setattr(bench.target, "time", time)
    few = bench.time(SLOW, best=1e-3, rival=GOOD)
    assert len(few) <= 32
    assert runs["good"] == len(few)
    runs.clear()
    seconds[SLOW] = 1e-3
    many = bench.time(SLOW, best=1e-3, rival=GOOD)
    # Both together take no longer than one that has no rival.
    assert runs["good"] == len(many) > 80
    assert sum(runs.values()) <= 200 + 4
    assert len(bench.time(GOOD, best=1e-3, rival=GOOD)) > 150


class _Named:
    restore = None

    def __init__(self, config: Config) -> None:
        self.config = config

    def untimed(self) -> None:
        pass


def test_finalists_are_timed_in_rounds_with_the_reference_among_them() -> None:
    times = Bench(FakeTarget(BEHAVIOURS), PROBLEM).final([GOOD, SLOW], seconds=0.2, references=2)
    assert len(times.rounds[GOOD]) == len(times.rounds[SLOW]) >= 3
    assert all(good < slow for good, slow in zip(times.rounds[GOOD], times.rounds[SLOW], strict=True))
    assert len(times.reference) == 2
    assert times.others is None or times.others >= 0


def test_operands_together_exceed_the_last_level_cache_unless_the_problem_is_tiny() -> None:
    cache = last_level_cache(torch.device("cpu"))
    assert cache >= 1 << 18
    bench = Bench(FakeTarget(BEHAVIOURS), make_problem("linear_scan", dim=640, seqlen=2048))
    assert "cold" in bench.conditions
    assert "warm" in Bench(FakeTarget(BEHAVIOURS), PROBLEM).conditions


def test_runs_rotate_over_the_sets_of_operands() -> None:
    bench = Bench(FakeTarget(BEHAVIOURS), PROBLEM)
    sets = {tensors[0].data_ptr() for tensors in bench._sets}
    assert len(sets) == len(bench._sets) >= 2


def test_every_run_finds_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of decoding updates it in place: unrestored, each run would start from what the last one left."""
    problem = make_problem("selective_state_update", batch=2, dim=64)
    cpu = target("cpu")
    found: list[bool] = []

    def watched(place: Target, problem: Problem, config: Config, tensors: Sequence[Tensor]) -> Runner:
        run = runner(place, problem, config, tensors)

        def once(tensors: Sequence[Tensor]) -> None:
            found.append(torch.equal(tensors[0], before))
            run(tensors)
            assert not torch.equal(tensors[0], before)

        return once

    monkeypatch.setattr(measure, "runner", watched)
    bench = Bench(cpu, problem)
    before = bench.operands[0].clone()
    default = cpu.space(problem).default()
    bench.time(default, None)
    bench.final([default], seconds=0.05, references=1)
    assert len(found) > 10
    assert all(found)
