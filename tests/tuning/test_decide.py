from __future__ import annotations

import itertools
import random

from ssmgen.config import Config
from ssmgen.tuning.decide import _chance, is_clear_loser, winner

DEFAULT = Config.of("chunked", {"unroll": 8})
SMALL, LARGE = (Config.of("sequential", {"unroll": unroll}) for unroll in (2, 16))


def _rounds(seconds: dict[Config, float], noise: float = 0.02, count: int = 30) -> dict[Config, list[float]]:
    draw = random.Random(0)
    return {c: [s * (1 + abs(draw.gauss(0, noise))) for _ in range(count)] for c, s in seconds.items()}


def test_a_loser_is_clear_where_pairs_say_so_and_chance_does_not() -> None:
    draw = random.Random(2)

    def found(ratio: float, count: int) -> float:
        """How often, of a thousand times, on a machine that slows down and is disturbed now and then."""
        losers = 0
        for _ in range(1000):
            drift = [1 + draw.random() for _ in range(count)]
            mine, theirs = (
                [x * size * (1 + 0.02 * draw.random() + (draw.random() < 0.05)) for x in drift]
                for size in (ratio, 1.0)
            )
            losers += is_clear_loser(mine, theirs)
        return losers / 1000

    for count in (8, 16, 40, 120):
        assert found(1.05, count) <= 0.02
        assert found(1.0, count) == 0
    assert found(1.2, 8) > 0.5
    assert found(1.2, 16) > 0.7
    assert found(1.1, 40) > 0.95


def test_too_few_pairs_tell_nothing() -> None:
    assert not is_clear_loser([], [])
    assert not is_clear_loser([9.0] * 6, [1.0] * 6)
    assert is_clear_loser([9.0] * 7, [1.0] * 7)


def test_ranks_are_counted_as_wilcoxon_did() -> None:
    """Against all ways to give the signs."""
    for count in range(1, 9):
        sums = [
            sum(rank for rank, sign in enumerate(signs, 1) if sign)
            for signs in itertools.product((False, True), repeat=count)
        ]
        for least in range(count * (count + 1) // 2 + 1):
            assert _chance(least, count) == sum(x >= least for x in sums) / 2**count


def test_a_clear_winner_wins() -> None:
    assert winner(_rounds({DEFAULT: 1.0, SMALL: 0.9, LARGE: 0.8}), DEFAULT) == (LARGE, ())


def test_a_tie_goes_to_the_default() -> None:
    assert winner(_rounds({LARGE: 1.0, SMALL: 1.0, DEFAULT: 1.002}), DEFAULT) == (DEFAULT, (LARGE, SMALL))


def test_without_the_default_a_tie_goes_to_the_smaller_params() -> None:
    assert winner(_rounds({LARGE: 1.0, SMALL: 1.002, DEFAULT: 2.0}), DEFAULT) == (SMALL, (LARGE,))


def test_noise_that_all_share_does_not_hide_a_difference() -> None:
    draw = random.Random(1)
    machine = [1 + draw.random() for _ in range(30)]
    rounds = {DEFAULT: machine, SMALL: [0.9 * x for x in machine]}
    assert winner(rounds, DEFAULT) == (SMALL, ())


def test_one_round_is_enough_to_decide() -> None:
    assert winner({DEFAULT: [1.0], SMALL: [0.5]}, DEFAULT) == (SMALL, ())


def test_a_busy_machine_does_not_tie_a_config_with_one_that_is_several_times_faster() -> None:
    """Every other run waits for a turn of the processor that is many times as long as itself."""
    for seed in range(50):
        draw = random.Random(seed)
        rounds = {
            config: [seconds + draw.choice((0.0, 3.0 * draw.random())) for _ in range(20)]
            for config, seconds in {DEFAULT: 2.0, LARGE: 0.25}.items()
        }
        assert winner(rounds, DEFAULT) == (LARGE, ())
