"""Every C variant against float64: all options, every dtype, lengths that no block divides."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen.kernels import INTERFACES, interface, variants
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Option, Problem
from ssmgen.targets import target
from tests.covering import Tried
from tests.helpers import defaults, guarded_outputs, make_problem, outputs_of, parameters, run_config

EVERYTHING = {"D": True, "z": True, "delta_bias": True, "softplus": True, "last_state": True}
STATE: dict[str, Option] = {"initial_state": True}
# Blocks of 16 or 8 channels, tiles of 64 steps, groups of 8 or 4 states: none of these sizes is a multiple.
SCANS = {
    "plain": make_problem("selective_scan", batch=2, dim=21, seqlen=133),
    "everything": make_problem("selective_scan", dim=21, seqlen=301, **EVERYTHING),
    "grouped": make_problem("selective_scan", batch=2, dim=21, seqlen=261, groups=3, d_state=5, **EVERYTHING),
    "constant": make_problem(
        "selective_scan", dim=9, seqlen=301, B="constant", C="constant", last_state=True
    ),
    "constant B": make_problem("selective_scan", dim=9, seqlen=133, B="constant", groups=3),
    "constant C": make_problem("selective_scan", dim=9, seqlen=133, C="constant", layout="channel"),
    "channel layout": make_problem(
        "selective_scan", batch=2, dim=21, seqlen=301, layout="channel", **EVERYTHING
    ),
    "one of each": make_problem("selective_scan", dim=1, seqlen=1, d_state=1, **EVERYTHING),
    "bf16": make_problem("selective_scan", "bf16", dim=21, seqlen=133, **EVERYTHING),
    "fp16": make_problem("selective_scan", "fp16", dim=21, seqlen=133, layout="channel", **EVERYTHING),
    "fp64": make_problem("selective_scan", "fp64", dim=21, seqlen=133, **EVERYTHING),
}


def few(dtype: str | None = None, /, **given: Option) -> Problem:
    """Channels so few that one core, or two of groups, split time; of three packed sequences one is empty."""
    sizes: dict[str, Option] = {"batch": 3 if given.get("varlen") else 1, "dim": 3, "seqlen": 333}
    return make_problem("selective_scan", dtype, **{**sizes, **given})


SCANS |= {
    "states": few(seqlen=601, saved=32, **EVERYTHING, **STATE),
    "states of groups": few(
        "bf16", groups=3, d_state=17, saved=128, layout="channel", last_state=True, **STATE
    ),
    "complex": few(complex=True, dim=5, saved=64, **EVERYTHING, **STATE),
    "complex constant": few(
        complex=True,
        dim=5,
        d_state=17,
        B="constant",
        C="constant",
        layout="channel",
        last_state=True,
        **STATE,
    ),
    "complex constant B": few(
        "bf16", complex=True, batch=2, dim=6, groups=3, d_state=5, B="constant", saved=16
    ),
    "complex constant C": few("fp64", complex=True, d_state=3, C="constant", **EVERYTHING),
    "packed": few(varlen=True, seqlen=700, saved=32, **EVERYTHING, **STATE),
    "packed groups": few("bf16", varlen=True, dim=6, seqlen=700, groups=2, d_state=3, layout="channel"),
    "packed constant": few("fp64", varlen=True, seqlen=700, B="constant", C="constant", last_state=True),
    "packed complex": few(complex=True, varlen=True, seqlen=700, d_state=7, saved=16, **EVERYTHING, **STATE),
    "one packed step": few(
        complex=True, varlen=True, batch=1, dim=1, seqlen=1, d_state=1, saved=16, **EVERYTHING, **STATE
    ),
}
STEP: dict[str, Option] = {"D": True, "z": True, "dt_bias": True, "softplus": True}
STEPS = {
    "step": make_problem("selective_state_update", batch=2, dim=300, d_state=16),
    "step of few": make_problem("selective_state_update", "bf16", dim=1, d_state=1, **STEP),
    "step of many": make_problem("selective_state_update", batch=2, dim=21, d_state=255, **STEP),
    "step of heads": make_problem(
        "selective_state_update", batch=3, heads=4, dim=21, groups=2, d_state=13, state_dtype="bf16", **STEP
    ),
    "tied step": make_problem(
        "selective_state_update", "bf16", batch=2, heads=3, dim=64, d_state=128, tied=True, **STEP
    ),
    "step of rows": make_problem(
        "selective_state_update", "fp16", batch=5, slots=9, dim=33, indices=True, state_dtype="fp16", **STEP
    ),
    "tokens": make_problem(
        "selective_state_update",
        batch=4,
        slots=3,
        tokens=5,
        dim=33,
        d_state=20,
        indices=True,
        states=True,
        **STEP,
    ),
    "tied tokens": make_problem(
        "selective_state_update", tokens=16, heads=2, dim=33, tied=True, update=False, states=True, **STEP
    ),
    "step fp64": make_problem(
        "selective_state_update", "fp64", batch=2, tokens=2, dim=21, d_state=5, state_dtype="fp64", **STEP
    ),
}
OTHERS = {
    "linear": make_problem("linear_scan", batch=2, dim=21, seqlen=601),
    "linear reverse": make_problem("linear_scan", dim=21, seqlen=601, reverse=True, initial_state=True),
    "linear channel": make_problem("linear_scan", dim=21, seqlen=133, layout="channel", reverse=True),
    "linear one": make_problem("linear_scan", dim=1, seqlen=1, initial_state=True),
    "linear bf16": make_problem("linear_scan", "bf16", dim=21, seqlen=133),
    "linear fp16": make_problem("linear_scan", "fp16", dim=21, seqlen=133),
    "linear fp64": make_problem("linear_scan", "fp64", dim=21, seqlen=133),
}
CONVOLUTIONS = {
    "convolution": make_problem("causal_conv1d", batch=2, dim=21, seqlen=601, bias=True, silu=True),
    "convolution fp16": make_problem("causal_conv1d", "fp16", dim=21, seqlen=133, width=3, silu=True),
    "packed convolution": make_problem(
        "causal_conv1d", "bf16", batch=2, dim=300, seqlen=133, packed=True, layout="channel", silu=True
    ),
    "convolution fp64": make_problem(
        "causal_conv1d", "fp64", dim=70, seqlen=133, layout="channel", initial_state=True, last_state=True
    ),
    "short convolution": make_problem(
        "causal_conv1d", batch=2, dim=3, seqlen=2, initial_state=True, last_state=True
    ),
    "convolution steps": make_problem(
        "causal_conv1d_update", "bf16", batch=5, dim=37, tokens=3, slots=9, indices=True, silu=True
    ),
    "convolution ring": make_problem("causal_conv1d_update", batch=2, dim=37, tokens=9, ring=True, bias=True),
}
_MAMBA2: dict[str, Option] = {"heads": 4, "groups": 2, "dim": 37, "d_state": 19}
MAMBA2 = {
    "mamba-2": make_problem("ssd", seqlen=133, heads=2, dim=64),
    "mamba-2 everything": make_problem(
        "ssd",
        "bf16",
        batch=3,
        seqlen=70,
        varlen=True,
        initial_state=True,
        last_state=True,
        D=True,
        z=True,
        dt_bias=True,
        softplus=True,
        limit=True,
        **_MAMBA2,
    ),
    "mamba-2 packed": make_problem("ssd", batch=2, seqlen=70, packed=True, initial_state=True, **_MAMBA2),
    "mamba-2 fp64": make_problem("ssd", "fp64", seqlen=1, heads=1, dim=1, d_state=1, D=True),
}
MAMBA2 |= {
    f"{name}, gradients": replace(problem, direction="backward") for name, problem in list(MAMBA2.items())
}
PROBLEMS = MAMBA2 | SCANS | STEPS | OTHERS | CONVOLUTIONS
# Compilations of a second, of what other cases and the ops' contract hold as well.
SLOW = {"plain", "constant B", "constant C", "one of each"}


@pytest.mark.parametrize("name", parameters(PROBLEMS, SLOW))
def test_defaults_agree_with_float64(name: str) -> None:
    problem = PROBLEMS[name]
    for config in defaults(problem):
        for harsh in (False, True):
            errors = run_config(target("cpu"), problem, config, harsh=harsh)
            assert max(errors.values()) <= tolerance(problem), (config, harsh, errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "everything",
        "grouped",
        "channel layout",
        "fp64",
        "packed complex",
        "step of heads",
        "tied tokens",
        "linear reverse",
    ],
)
def test_every_choice_agrees_with_float64(name: str, tried: Tried) -> None:
    problem = PROBLEMS[name]
    for config in tried(target("cpu").space(problem)):
        errors = run_config(target("cpu"), problem, config, harsh=True)
        assert max(errors.values()) <= tolerance(problem), (config, errors)


@pytest.mark.slow
@pytest.mark.parametrize("d_state", [1, 2, 3, 15, 16, 17, 64, 255, 256])
@pytest.mark.parametrize("layout", ["time", "channel"])
def test_any_number_of_states(d_state: int, layout: str) -> None:
    problem = make_problem("selective_scan", dim=19, seqlen=300, d_state=d_state, layout=layout, **EVERYTHING)
    for config in defaults(problem):
        errors = run_config(target("cpu"), problem, config)
        assert max(errors.values()) <= tolerance(problem), (config, errors)


@pytest.mark.slow
@pytest.mark.parametrize("harsh", [False, True])
def test_long_sequences_do_not_drift(harsh: bool) -> None:
    problem = make_problem("selective_scan", dim=18, seqlen=4096, softplus=True)
    for config in defaults(problem):
        errors = run_config(target("cpu"), problem, config, harsh=harsh)
        assert max(errors.values()) <= tolerance(problem), (config, errors)


@pytest.mark.parametrize("name", ["everything", "channel layout", "bf16", "linear reverse", "linear channel"])
def test_nothing_around_outputs_is_written(name: str) -> None:
    for config in defaults(PROBLEMS[name]):
        assert all(not bool(x.isnan().any()) for x in guarded_outputs(PROBLEMS[name], config))


@pytest.mark.parametrize("name", ["states", "states of groups", "complex", "packed complex"])
def test_what_pads_saved_states_stays_as_it_was(name: str) -> None:
    wanted = expected(PROBLEMS[name], sample(PROBLEMS[name], seed=1))["states"]
    for config in defaults(PROBLEMS[name]):
        states = guarded_outputs(PROBLEMS[name], config)[-1]
        assert torch.equal(states.isnan(), wanted.isnan().flatten()), config


@pytest.mark.parametrize(
    "problem",
    [
        make_problem("selective_scan", dim=21, seqlen=1501, **EVERYTHING),
        few(complex=True, varlen=True, dim=5, seqlen=2001, saved=64, **EVERYTHING, **STATE),
        make_problem("linear_scan", dim=21, seqlen=2333),
    ],
    ids=["many channels", "few channels", "linear"],
)
def test_threads_do_not_change_a_bit(problem: Problem) -> None:
    before = torch.get_num_threads()
    try:
        for config in defaults(problem):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(guarded_outputs(problem, config))
            for other in results[1:]:
                # What pads saved states stays NaN.
                torch.testing.assert_close(other, results[0], rtol=0, atol=0, equal_nan=True, msg=str(config))
    finally:
        torch.set_num_threads(before)


def exp2_by_kernel(x: torch.Tensor) -> torch.Tensor:
    """2^x as the default kernel computes it: with A = ln 2, the first step fills h with 1, the second scales it."""
    dim = x.numel()
    problem = make_problem(
        "selective_scan", dim=dim, seqlen=2, d_state=1, B="constant", C="constant", last_state=True
    )
    cpu = target("cpu")
    config = cpu.space(problem).default()
    kernel = cpu.compile(cpu.space(problem).check(config), problem, config)
    step = torch.stack([torch.ones(dim), x], dim=1)[None]
    u = torch.tensor([1.0, 0.0]).expand(1, dim, 2).contiguous()
    # The kernel scales A by log2(e) in float: undo it exactly, so that the exponent is x itself.
    log2e = torch.tensor(1.4426950408889634)
    A = torch.full((dim, 1), 1.0) / log2e
    assert float(A[0, 0] * log2e) == 1.0
    B = torch.ones(dim, 1)
    out, state = torch.empty(1, dim, 2), torch.empty(1, dim, 1)
    tensors = [u, step, A, B, B, out, state]
    kernel.bind(interface("selective_scan").bindings(problem, tensors))(tensors)
    return state.flatten()


def test_exp2_over_its_domain() -> None:
    generator = torch.Generator().manual_seed(0)
    wide = torch.empty(200_003).uniform_(-125.9, 127.9, generator=generator)
    small = 10.0 ** torch.empty(50_000).uniform_(-8, 0, generator=generator)
    x = torch.cat([wide, small, -small])
    error = (exp2_by_kernel(x).double() / torch.exp2(x.double()) - 1).abs()
    assert float(error.max()) <= 2e-7
    # Near 0, where decays of long memories lie, the error vanishes with x: all that is left is rounding.
    near = x.abs() < 1e-4
    assert float(error[near].max()) <= 2**-24 * 1.01


def test_exp2_saturates() -> None:
    x = torch.tensor([-127.5, -200.0, -3e38, 128.0, 129.0, 3e38, 0.0])
    result = exp2_by_kernel(x)
    assert float(result[0]) <= 2**-126
    assert result[1:].tolist() == [0.0, 0.0, *[float("inf")] * 3, 1.0]
    assert bool(exp2_by_kernel(torch.tensor([float("nan")])).isnan().all())


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for a lesser x86 CPU, named as -march names it, or for this one."""
    if request.param == "native":
        return
    compiler = shutil.which("cc")
    if platform.machine() != "x86_64" or target("cpu").facts.lanes < 8 or compiler is None:
        pytest.skip("needs cc on an x86 CPU with AVX2")
    script = tmp_path / "cc"
    script.write_text(f'#!/bin/sh\nexec {compiler} "$@" -march={request.param}\n')
    script.chmod(0o755)
    monkeypatch.setenv("SSMGEN_CC", str(script))
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("machine", ["native", "x86-64-v3", "x86-64-v2"], indirect=True)
def test_every_half_is_read_as_it_is(machine: None) -> None:
    halves = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    problem = make_problem("linear_scan", "fp16", dim=1 << 16, seqlen=1, layout="channel")
    b = halves.reshape(1, -1, 1)
    configs = [config for config in target("cpu").space(problem).configs["channels"] if config["tile"] == 64]
    assert configs
    for config in configs:
        for flush in (False, True):
            torch.set_flush_denormal(flush)
            try:
                out = outputs_of(problem, config, {"a": torch.zeros_like(b), "b": b})["out"].flatten()
            finally:
                torch.set_flush_denormal(False)
            number = ~halves.isnan()
            assert torch.equal(out[number], halves[number]), (config, flush)
            assert bool(out[~number].isnan().all()), (config, flush)


