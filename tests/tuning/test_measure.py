from __future__ import annotations

import torch

from ssmgen.tuning.measure import Bench, last_level_cache
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
