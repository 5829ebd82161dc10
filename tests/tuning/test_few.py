"""Few configs for many problems, against every choice there is."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen.config import Config
from ssmgen.errors import InvalidInputError
from ssmgen.problem import Problem
from ssmgen.tuning.few import few_for_many
from tests.helpers import make_problem

PROBLEMS = [make_problem("linear_scan", seqlen=2**power) for power in range(3, 15)]
CONFIGS = [Config.of("made", {"tile": tile}) for tile in range(7)]
Seconds = dict[Problem, dict[Config, float]]


def least_worst(seconds: Seconds, count: int) -> float:
    """The least worst loss of all choices of so many configs."""
    configs = {config for times in seconds.values() for config in times}
    return min(
        max(
            min(times.get(config, math.inf) for config in chosen) / min(times.values()) - 1.0
            for times in seconds.values()
        )
        for chosen in itertools.combinations(configs, min(count, len(configs)))
    )


@st.composite
def tables(draw: st.DrawFn) -> Seconds:
    """Times of some configs, of which some were not measured, and some are the same."""
    rows = draw(st.integers(1, 6))
    return {
        problem: draw(
            st.dictionaries(st.sampled_from(CONFIGS), st.sampled_from([1.0, 1.1, 1.5, 2.0, 7.0]), min_size=1)
        )
        for problem in PROBLEMS[:rows]
    }


@given(seconds=tables())
@settings(max_examples=300, deadline=None)
def test_the_worst_loss_is_the_least_there_is(seconds: Seconds) -> None:
    found = few_for_many(seconds)
    by_count = {len(few.configs): few for few in found}
    assert found[-1].worst == 0.0
    last = math.inf
    for count in range(1, len(found[-1].configs) + 1):
        wanted = least_worst(seconds, count)
        if count in by_count:
            assert by_count[count].worst == wanted
        else:
            # One more has gained nothing, or so few cannot serve every problem.
            assert wanted == last
        last = wanted
    for few in found:
        for problem, loss in few.losses.items():
            times = seconds[problem]
            mine = min(times.get(config, math.inf) for config in few.configs)
            assert loss == mine / min(times.values()) - 1.0


def test_worst_losses_fall_and_the_last_is_none() -> None:
    draw = random.Random(0)
    configs = [Config.of("made", {"tile": tile}) for tile in range(60)]
    seconds = {problem: {config: draw.uniform(1.0, 3.0) for config in configs} for problem in PROBLEMS}
    found = few_for_many(seconds)
    worst = [few.worst for few in found]
    assert worst == sorted(worst, reverse=True)
    assert len(set(worst)) == len(worst)
    assert worst[-1] == 0.0
    assert all(few.mean <= few.worst for few in found)


def test_nothing_measured_is_an_error() -> None:
    for seconds in ({}, {PROBLEMS[0]: {}}):
        with pytest.raises(InvalidInputError, match="tune it first"):
            few_for_many(seconds)
