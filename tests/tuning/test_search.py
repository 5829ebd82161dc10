"""Search on synthetic landscapes: no kernel is compiled here."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import ClassVar

import pytest

from ssmgen.codegen import Source
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Interface, Program, Rule, Space, Variant, interface
from ssmgen.problem import Problem
from ssmgen.tuning.search import Search
from ssmgen.tuning.trial import Timing, Trial
from tests.tuning.fakes import PROBLEM

FACTS = DeviceFacts("cpu", "Synthetic", "synthetic", lanes=8, max_threads=1, max_registers=16)
Landscape = Callable[[Config], float | None]


class SyntheticVariant(Variant):
    interface: ClassVar[Interface] = interface("linear_scan")
    language: ClassVar[str] = "c"
    template: ClassVar[str] = "none"
    summary: ClassVar[str] = "a landscape"
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "tile",
            "such tiles do not fit",
            lambda problem, config, facts: config.integer("tile") * config.integer("unroll") <= 512,
        ),
    )

    def __init__(self, name: str = "hill") -> None:
        self.name = name  # type: ignore[misc]

    def supports(self, problem: Problem) -> bool:
        return True

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        return {
            "tile": (8, 16, 32, 64, 128, 256),
            "unroll": (1, 2, 4, 8, 16),
            "exp": ("poly", "libm"),
            "warps": (1, 2, 4, 8),
            "fused": (False, True),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        return Config.of(self.name, {"tile": 8, "unroll": 1, "exp": "libm", "warps": 8, "fused": False})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        return {}

    def program(self, problem: Problem, config: Config) -> Program:
        return Program(())

    def source(self, problem: Problem, config: Config) -> Source:
        return Source("c", "landscape", str(config), Source.digest(str(config)))


def make_space(*names: str) -> Space:
    return Space.of(PROBLEM, FACTS, [SyntheticVariant(name) for name in names or ("hill",)])


def hill(config: Config) -> float | None:
    """Best at tile 128, unroll 4, poly, one warp, fused; a fifth of the configs fail."""
    tile, unroll, warps = (config.integer(name).bit_length() for name in ("tile", "unroll", "warps"))
    if (7 * tile + 3 * unroll + warps) % 5 == 0:
        return None
    cost = 1.0 + 0.15 * abs(tile - 8) + 0.1 * (unroll - 3) ** 2 + 0.2 * (warps - 1)
    cost *= 1.0 if config["exp"] == "poly" else 2.0
    cost *= 1.0 if config["fused"] else 1.1
    return cost * (1.0 if config.variant == "hill" else 4.0)


def measuring(landscape: Landscape, log: list[Config]) -> Callable[[Sequence[Config]], list[Trial]]:
    def measure(configs: Sequence[Config]) -> list[Trial]:
        log.extend(configs)
        trials = []
        for config in configs:
            seconds = landscape(config)
            if seconds is None:
                trials.append(Trial(config, failure="wrong result"))
            else:
                trials.append(Trial(config, Timing(seconds, (seconds, seconds))))
        return trials

    return measure


def search(
    space: Space, landscape: Landscape, budget: int, *, seed: int = 0, batch: int = 1
) -> tuple[Search, list[Config]]:
    log: list[Config] = []
    found = Search(space, seed=seed)
    found.run(measuring(landscape, log), lambda: budget - len(log), batch)
    return found, log


def regret(space: Space, landscape: Landscape, log: Sequence[Config]) -> float:
    everything = [seconds for configs in space.configs.values() for c in configs if (seconds := landscape(c))]
    return min(seconds for c in log if (seconds := landscape(c))) / min(everything) - 1.0


@pytest.mark.parametrize("batch", [1, 4])
def test_regret_is_far_below_that_of_random_search(batch: int) -> None:
    space, budget = make_space(), 50
    configs = list(space.configs["hill"])
    assert len(configs) > 5 * budget
    searched = [
        regret(space, hill, search(space, hill, budget, seed=seed, batch=batch)[1]) for seed in range(6)
    ]
    drawn = [regret(space, hill, random.Random(seed).sample(configs, budget)) for seed in range(40)]
    assert mean(searched) < 0.6 * mean(drawn)


def test_the_same_seed_gives_the_same_search_and_another_seed_another() -> None:
    space = make_space("hill", "flat")
    first, again, other = (search(space, hill, 40, seed=seed, batch=4)[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("batch", [1, 3])
def test_no_config_is_measured_twice_and_none_that_is_invalid(batch: int) -> None:
    space = make_space("hill", "flat")
    _, log = search(space, hill, 120, batch=batch)
    assert len(log) == len(set(log)) == 120
    assert all(config in space for config in log)


def test_a_budget_for_all_means_all_the_default_first() -> None:
    space = make_space()
    found, log = search(space, hill, 10_000)
    assert sorted(map(str, log)) == sorted(map(str, space.configs["hill"]))
    assert found.is_enumerating
    assert found.is_exhaustive
    assert log[0] == space.default()
    assert log[1:] != list(space.configs["hill"][1:])


def test_a_small_budget_is_not_called_exhaustive() -> None:
    found, _ = search(make_space(), hill, 20)
    assert not found.is_enumerating
    assert not found.is_exhaustive


def test_the_defaults_of_all_variants_come_first() -> None:
    _, log = search(make_space("hill", "flat"), hill, 2)
    assert [config.variant for config in log] == ["hill", "flat"]


def test_the_budget_moves_to_the_variant_that_does_well() -> None:
    _, log = search(make_space("flat", "hill"), hill, 60)
    assert sum(config.variant == "hill" for config in log) > 40


def test_a_landscape_where_all_fail_ends_without_a_best() -> None:
    found, log = search(make_space(), lambda config: None, 40)
    assert found.best is None
    assert len(set(log)) == 40


def test_an_empty_space_asks_for_nothing() -> None:
    space = make_space()
    empty = Space(space.problem, space.facts, space.variants, {"hill": ()}, space.excluded)
    found, log = search(empty, hill, 10)
    assert log == []
    assert found.is_exhaustive


def test_what_an_earlier_run_knows_is_used_and_not_measured_again() -> None:
    space = make_space()
    before, _ = search(space, hill, 60)
    log: list[Config] = []
    after = Search(space, seed=5, known=before.trials.values())
    after.run(measuring(hill, log), lambda: 30 - len(log))
    assert not set(log) & set(before.trials)
    assert after.best is not None
    assert before.best is not None
    assert after.best.rank <= before.best.rank
    assert len(after.trials) == 90


def test_configs_that_the_measurement_did_not_come_to_are_proposed_again() -> None:
    space, log = make_space(), []
    everything = measuring(hill, log)
    found = Search(space, seed=0)
    found.run(lambda configs: everything(configs[:1]), lambda: len(space) - len(log), 4)
    assert found.is_exhaustive
    assert len(log) == len(space)


def test_what_serves_other_problems_comes_after_the_defaults_if_need_be_as_its_nearest_valid_neighbour() -> (
    None
):
    space = make_space("hill", "flat")
    params = {"tile": 256, "unroll": 2, "exp": "poly", "warps": 1, "fused": True}
    valid, too_large = (Config.of("hill", {**params, "unroll": unroll}) for unroll in (2, 4))
    assert too_large not in space
    strange = (
        Config.of("hill", {"tile": 256}),
        Config.of("hill", {**params, "tile": 7}),
        Config.of("no", {}),
    )
    log: list[Config] = []
    found = Search(space, first=(*strange, too_large, valid))
    found.run(measuring(hill, log), lambda: 6 - len(log))
    assert [config.variant for config in log[:2]] == ["hill", "flat"]
    (nearest,) = log[2:3]
    assert nearest in space
    assert sum(dict(too_large.params)[name] != value for name, value in nearest.params) == 1
    assert valid in log[2:4]
    assert not set(log) & set(strange)


def test_the_best_is_climbed_from_one_param_at_a_time() -> None:
    def cone(config: Config) -> float:
        tile, unroll, warps = (config.integer(name).bit_length() for name in ("tile", "unroll", "warps"))
        return (
            1.0 + abs(tile - 7) + abs(unroll - 3) + warps + (config["exp"] == "libm") + (not config["fused"])
        )

    space = make_space()
    assert len(space) > 350
    for seed in range(10):
        assert regret(space, cone, search(space, cone, 30, seed=seed)[1]) == 0, seed
