"""The C gradients of the scans against float64: every option, every dtype, sizes that no block divides."""

from __future__ import annotations

import math

import pytest
import torch

from ssmgen.kernels.c import selective_scan_backward
from ssmgen.kernels.oracle import tolerance
from ssmgen.problem import Option, Problem
from ssmgen.targets import target
from tests.covering import Tried
from tests.helpers import defaults, guarded_outputs, make_problem, parameters, run_config

_NAMES = ("D", "z", "delta_bias", "softplus", "initial_state", "last_state")
EVERYTHING: dict[str, Option] = dict.fromkeys(_NAMES, True)


def problem(dtype: str = "fp32", /, direction: str = "backward", **given: Option) -> Problem:
    sizes: dict[str, Option] = {"batch": 2, "dim": 21, "seqlen": 133, "saved": 32}
    return make_problem("selective_scan", dtype, direction=direction, **{**sizes, **given})


PROBLEMS = {
    "plain": problem(),
    "everything": problem(**EVERYTHING),
    "grouped": problem(groups=3, d_state=5, **EVERYTHING),
    "constant": problem(B="constant", C="constant", **EVERYTHING),
    "constant B beside grouped C": problem(B="constant", groups=3),
    "constant C": problem(C="constant", layout="channel"),
    "channel layout": problem(layout="channel", **EVERYTHING),
    "one of each": problem(dim=1, seqlen=1, d_state=1, **EVERYTHING),
    "many states": problem(d_state=17, saved=16, z=True),
    "a full team": problem(dim=131, saved=64, **EVERYTHING),
    "whole tiles": problem(dim=96, seqlen=100, saved=16),
    "packed": problem(batch=4, varlen=True, **EVERYTHING),
    "packed groups": problem(batch=3, varlen=True, groups=3, layout="channel", saved=16, **EVERYTHING),
    "packed constant": problem(batch=3, varlen=True, B="constant", C="constant"),
    "bf16": problem("bf16", **EVERYTHING),
    "fp16": problem("fp16", layout="channel", **EVERYTHING),
    "fp64": problem("fp64", **EVERYTHING),
    "complex": problem(complex=True),
    "complex everything": problem(complex=True, groups=3, d_state=5, **EVERYTHING),
    "complex constant": problem(
        complex=True, B="constant", C="constant", d_state=3, layout="channel", **EVERYTHING
    ),
    "complex constant B": problem("bf16", complex=True, B="constant", d_state=4, saved=16, z=True),
    "complex constant C": problem("fp64", complex=True, C="constant", d_state=4, dim=131, saved=64),
    "complex packed": problem(complex=True, batch=3, varlen=True, d_state=7, **EVERYTHING),
}


def linear(dtype: str = "fp32", /, **given: Option) -> Problem:
    return make_problem("linear_scan", dtype, direction="backward", **{"batch": 2, "dim": 21, **given})


STATE: dict[str, Option] = {"initial_state": True}
PROBLEMS |= {
    "linear": linear(seqlen=133),
    "linear reverse": linear(seqlen=601, reverse=True, **STATE),
    "linear state": linear(seqlen=640, **STATE),
    "linear channel": linear(seqlen=65, layout="channel", **STATE),
    "linear channel reverse": linear(seqlen=300, layout="channel", reverse=True),
    "linear one": linear(dim=1, seqlen=1, reverse=True, **STATE),
    "linear bf16": linear("bf16", seqlen=133, **STATE),
    "linear fp16": linear("fp16", seqlen=133, reverse=True),
    "linear fp64": linear("fp64", seqlen=133, **STATE),
    "linear complex": linear("c64", seqlen=601, **STATE),
    "linear complex channel": linear("c64", seqlen=300, reverse=True, layout="channel", **STATE),
    "linear complex double": linear("c128", seqlen=300, layout="channel"),
}


# Compilations of a second, of what other cases combine.
SLOW = {
    "plain",
    "constant B beside grouped C",
    "constant C",
    "one of each",
    "many states",
    "a full team",
    "packed groups",
    "packed constant",
    "complex",
    "complex constant B",
    "complex constant C",
}


