"""From what a command line says to problems."""

from __future__ import annotations

import pytest

from ssmgen import targets
from ssmgen.advice import tune_command
from ssmgen.errors import InvalidInputError, UnknownNameError
from ssmgen.kernels import INTERFACES
from ssmgen.problem import Problem
from ssmgen.request import Request
from ssmgen.targets.architectures import architecture
from tests.helpers import make_problem

CPU = targets.target("cpu").facts


@pytest.mark.parametrize("op", INTERFACES)
def test_nothing_asked_for_gives_the_defaults(op: str) -> None:
    assert Request({}).problems([op], CPU) == (make_problem(op),)


def test_a_gpu_takes_bf16() -> None:
    problems = Request({}).problems(list(INTERFACES), architecture("sm_90"))
    assert [problem.dtype for problem in problems] == ["bf16"] * 3 + ["c64"] * 4 + ["bf16"] * 3


def test_sizes_reach_the_ops_that_take_them() -> None:
    request = Request({"batch": 2, "dim": 64, "seqlen": 1000, "d_state": 8, "poles": 16})
    scan, update, linear, cauchy, *_ = request.problems(list(INTERFACES), CPU)
    assert {name: update[name] for name in ("batch", "dim", "d_state")} == {
        "batch": 2,
        "dim": 64,
        "d_state": 8,
    }
    assert dict(scan.dims) == {"batch": 2, "dim": 64, "seqlen": 1000, "d_state": 8, "groups": 1}
    assert dict(linear.dims) == {"batch": 2, "dim": 64, "seqlen": 1000}
    assert dict(cauchy.dims) == {"rows": 128, "poles": 16, "nodes": 501}


def test_options_reach_the_ops_that_have_them() -> None:
    request = Request({}, options=("z", "layout=channel", "symmetric=False"))
    scan, update, linear, cauchy, *_ = request.problems(list(INTERFACES), CPU)
    assert scan.option("z") is update.option("z") is True
    assert scan.option("layout") == linear.option("layout") == "channel"
    assert cauchy.option("symmetric") is False
    with pytest.raises(UnknownNameError, match="unknown option of cauchy_mult 'z'"):
        request.problems(["cauchy_mult"], CPU)
    with pytest.raises(InvalidInputError, match="time, channel"):
        Request({}, options=("layout",)).problems(["linear_scan"], CPU)


def test_sizes_that_nothing_takes_are_mentioned() -> None:
    assert not Request({"d_state": 16}).notes(list(INTERFACES))
    (note,) = Request({"d_state": 16}).notes(["cauchy_mult"])
    assert "--poles" in note
    (note,) = Request({"poles": 16, "dim": 8}).notes(["linear_scan"])
    assert "--poles" in note


@pytest.mark.parametrize(
    "problem",
    [
        make_problem("selective_scan", "bf16", dim=64, seqlen=128, z=True, softplus=True, layout="channel"),
        make_problem("selective_state_update", heads=24, dim=64, tokens=3, state_dtype="bf16", tied=True),
        make_problem("selective_state_update", batch=8, slots=8, indices=True, update=False),
        make_problem("linear_scan", reverse=True),
        make_problem("cauchy_mult", "c128", rows=24, poles=5, nodes=33, symmetric=False),
    ],
)
def test_the_command_that_dispatch_recommends_gives_the_problem(problem: Problem) -> None:
    words = iter(tune_command(problem).split()[3:])
    sizes, options, dtype = {}, [], None
    for flag, value in zip(words, words, strict=True):
        if flag == "--option":
            options.append(value)
        elif flag == "--dtype":
            dtype = value
        else:
            sizes[flag.removeprefix("--").replace("-", "_")] = int(value)
    assert Request(sizes, dtype, options).problems([problem.op], CPU) == (problem,)
