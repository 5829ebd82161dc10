"""Spaces of every op on every kind of device: valid defaults, and rules that say why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError, UnknownNameError
from ssmgen.kernels import INTERFACES, Space, variants
from ssmgen.problem import Problem
from tests.helpers import is_left_to_the_reference, make_problem

DEVICES = {
    "c": [
        DeviceFacts("cpu", "AVX-512", "x86_64-avx512", lanes=16, max_threads=2, max_registers=32),
        DeviceFacts("cpu", "NEON", "aarch64-neon", lanes=4, max_threads=8, max_registers=32),
    ],
    "triton": [
        DeviceFacts("cuda", "sm_90", "sm_90", 32, 1024, 255, 232448),
        DeviceFacts("hip", "gfx942", "gfx942", 64, 1024, 512, 65536),
    ],
}
CASES = [(op, language, facts) for op in INTERFACES for language in DEVICES for facts in DEVICES[language]]
IDS = [f"{op}-{facts.arch}" for op, _, facts in CASES]


@st.composite
def problems(draw: st.DrawFn, op: str) -> Problem:
    """Any problem of an op that its interface allows."""
    face = INTERFACES[op]
    options = {name: draw(st.sampled_from(values)) for name, values in face.options.items()}
    sizes = {"d_state": 256, "poles": 300, "batch": 70, "groups": 1, "channels": 5, "rank": 5}
    dims = {name: draw(st.integers(1, sizes.get(name, 5000))) for name in face.dims}
    if "groups" in dims and "variable" in options.values():
        dims["groups"] = draw(st.sampled_from([1, 1, 2, 3, 8]))
        dims["dim"] *= dims["groups"]
    return Problem.of(op, dims, draw(st.sampled_from(face.dtypes)), options)


@pytest.mark.parametrize(("op", "language", "facts"), CASES, ids=IDS)
def test_every_default_is_valid(op: str, language: str, facts: DeviceFacts) -> None:
    @settings(max_examples=25)
    @given(problems(op))
    def check(problem: Problem) -> None:
        space = Space.of(problem, facts, variants(op, language))
        assert len(space) > 0 or is_left_to_the_reference(problem, language)
        for variant in space.variants:
            if space.configs[variant.name]:
                assert space.check(variant.default(problem, facts)) is variant
        if len(space):
            assert space.default() in space

    check()


@pytest.mark.parametrize(("op", "language", "facts"), CASES, ids=IDS)
def test_rules_have_reasons_and_spaces_a_size_one_can_search(
    op: str, language: str, facts: DeviceFacts
) -> None:
    space = Space.of(make_problem(op), facts, variants(op, language))
    assert space.variants
    # A step of a convolution is over before a choice could matter.
    assert (2 if op == "causal_conv1d_update" else 10) <= len(space) <= 1500
    for variant in space.variants:
        assert variant.summary
        for rule in variant.rules:
            assert rule.reason, rule.name
            assert not rule.reason.endswith("."), rule.name


def test_blocks_of_channels_that_keep_all_threads_busy_are_counted_by_group() -> None:
    # Two blocks of 16 channels; of eight groups of four channels, eight blocks.
    (chunked,) = (item for item in variants("selective_scan", "c") if item.name == "chunked")
    facts = DEVICES["c"][0]
    for groups, broken in ((1, None), (8, "threads")):
        problem = make_problem("selective_scan", dim=32, seqlen=4096, groups=groups)
        rule = chunked.broken_rule(problem, chunked.default(problem, facts), facts)
        assert (rule and rule.name) == broken


def test_values_from_outside_are_checked_against_the_choices() -> None:
    problem, facts = make_problem("linear_scan"), DEVICES["c"][0]
    space = Space.of(problem, facts, variants("linear_scan", "c"))
    default = space.default()
    name = default.params[0][0]
    for value in (True, 12345, "anything"):
        with pytest.raises(InvalidInputError, match=f"{name} must be one of|excluded"):
            space.check(Config.of(default.variant, {**dict(default.params), name: value}))
    with pytest.raises(InvalidInputError, match="must name exactly"):
        space.check(Config.of(default.variant, {}))
    with pytest.raises(UnknownNameError, match="variant"):
        space.check(Config.of("nothing", {}))
