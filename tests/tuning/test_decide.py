from __future__ import annotations

import random

from ssmgen.config import Config
from ssmgen.tuning.decide import winner

DEFAULT = Config.of("chunked", {"unroll": 8})
SMALL, LARGE = (Config.of("sequential", {"unroll": unroll}) for unroll in (2, 16))


def _rounds(seconds: dict[Config, float], noise: float = 0.02, count: int = 30) -> dict[Config, list[float]]:
    draw = random.Random(0)
    return {c: [s * (1 + abs(draw.gauss(0, noise))) for _ in range(count)] for c, s in seconds.items()}


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
