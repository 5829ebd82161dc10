from __future__ import annotations

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
