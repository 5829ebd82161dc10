"""Searches replayed on recorded sweeps: what docs/tuning.md says of them holds, and the real search is replayed."""

from __future__ import annotations

import json
import random
from math import ceil
from pathlib import Path
from unittest import mock

import pytest

from benchmarks import replay
from benchmarks.recording import Recording
from benchmarks.replay import STRATEGIES, regrets
from benchmarks.sweep import ALL, NEAR_ENOUGH, RESULTS, SEEDS, path_of
from ssmgen.config import Config
from ssmgen.tuning.search import Search
from ssmgen.tuning.trial import Timing
from tests.tuning.test_search import FACTS, hill, make_space

NAMES = list(ALL)


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    return {name: Recording.read(path_of(name)) for name in NAMES}


def made(noise: float = 0.0) -> Recording:
    """A sweep of a synthetic landscape, without the configs that fail there."""
    draw, space = random.Random(0), make_space()
    rounds = {
        config: [seconds * (1 + noise * draw.random()) for _ in range(11)]
        for config in space.configs["hill"]
        if (seconds := hill(config)) is not None
    }
    return Recording(space.problem, FACTS, rounds, {"date": "2026-01-31"})


@pytest.mark.parametrize("name", NAMES)
def test_after_a_quarter_of_the_space_the_choice_is_near_the_best(
    name: str, recordings: dict[str, Recording]
) -> None:
    recording = recordings[name]
    quarter = ceil(len(recording.rounds) / 4)
    found = [regrets(recording, replay.ours, seed, quarter)[-1] for seed in range(SEEDS)]
    assert sum(regret <= NEAR_ENOUGH for regret in found) >= 0.9 * SEEDS, found


def test_the_search_does_better_than_random_and_plain_tpe_over_all_sweeps(
    recordings: dict[str, Recording],
) -> None:
    def near_enough(strategy: str) -> int:
        return sum(
            regrets(recording, STRATEGIES[strategy], seed, ceil(len(recording.rounds) / 4))[-1] <= NEAR_ENOUGH
            for recording in recordings.values()
            for seed in range(3)
        )

    found = {name: near_enough(name) for name in ("random", "plain TPE", "ssmgen")}
    assert found["ssmgen"] > max(found["random"], found["plain TPE"]) + 2, found


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_holds_a_whole_space(name: str, recordings: dict[str, Recording]) -> None:
    recording = recordings[name]
    space = recording.space
    assert space.default() in space
    assert len(space) == len(recording.rounds) >= 24
    for config, rounds in recording.rounds.items():
        # If choices or rules have changed: python -m benchmarks.sweep
        assert space.check(config)
        assert len(rounds) >= 15
        assert min(rounds) > 0
    for fact in ("command", "date", "threads", "conditions", "busy_cores", "machine"):
        assert recording.about[fact] is not None


def test_a_recording_survives_its_file(tmp_path: Path, recordings: dict[str, Recording]) -> None:
    for name, recording in recordings.items():
        recording.write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == path_of(name).read_bytes()


def test_what_is_replayed_is_the_search_itself(recordings: dict[str, Recording]) -> None:
    asked: list[Config] = []
    following = Search._next

    def watched(self: Search, count: int, allowed: int) -> list[Config]:
        found = following(self, count, allowed)
        asked.extend(found)
        return found

    with mock.patch.object(Search, "_next", watched):
        tried = replay.ours(recordings["dplr"], 0, 12)
    assert [trial.config for trial in tried] == asked
    assert len(set(asked)) == 12


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_its_seed_and_spends_its_budget(name: str, recordings: dict[str, Recording]) -> None:
    first, again = (STRATEGIES[name](recordings["dplr"], 3, 14) for _ in range(2))
    assert first == again
    assert len(first) == 14
    assert first != STRATEGIES[name](recordings["dplr"], 4, 14)


def test_regret_is_that_of_the_choice_and_none_once_all_is_measured() -> None:
    recording = made()
    with mock.patch.object(Recording, "space", make_space()):
        found = regrets(recording, replay.random_search, 0, len(recording.rounds))
    seconds = [recording.seconds(trial.config) for trial in replay.random_search(recording, 0, len(found))]
    wanted = [min(seconds[: count + 1]) / min(seconds) - 1 for count in range(len(seconds))]
    assert found == pytest.approx(wanted, abs=0.01)
    assert found[-1] <= 0.01


def test_a_measurement_sees_a_part_of_the_rounds_and_another_seed_another() -> None:
    recording = made(noise=0.5)
    config = next(iter(recording.rounds))
    first, again, other = (replay.trial(recording, config, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.timing != Timing.of(recording.rounds[config])


def test_the_numbers_that_are_kept_are_of_these_recordings() -> None:
    kept = json.loads((RESULTS / "regret.json").read_text())
    assert {name: sweep["configs"] for name, sweep in kept.items()} == {
        name: len(Recording.read(path_of(name)).rounds) for name in NAMES
    }
    assert all(sweep["strategies"]["ssmgen"]["near_enough"] >= 9 for sweep in kept.values())
