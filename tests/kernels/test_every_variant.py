"""Every variant that is listed, against float64 on a small problem: a new one is covered by its line in `VARIANTS`.

The files beside this one go through options, dtypes and lengths; here no variant can be forgotten. The table of
evidence in the documentation rests on these tests.
"""

from __future__ import annotations

import itertools

import pytest

from ssmgen.kernels import INTERFACES, variants
from ssmgen.kernels.oracle import tolerance
from ssmgen.kernels.variant import Variant
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.helpers import make_problem, run_config

LANGUAGES = {"c": "cpu", "triton": "interpret"}
VARIANTS = [variant for op in INTERFACES for language in LANGUAGES for variant in variants(op, language)]
# The interpreter calls Python for every element of a custom scan.
SIZES = {"batch": 1, "dim": 3, "rows": 2, "poles": 3, "nodes": 5, "heads": 1}


def small(variant: Variant) -> Problem:
    """The smallest problem of the variant's: without options, or with one that it asks for."""
    face = variant.interface
    options = [{}, *({name: value} for name, values in face.options.items() for value in values[1:])]
    for seqlen, d_state, option in itertools.product((9, 70, 301), (2, 8), options):
        wanted = {**SIZES, "seqlen": seqlen, "d_state": d_state}
        sizes = {name: size for name, size in wanted.items() if name in face.dims}
        problem = make_problem(face.op, direction=variant.direction, **sizes, **option)
        if variant.supports(problem):
            return problem
    raise AssertionError(f"{variant.name} of {face.op} serves none of these problems")


@pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda item: f"{item.interface.op}-{item.language}-{item.name}-{item.direction}"
)
def test_the_default_agrees_with_float64(variant: Variant) -> None:
    place = target(LANGUAGES[variant.language])
    problem = small(variant)
    errors = run_config(place, problem, variant.default(problem, place.facts))
    assert errors
    for output, error in errors.items():
        assert error <= tolerance(problem), f"{output}: {error:.2e}"
