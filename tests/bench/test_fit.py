from __future__ import annotations

import random

import pytest

from ssmgen.bench import exponent

SIZES = [2**k for k in range(7, 21)]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_power_is_found_exactly(power: float) -> None:
    fit = exponent(SIZES, [3e-6 * size**power for size in SIZES])
    assert fit is not None
    assert fit.exponent == pytest.approx(power)
    assert fit.margin < 1e-6
    assert fit.is_linear == (power == 1.0)


def test_what_every_call_costs_does_not_count() -> None:
    fit = exponent(SIZES, [1e-3 + 1e-7 * size for size in SIZES])
    assert fit is not None
    # 1e-3 is four times as much as 3e-3 / 1e-7 steps take.
    assert fit.first >= 3e-3 / 1e-7
    assert abs(fit.exponent - 1) < 0.25


def test_the_margin_holds_the_truth_as_often_as_it_says() -> None:
    generator = random.Random(0)
    hits = 0
    for _ in range(400):
        values = [1e-6 * size * 1.1 ** generator.gauss(0, 1) for size in SIZES]
        fit = exponent(SIZES, values)
        assert fit is not None
        hits += abs(fit.exponent - 1) <= fit.margin
    assert 0.91 <= hits / 400 <= 0.98


def test_a_square_is_not_called_linear_for_being_noisy() -> None:
    generator = random.Random(1)
    fit = exponent(SIZES, [1e-9 * size**2 * 1.2 ** generator.gauss(0, 1) for size in SIZES])
    assert fit is not None
    assert not fit.is_linear


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 9.0], [1.0, 1.1, 0.9, 1.0], [0.0, 0.0, 0.0]])
def test_too_little_to_fit_is_none(values: list[float]) -> None:
    assert exponent(SIZES[: len(values)], values) is None