@pytest.mark.parametrize("machine", ["x86-64-v3"], indirect=True)
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.slow
def test_nans_stay_nans_whatever_their_payload(dtype: str, machine: None) -> None:
    problem = make_problem("selective_scan", dtype, dim=8, seqlen=300, softplus=True, z=True, D=True)
    if dtype == "fp32":
        bits = torch.tensor([0x7FC00000, 0x7FC00001, 0x7FFFFFFF, -1, -0x3FFF81], dtype=torch.int32)
        nans = bits.view(torch.float32)
    else:
        nans = torch.tensor([0x7FF8 << 48, (0x7FF8 << 48) + 1, -1], dtype=torch.int64).view(torch.float64)
    assert bool(nans.isnan().all())
    inputs = sample(problem, seed=0)
    for config in defaults(problem):
        for name in ("delta", "A", "u", "z", "D", "B", "C"):
            for nan in nans:
                poisoned = inputs | {name: inputs[name].clone()}
                where = (0, 0, 3) if inputs[name].dim() > 2 else (0,)
                poisoned[name][where] = nan
                assert bool(outputs_of(problem, config, poisoned)["out"].isnan().any()), (config, name)


@pytest.mark.parametrize("dtype", parameters(["fp32", "fp64"], {"fp64"}))
def test_chunks_that_follow_a_state_of_zero_may_grow_without_bound(dtype: str) -> None:
    # b is zero in the first chunks, whose decay overflows, and a in the last ones.
    linear = make_problem("linear_scan", dtype, dim=5, seqlen=1400)
    a, b = torch.full((1, 5, 1400), 8.0), torch.zeros(1, 5, 1400)
    a[..., 1050:], b[..., 1050:] = 0.5, 1.0
    real = torch.float32 if dtype == "fp32" else torch.float64
    cases = [(linear, {"a": a.to(real), "b": b.to(real)})]
    for is_complex in (False, True):
        selective = few(dtype, complex=is_complex, seqlen=1400, d_state=3)
        inputs = sample(selective, seed=0)
        inputs["A"].neg_()
        inputs["delta"][..., :1050], inputs["delta"][..., 1050:] = 8.0, 0.0
        inputs["u"][..., :1050] = 0.0
        inputs["u"][..., 1060:] = 1.0
        cases.append((selective, inputs))
    for problem, operands in cases:
        (wanted,) = expected(problem, operands).values()
        assert bool(wanted.isfinite().all())
        names = []
        for config in defaults(problem):
            names.append(config.variant)
            assert relative_error(outputs_of(problem, config, operands)["out"], wanted) <= tolerance(
                problem
            ), config
        assert "chunked" in names


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("bounds", [(0, 1, 257, 1026), (0, 512, 512, 1026), (0, 1026, 1026, 1026)], ids=str)
def test_packed_sequences_of_whole_chunks_of_one_step_and_of_none(
    bounds: tuple[int, ...], is_complex: bool
) -> None:
    problem = few(complex=is_complex, varlen=True, seqlen=1026, saved=64, last_state=True, **STATE)
    inputs = sample(problem, seed=0) | {"cu_seqlens": torch.tensor(bounds, dtype=torch.int32)}
    wanted = expected(problem, inputs)
    names = []
    for config in defaults(problem):
        names.append(config.variant)
        for name, found in outputs_of(problem, config, inputs).items():
            assert relative_error(found, wanted[name]) <= tolerance(problem), (config, name)
    assert "chunked" in names


