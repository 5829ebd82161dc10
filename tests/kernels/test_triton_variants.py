"""Every Triton variant against float64, in the interpreter and on a GPU; its rules, defaults, and sources."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import INTERFACES, interface, variants
from ssmgen.kernels.oracle import tolerance
from ssmgen.kernels.space import Space
from ssmgen.kernels.triton.common import CHUNKS
from ssmgen.problem import Option, Problem
from ssmgen.targets import Target, target
from tests.helpers import ON_GPU, is_left_to_the_reference, make_problem, run_config

DEVICES = (
    DeviceFacts("cuda", "sm_90", "sm_90", 32, 1024, 255, 232448),
    DeviceFacts("hip", "gfx942", "gfx942", 64, 1024, 512, 65536),
    DeviceFacts("interpret", "Triton interpreter", "interpret", 32, 1024, 255, 232448),
)

EVERYTHING: dict[str, Option] = {
    "D": True,
    "z": True,
    "delta_bias": True,
    "softplus": True,
    "initial_state": True,
    "last_state": True,
}
PACKED: dict[str, Option] = {"varlen": True, "batch": 3, **EVERYTHING}
# Where the interpreter calls Python for every element, or takes a step for every number of a long sequence.
SMALL: dict[str, Option] = {"dim": 3, "d_state": 2}

SCANS: tuple[tuple[str, dict[str, Option]], ...] = (
    ("sequential", {"seqlen": 13, "layout": "channel", "d_state": 16}),
    ("sequential", {"seqlen": 13, "layout": "time", **EVERYTHING}),
    ("sequential", {"seqlen": 1, "layout": "time", "d_state": 1}),
    ("sequential", {"seqlen": 5, "layout": "channel", "dim": 6, "groups": 3, "B": "constant"}),
    ("sequential", {"seqlen": 5, "layout": "channel", "C": "constant", "softplus": True}),
    ("sequential", {"seqlen": 5, "layout": "time", "B": "constant", "C": "constant", "delta_bias": True}),
    ("chunked", {"seqlen": 67, "layout": "channel", "batch": 1, "d_state": 2, **EVERYTHING}),
    ("chunked", {"seqlen": 65, "layout": "time", "batch": 1, "d_state": 8, "dim": 3}),
    ("states", {"seqlen": 7, "layout": "channel", **EVERYTHING}),
    ("states", {"seqlen": 1, "layout": "time", "d_state": 4, "dim": 6, "groups": 2}),
    ("states", {"seqlen": 6, "layout": "time", "B": "constant", "C": "constant", "delta_bias": True}),
    ("split", {"seqlen": 21, "layout": "channel", "d_state": 16}),
    ("split", {"seqlen": 13, "layout": "time", "saved": 2, **PACKED}),
    ("split", {"seqlen": 25, "layout": "channel", "saved": 8, "dim": 6, "groups": 2, **EVERYTHING}),
    ("split", {"seqlen": 1, "layout": "time", "B": "constant", "d_state": 8}),
    ("split", {"seqlen": 9, "layout": "channel", "complex": True, "saved": 4, "d_state": 4, **PACKED}),
    ("split", {"seqlen": 9, "layout": "time", "complex": True, "B": "constant", "C": "constant", "D": True}),
    ("associative", {"seqlen": 9, "layout": "time", **SMALL, **EVERYTHING}),
    ("sequential", {"seqlen": 13, "layout": "channel", "saved": 2, **PACKED}),
    ("sequential", {"seqlen": 13, "layout": "time", "saved": 8, "dim": 6, "groups": 2, **PACKED}),
    ("chunked", {"seqlen": 131, "layout": "time", "d_state": 1, "saved": 16, "initial_state": True}),
    ("states", {"seqlen": 13, "layout": "channel", "saved": 4, **PACKED}),
    ("associative", {"seqlen": 13, "layout": "channel", **SMALL, **PACKED}),
    ("associative", {"seqlen": 67, "layout": "channel", "batch": 1, "dim": 5, "d_state": 1}),
    ("associative", {"seqlen": 3, "layout": "channel", "B": "constant", "C": "constant", **SMALL}),
    # Of steps saved there are several in a block of time, one in each, or one in every second.
    ("associative", {"seqlen": 70, "layout": "channel", "saved": 4, **SMALL, **PACKED}),
    ("associative", {"seqlen": 131, "layout": "time", "saved": 128, "dim": 4, "groups": 2, "d_state": 1}),
    ("associative", {"seqlen": 259, "layout": "channel", "saved": 256, "dim": 3, "d_state": 1, **PACKED}),
    ("associative", {"seqlen": 70, "layout": "time", "complex": True, "saved": 16, **SMALL, **PACKED}),
    ("associative", {"seqlen": 128, "layout": "time", "complex": True, "saved": 128, "dim": 1, "d_state": 1}),
    ("sequential", {"seqlen": 13, "layout": "channel", "complex": True}),
    ("sequential", {"seqlen": 13, "layout": "time", "complex": True, "saved": 8, **PACKED}),
    ("sequential", {"seqlen": 5, "layout": "channel", "complex": True, "d_state": 1, "B": "constant"}),
    ("sequential", {"seqlen": 5, "layout": "time", "complex": True, "C": "constant", "D": True}),
    (
        "chunked",
        {"seqlen": 67, "layout": "time", "batch": 1, "complex": True, "saved": 16, **SMALL, **EVERYTHING},
    ),
    ("chunked", {"seqlen": 200, "layout": "channel", "C": "constant", "d_state": 1, "saved": 32, **PACKED}),
    ("chunked", {"seqlen": 133, "layout": "time", "varlen": True, "dim": 6, "groups": 2, "B": "constant"}),
    ("chunked", {"seqlen": 197, "layout": "time", "complex": True, **PACKED, **SMALL, "d_state": 1}),
    ("states", {"seqlen": 13, "layout": "channel", "complex": True, "saved": 4, **PACKED}),
    ("states", {"seqlen": 6, "layout": "time", "complex": True, "B": "constant", "C": "constant"}),
    ("associative", {"seqlen": 67, "layout": "time", "batch": 1, "complex": True, **SMALL, **EVERYTHING}),
    (
        "associative",
        {"seqlen": 9, "layout": "channel", "complex": True, "B": "constant", "C": "constant", **SMALL},
    ),
)


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    """Where the variants run."""
    return target(request.param)


def check(place: Target, problem: Problem, name: str, *, harsh: bool = False, drawn: int = 0) -> None:
    """The default of a variant, and so many configs drawn at random, stay within the tolerance."""
    space = place.space(problem)
    (variant,) = (item for item in space.variants if item.name == name)
    configs = space.configs[name]
    others = random.Random(str(problem)).sample(configs, min(drawn, len(configs)))
    for config in (variant.default(problem, space.facts), *others):
        for output, error in run_config(place, problem, config, harsh=harsh).items():
            assert error <= tolerance(problem), f"{output} of {config} for {problem}: {error:.2e}"


@pytest.mark.parametrize(("name", "given"), SCANS)
def test_selective_scans_agree_with_float64(place: Target, name: str, given: dict[str, Option]) -> None:
    check(place, make_problem("selective_scan", **{"batch": 2, "dim": 5, "d_state": 5, **given}), name)


def test_every_option_that_a_variant_of_the_selective_scan_takes_is_among_its_cases() -> None:
    bare = make_problem("selective_scan")
    for variant in (item for item in variants("selective_scan", "triton") if item.direction == "forward"):
        given = [options for name, options in SCANS if name == variant.name]
        for option, values in variant.interface.options.items():
            further = (bare.with_options(**{option: value}) for value in values[1:])
            if any(map(variant.supports, further)):
                assert any(options.get(option, values[0]) != values[0] for options in given), (
                    f"{option} of {variant.name}"
                )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "given"), SCANS)
def test_selective_scans_agree_on_hard_operands(
    place: Target, name: str, given: dict[str, Option], dtype: str
) -> None:
    problem = make_problem(
        "selective_scan", dtype, **{"batch": 2, "dim": 37, "d_state": 6, "groups": 1} | given
    )
    check(place, problem, name, harsh=True, drawn=1)


LINEAR = pytest.mark.parametrize(
    ("name", "seqlen"), [("sequential", 19), ("sequential", 1), ("associative", 67), ("chunked", 67)]
)


def linear(dtype: str, seqlen: int, direction: str, **options: Option) -> Problem:
    sizes: dict[str, Option] = {"batch": 2, "dim": 3, "seqlen": seqlen}
    return make_problem("linear_scan", dtype, direction=direction, **sizes, **options)


@LINEAR
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("fp32", {"layout": "time"}),
        ("fp32", {"layout": "channel", "reverse": True, "initial_state": True}),
        ("c64", {"layout": "channel", "reverse": True, "initial_state": True}),
    ],
    ids=str,
)
def test_linear_scans_agree_with_float64(
    place: Target, name: str, seqlen: int, dtype: str, options: dict[str, Option], direction: str
) -> None:
    check(place, linear(dtype, seqlen, direction, **options), name)


@pytest.mark.slow
@LINEAR
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("layout", ["time", "channel"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("dtype", "initial_state"), [("fp32", False), ("fp32", True), ("c64", True)])
def test_linear_scans_agree_on_hard_operands_whatever_is_combined(
    place: Target,
    name: str,
    seqlen: int,
    dtype: str,
    initial_state: bool,
    reverse: bool,
    layout: str,
    direction: str,
) -> None:
    options: dict[str, Option] = {"layout": layout, "reverse": reverse, "initial_state": initial_state}
    check(place, linear(dtype, seqlen, direction, **options), name, harsh=True, drawn=1)


@pytest.mark.parametrize(("name", "symmetric"), [("factored", True), ("two_term", True), ("two_term", False)])
@pytest.mark.parametrize(("poles", "nodes"), [(1, 1), (7, 70)])
@pytest.mark.parametrize("harsh", [False, True])
def test_cauchy_products_agree_with_complex128(
    place: Target, name: str, symmetric: bool, poles: int, nodes: int, harsh: bool
) -> None:
    problem = make_problem("cauchy_mult", rows=3, poles=poles, nodes=nodes, symmetric=symmetric)
    check(place, problem, name, harsh=harsh, drawn=1)


BACKWARD: tuple[dict[str, Option], ...] = (
    {"layout": "channel", "saved": 4},
    {"layout": "time", "saved": 8, "d_state": 8, **EVERYTHING},
    {"layout": "channel", "saved": 4, "dim": 64, "seqlen": 8, "d_state": 4, **EVERYTHING},
    {"layout": "time", "saved": 2, "seqlen": 1, "d_state": 1, "dim": 1},
    {"layout": "channel", "saved": 16, "batch": 1, **EVERYTHING},
    {"layout": "time", "saved": 0, "batch": 1, **EVERYTHING},
    {"layout": "channel", "saved": 2, "B": "constant", "dim": 6, "groups": 3, "batch": 1},
    {"layout": "time", "saved": 4, "C": "constant", "z": True},
    {"layout": "channel", "saved": 8, "B": "constant", "C": "constant", **EVERYTHING},
    {"layout": "channel", "saved": 4, "dim": 6, "groups": 2, **PACKED},
    {"layout": "time", "saved": 0, **PACKED},
    {"layout": "channel", "saved": 4, "complex": True},
    {"layout": "time", "saved": 8, "complex": True, **EVERYTHING},
    {"layout": "time", "saved": 16, "complex": True, "batch": 1, "z": True, "dim": 6, "groups": 2},
    {"layout": "channel", "saved": 2, "complex": True, "B": "constant", "d_state": 1, **EVERYTHING},
    {"layout": "time", "saved": 4, "complex": True, "C": "constant", **EVERYTHING},
    {"layout": "channel", "saved": 0, "complex": True, **PACKED},
)


# In turns; the whole suite gives every case to both.
@pytest.mark.parametrize(
    ("name", "given"), list(zip(itertools.cycle(["sequential", "looped"]), BACKWARD)), ids=str
)
def test_gradients_agree_with_float64(place: Target, name: str, given: dict[str, Option]) -> None:
    # One step into the second chunk, or the third; one state beyond the states of a tile.
    sizes: dict[str, Option] = {
        "batch": 2,
        "dim": 37,
        "seqlen": max(5, int(given["saved"]) + 1),
        "d_state": 3,
    }
    check(place, make_problem("selective_scan", direction="backward", **{**sizes, **given}), name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [("sequential", "fp16"), ("looped", "fp32"), ("looped", "bf16")])
@pytest.mark.parametrize("given", BACKWARD, ids=str)
def test_gradients_agree_on_hard_operands(
    place: Target, name: str, given: dict[str, Option], dtype: str
) -> None:
    sizes: dict[str, Option] = {
        "batch": 1,
        "dim": 70,
        "seqlen": max(13, int(given["saved"]) + 3),
        "d_state": 5,
    }
    problem = make_problem("selective_scan", dtype, direction="backward", **{**sizes, **given})
    check(place, problem, name, harsh=True, drawn=1)


SEGMENTED: tuple[dict[str, Option], ...] = (
    {"layout": "channel", "saved": 8, "seqlen": 131, "d_state": 3},
    {"layout": "time", "saved": 16, "seqlen": 66, "d_state": 2, "dim": 6, "groups": 2, **EVERYTHING},
    {"layout": "channel", "saved": 128, "seqlen": 192, "B": "constant", "C": "constant", "last_state": True},
    {"layout": "time", "saved": 4, "seqlen": 66, "complex": True, **EVERYTHING},
    {"layout": "channel", "saved": 32, "seqlen": 70, "complex": True, "C": "constant", "softplus": True},
    # States in two shares, the last group of each with two of the four that stand together.
    {"layout": "channel", "saved": 4, "seqlen": 65, "d_state": 36, "z": True, "initial_state": True},
    # More segments than are composed at a time.
    {"layout": "channel", "saved": 64, "seqlen": 580, "dim": 2, "last_state": True},
)


@pytest.mark.parametrize("given", SEGMENTED, ids=str)
def test_gradients_cross_segments_of_time(place: Target, given: dict[str, Option]) -> None:
    sizes: dict[str, Option] = {"batch": 2, "dim": 5, "d_state": 1}
    problem = make_problem("selective_scan", direction="backward", **{**sizes, **given})
    space = place.space(problem)
    (variant,) = (item for item in space.variants if item.name == "segmented")
    # The shortest segments, whose gradients cross them: a whole decay would hide what is missing.
    default = variant.default(problem, space.facts)
    config = Config.of(default.variant, {**dict(default.params), "segment": CHUNKS[0]})
    for output, error in run_config(place, problem, config).items():
        assert error <= tolerance(problem), f"{output}: {error:.2e}"


@pytest.mark.parametrize("facts", DEVICES)
@pytest.mark.parametrize(
    "given",
    [
        # 65,536 segments of 64 steps, of which the first pass has one less.
        {"dim": 1, "d_state": 16, "seqlen": 65536 * CHUNKS[0], "saved": 256},
        # One program too many for the second pass, and as many as fit.
        {"dim": 65535 * 128 // 256 + 1, "d_state": 256, "seqlen": 4096, "saved": 8},
        {"dim": 65535 * 128 // 256, "d_state": 256, "seqlen": 4096, "saved": 8},
    ],
    ids=str,
)
def test_segments_and_what_composes_them_fit_the_grid(facts: DeviceFacts, given: dict[str, Option]) -> None:
    problem = make_problem("selective_scan", direction="backward", **given)
    space = Space.of(problem, facts, variants(problem.op, "triton"))
    for variant in space.variants:
        for config in space.configs[variant.name]:
            for launch in variant.program(problem, config).launches:
                assert max(launch.grid[1:]) <= 65535, (launch, config)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("given", SEGMENTED, ids=str)
def test_gradients_cross_segments_on_hard_operands(
    place: Target, given: dict[str, Option], dtype: str
) -> None:
    sizes: dict[str, Option] = {"batch": 1, "dim": 7, "d_state": 2}
    problem = make_problem("selective_scan", dtype, direction="backward", **{**sizes, **given})
    check(place, problem, "segmented", harsh=True, drawn=1)


@pytest.mark.slow
def test_gradients_of_many_states(place: Target) -> None:
    problem = make_problem(
        "selective_scan", direction="backward", batch=1, dim=3, seqlen=9, d_state=255, saved=8, layout="time"
    )
    check(place, problem, "looped")


STEPS: tuple[dict[str, Option], ...] = (
    {},
    {"D": True, "z": True, "dt_bias": True, "softplus": True, "heads": 2, "groups": 2},
    {"tied": True, "heads": 2, "D": True, "dt_bias": True, "softplus": True, "state_dtype": "fp16"},
    {"tokens": 3, "heads": 2, "states": True, "indices": True, "slots": 5, "z": True, "state_dtype": "fp16"},
    {"tokens": 2, "tied": True, "states": True, "update": False, "dt_bias": True},
)


# Every two of dtype, number of states and options meet in the inner loop, all three in the whole suite.
@pytest.mark.parametrize(
    ("given", "dtype", "d_state"),
    [
        pytest.param(
            given,
            dtype,
            d_state,
            marks=[] if (row + column + wide) % 2 else [pytest.mark.slow],
            id=f"{given}-{dtype}-{d_state}",
        )
        for row, given in enumerate(STEPS)
        for column, d_state in enumerate((1, 8, 13))
        for wide, dtype in enumerate(("fp32", "fp16"))
    ],
)
def test_decode_steps_agree_with_float64(
    place: Target, given: dict[str, Option], dtype: str, d_state: int
) -> None:
    for harsh in (False, True):
        problem = make_problem(
            "selective_state_update", dtype, **{"batch": 3, "dim": 21, "d_state": d_state, **given}
        )
        check(place, problem, "tile", harsh=harsh, drawn=1)


@pytest.mark.parametrize("given", [{}, *STEPS[1:4]], ids=str)
def test_decode_steps_agree_whatever_the_width_of_a_tile(place: Target, given: dict[str, Option]) -> None:
    problem = make_problem("selective_state_update", **{"batch": 2, "dim": 5, "d_state": 45, **given})
    (configs,) = place.space(problem).configs.values()
    # Several tiles, the last of them with too few states, and in a block with too few channels.
    widths = {config["block_n"]: config for config in configs if config["block_d"] == 4}
    assert set(widths) == ({8, 16, 32, 64} if "state_dtype" not in given else {16, 32, 64})
    for config in widths.values():
        for output, error in run_config(place, problem, config, harsh=True).items():
            assert error <= tolerance(problem), f"{output} of {config} for {problem}: {error:.2e}"


SSD: tuple[dict[str, Option], ...] = (
    {"seqlen": 1, "heads": 1, "dim": 1, "d_state": 1, "D": True},
    # One batch each of what is large: packed rows have two, and packed sequences five.
    {
        "batch": 1,
        "seqlen": 70,
        "heads": 4,
        "groups": 2,
        "dim": 37,
        "d_state": 19,
        "softplus": True,
        "last_state": True,
    },
    {
        "batch": 1,
        "seqlen": 140,
        "heads": 2,
        "dim": 16,
        "d_state": 40,
        "limit": True,
        "initial_state": True,
        "z": True,
    },
    {
        "seqlen": 97,
        "heads": 2,
        "dim": 16,
        "d_state": 16,
        "packed": True,
        "initial_state": True,
        "dt_bias": True,
    },
    {
        "batch": 5,
        "seqlen": 75,
        "heads": 2,
        "dim": 16,
        "d_state": 16,
        "varlen": True,
        "initial_state": True,
        "last_state": True,
    },
)


# Every two of options, dtype and direction meet in the inner loop, all three in the whole suite.
@pytest.mark.parametrize(
    ("given", "dtype", "direction"),
    [
        pytest.param(
            given,
            dtype,
            direction,
            marks=[pytest.mark.slow] if (row + column + way) % 2 else [],
            id=f"{given}-{dtype}-{direction}",
        )
        for row, given in enumerate(SSD)
        for column, dtype in enumerate(("fp32", "fp16"))
        for way, direction in enumerate(("forward", "backward"))
    ],
)
def test_the_scan_of_mamba_2_agrees_with_float64(
    place: Target, given: dict[str, Option], dtype: str, direction: str
) -> None:
    problem = make_problem("ssd", dtype, direction=direction, **{"batch": 2, **given})
    for harsh in (False, True):
        check(place, problem, "chunked", harsh=harsh, drawn=int(harsh))


CONVOLUTIONS: tuple[dict[str, Option], ...] = (
    {"layout": "time", "bias": True, "silu": True},
    {"layout": "channel", "packed": True, "silu": True, "width": 3},
    {"layout": "channel", "initial_state": True, "last_state": True, "bias": True},
    {"layout": "time", "initial_state": True, "last_state": True, "silu": True, "width": 2, "dim": 64},
)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("seqlen", [1, 3, 67])
@pytest.mark.parametrize("given", CONVOLUTIONS, ids=str)
def test_convolutions_agree_with_float64(
    place: Target, given: dict[str, Option], seqlen: int, direction: str
) -> None:
    sizes: dict[str, Option] = {"batch": 2, "dim": 37, "seqlen": seqlen}
    problem = make_problem("causal_conv1d", direction=direction, **{**sizes, **given})
    check(place, problem, "tile", harsh=True, drawn=1)


@pytest.mark.parametrize(
    "given",
    [{"bias": True}, {"tokens": 5, "length": 3, "silu": True}, {"ring": True, "tokens": 9, "indices": True}],
    ids=str,
)
def test_steps_of_convolutions_agree_with_float64(place: Target, given: dict[str, Option]) -> None:
    problem = make_problem("causal_conv1d_update", **{"batch": 3, "dim": 37, "slots": 4, **given})
    check(place, problem, "channels", drawn=1)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    op = draw(st.sampled_from(list(INTERFACES)))
    face = interface(op)
    sizes = st.one_of(st.integers(1, 9), st.integers(1, 5000))
    dims: dict[str, Option] = {name: draw(sizes) for name in face.dims}
    if op == "selective_scan":
        groups = draw(st.sampled_from((1, 1, 2, 3)))
        dims |= {"d_state": draw(st.integers(1, 256)), "groups": groups, "dim": groups * draw(sizes)}
    if op in ("selective_state_update", "ssd"):
        groups = draw(st.sampled_from((1, 1, 2, 3)))
        dims |= {"d_state": draw(st.integers(1, 256)), "groups": groups, "heads": groups * draw(sizes)}
    if "width" in dims:
        dims["width"] = draw(st.integers(2, 5))
    if op == "dplr_kernel":
        dims |= {"channels": draw(st.integers(1, 9)), "rank": draw(st.integers(1, 5))}
    options = {name: draw(st.sampled_from(values)) for name, values in face.options.items()}
    direction = draw(st.sampled_from(("forward", "backward")))
    dtype = draw(st.sampled_from(face.dtypes))
    return make_problem(op, dtype, direction=direction, **dims).with_options(**options)


@settings(max_examples=60)
@given(problems(), st.sampled_from(DEVICES))
def test_defaults_are_valid_and_wide_types_are_left_to_others(problem: Problem, facts: DeviceFacts) -> None:
    space = Space.of(problem, facts, variants(problem.op, "triton"))
    if is_left_to_the_reference(problem, "triton"):
        assert not space.variants
        return
    assert space.variants
    for variant in space.variants:
        default = variant.default(problem, facts)
        assert default in space
        for launch in variant.program(problem, default).launches:
            assert all(size >= 1 for size in launch.grid)
            assert max(launch.grid[1:]) <= 65535


@pytest.mark.parametrize("facts", DEVICES[1:])
def test_inline_assembly_is_for_nvidia_alone(facts: DeviceFacts) -> None:
    for op in ("selective_scan", "cauchy_mult", "dplr_kernel"):
        space = Space.of(make_problem(op), facts, variants(op, "triton"))
        assert not any("asm" in str(config) for configs in space.configs.values() for config in configs)


def test_sources_are_formatted_and_name_nothing_in_vain(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    chance = random.Random(0)
    count = 0
    for op, dtype in [
        ("selective_scan", "fp32"),
        ("selective_scan", "bf16"),
        ("selective_state_update", "fp32"),
        ("selective_state_update", "bf16"),
        ("linear_scan", "fp16"),
        ("linear_scan", "c64"),
        ("ssd", "fp32"),
        ("ssd", "bf16"),
        ("causal_conv1d", "bf16"),
        ("causal_conv1d_update", "fp32"),
        ("cauchy_mult", "c64"),
        ("log_vandermonde", "c64"),
        ("log_vandermonde_transpose", "c64"),
        ("dplr_kernel", "c64"),
    ]:
        for _ in range(8):
            options = {name: chance.choice(values) for name, values in interface(op).options.items()}
            dims = {"d_state": chance.choice((1, 2, 3, 7, 16)), "groups": chance.choice((1, 2)), "dim": 50}
            direction = chance.choice(("forward", "backward"))
            sizes = dims if "d_state" in interface(op).dims else {}
            if op in ("selective_state_update", "ssd"):
                sizes |= {"heads": 4, **({"tokens": chance.choice((1, 3))} if op != "ssd" else {})}
            if op == "dplr_kernel":
                sizes = {"channels": chance.choice((1, 2)), "rank": chance.choice((1, 2, 3))}
            if "poles" in interface(op).dims:
                sizes["poles"] = chance.choice((1, 3, 32))
            problem = make_problem(op, dtype, direction=direction, **options, **sizes)
            space = Space.of(problem, DEVICES[0], variants(op, "triton"))
            for variant in space.variants:
                config = chance.choice(space.configs[variant.name])
                (tmp_path / f"source_{count}.py").write_text(variant.source(problem, config).text)
                count += 1
    for command in (["format", "--diff", "--line-length", "110"], ["check", "--select", "F"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-500:]
