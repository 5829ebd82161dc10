"""What is tried in place of all configs holds what all of them hold."""

from __future__ import annotations

import pytest

from ssmgen.config import Config
from ssmgen.kernels import INTERFACES
from ssmgen.targets import target
from tests.covering import Tried, covering, pairs
from tests.helpers import is_left_to_the_reference, make_problem


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("op", INTERFACES)
def test_every_pair_of_choices_of_every_variant_is_tried(op: str, direction: str, tried: Tried) -> None:
    problem = make_problem(op, direction=direction)
    if is_left_to_the_reference(problem, "c"):
        return
    space = target("cpu").space(problem)
    chosen = tried(space)
    assert len(set(chosen)) == len(chosen) <= len(space)
    for name, configs in space.configs.items():
        mine = [config for config in chosen if config.variant == name]
        assert pairs(mine) == pairs(configs)
        assert bool(mine) == bool(configs)


def test_a_few_configs_hold_all_pairs() -> None:
    values = range(4)
    every = [Config.of("v", {"a": a, "b": b, "c": c}) for a in values for b in values for c in values]
    assert 16 <= len(covering(every)) <= 24  # of 64; each pair of values takes one
    # What is ruled out takes its pairs along; a config that nothing tells apart is one of them.
    allowed = [config for config in every if config["a"] != config["b"]]
    assert pairs(covering(allowed)) == pairs(allowed) != pairs(every)
    assert covering([Config("v")]) == [Config("v")]
    assert covering([]) == []