@pytest.mark.parametrize("name", parameters(PROBLEMS, SLOW))
@pytest.mark.parametrize("harsh", [False, True])
def test_defaults_agree_with_float64(name: str, harsh: bool) -> None:
    assert defaults(PROBLEMS[name])
    for config in defaults(PROBLEMS[name]):
        errors = run_config(target("cpu"), PROBLEMS[name], config, harsh=harsh)
        assert max(errors.values()) <= tolerance(PROBLEMS[name]), (config, errors)


@pytest.mark.parametrize("options", [{}, {"initial_state": True, "layout": "channel"}], ids=str)
def test_forward_saves_the_states_that_backward_needs(options: dict[str, Option]) -> None:
    given = problem(direction="forward", **options)
    for config in defaults(given):
        errors = run_config(target("cpu"), given, config)
        assert set(errors) == {"out", "states"}
        assert max(errors.values()) <= tolerance(given), (config, errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["everything", "grouped", "fp64", "complex everything", "linear state", "linear complex"],
)
def test_every_choice_agrees_with_float64(name: str, tried: Tried) -> None:
    for config in tried(target("cpu").space(PROBLEMS[name])):
        errors = run_config(target("cpu"), PROBLEMS[name], config, harsh=True)
        assert max(errors.values()) <= tolerance(PROBLEMS[name]), (config, errors)


@pytest.mark.slow
@pytest.mark.parametrize("d_state", [1, 2, 3, 15, 64, 255, 256])
def test_any_number_of_states(d_state: int) -> None:
    given = problem(d_state=d_state, seqlen=70, **EVERYTHING)
    for config in defaults(given):
        errors = run_config(target("cpu"), given, config)
        assert max(errors.values()) <= tolerance(given), (config, errors)


def test_threads_do_not_change_a_bit_and_nothing_around_outputs_is_written() -> None:
    check_threads(problem(dim=131, seqlen=301, **EVERYTHING))
    check_threads(problem(dim=131, batch=3, varlen=True, **EVERYTHING))
    check_threads(linear(seqlen=2000, reverse=True, **STATE))


def test_workspaces_may_begin_inside_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(d_state=1)
    config, *_ = defaults(given)
    wanted = guarded_outputs(given, config)
    empty = torch.empty
    # As memory of malloc does for an exported kernel: PyTorch's begins at a line.
    monkeypatch.setattr(
        torch, "empty", lambda shape, **form: empty(math.prod(shape) + 1, **form)[1:].view(shape)
    )
    found = guarded_outputs(given, config)
    assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


STREAMED: dict[str, dict[str, Option]] = {
    "whole lines": {"dim": 32, "seqlen": 96, "z": True},
    "rows that begin inside lines": {"dim": 32, "seqlen": 70},
    "sequences that do": {"dim": 32, "seqlen": 96, "batch": 3, "varlen": True},
    "groups that do": {"dim": 48, "groups": 2, "layout": "channel"},
    "whole lines of channels": {"dim": 48, "layout": "channel"},
}


@pytest.mark.parametrize("name", STREAMED)
def test_gradients_larger_than_the_caches_go_past_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selective_scan_backward, "STREAMED_BYTES", 4)
    given = problem(**{"d_state": 1, "saved": 16, **STREAMED[name]})
    config, *_ = defaults(given)
    source = target("cpu").space(given).variant(config).source(given, config)
    assert "rows->streamed" in source.text or config.integer("lanes") < 16
    errors = run_config(target("cpu"), given, config)
    assert max(errors.values()) <= tolerance(given), errors


def check_threads(given: Problem) -> None:
    before = torch.get_num_threads()
    try:
        for config in defaults(given):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(guarded_outputs(given, config))
            assert all(not bool(x.isnan().any()) for x in results[0])
            for other in results[1:]:
                assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True)), config
    finally:
        torch.set_num_threads(before)