def test_chunks_keep_the_phase_of_states_that_hardly_decay() -> None:
    problem = few(complex=True, seqlen=1026)
    inputs = sample(problem, seed=0)
    turns = torch.arange(16) * 30 * torch.pi
    inputs["A"] = torch.complex(torch.full((3, 16), -0.05), turns.expand(3, 16)).contiguous()
    wanted = expected(problem, inputs)["out"]
    errors = {
        config.variant: relative_error(outputs_of(problem, config, inputs)["out"], wanted)
        for config in defaults(problem)
    }
    # Thousands of turns: a step's own rounding shows in all variants.
    assert max(errors.values()) <= 2 * tolerance(problem), errors
    assert "chunked" in errors


@pytest.mark.parametrize("d_state", [1, 17])
def test_lanes_without_a_state_add_nothing_where_u_is_infinite(d_state: int) -> None:
    problem = make_problem("selective_scan", dim=3, seqlen=40, d_state=d_state, B="constant", C="constant")
    inputs = sample(problem, seed=0)
    inputs["B"].abs_()
    inputs["C"].abs_()
    inputs["u"][:, 1, 20] = float("inf")
    for config in defaults(problem):
        out = outputs_of(problem, config, inputs)["out"]
        assert bool((out[:, 1, 20:] == float("inf")).all()), config
        assert bool(out[:, 1, :20].isfinite().all() and out[:, (0, 2)].isfinite().all()), config


@settings(max_examples=60)
@given(data=st.data())
def test_the_default_is_in_the_space(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(list(INTERFACES)))
    face = interface(op)
    size = st.integers(1, 300)
    dims = {name: data.draw(st.integers(1, 256) if name == "d_state" else size) for name in face.dims}
    if "width" in dims:
        dims["width"] = data.draw(st.integers(2, 5))
    if "groups" in dims:
        dims["heads" if "heads" in dims else "dim"] *= dims["groups"]
    options = {name: data.draw(st.sampled_from(values)) for name, values in face.options.items()}
    direction = data.draw(st.sampled_from(["forward", "backward"]))
    problem = make_problem(
        op, data.draw(st.sampled_from(face.dtypes)), direction=direction, **dims, **options
    )
    space = target("cpu").space(problem)
    assert not space.variants or space.default() in space
    assert space.variants == tuple(x for x in variants(op, "c") if x.supports(problem))


@pytest.mark.parametrize("name", PROBLEMS)
def test_spaces_are_worth_searching(name: str) -> None:
    assert 1 <= len(target("cpu").space(PROBLEMS[name])) <= 160
