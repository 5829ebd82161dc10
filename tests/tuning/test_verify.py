from __future__ import annotations

import pytest
import torch

from ssmgen.kernels import INTERFACES, Rule
from ssmgen.kernels.interfaces import interface
from ssmgen.tuning.operands import Fenced
from ssmgen.tuning.verify import Verifier, awkward_problems, checked_problem
from tests.helpers import make_problem
from tests.tuning.fakes import BEHAVIOURS, PROBLEM, FakeTarget, FakeVariant, config


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("good", None),
        ("slow", None),
        ("wrong", "wrong result"),
        ("nan", "not finite"),
        ("unwritten", "not finite"),
        ("stray_write", "out of bounds"),
        ("spoils_input", "input changed"),
    ],
)
def test_each_kind_of_wrong_kernel_is_recognised(behaviour: str, failure: str | None) -> None:
    found = Verifier(FakeTarget(BEHAVIOURS), PROBLEM).verify(config(behaviour))
    assert found.failure == failure
    assert set(found.error) == {"out"}
    assert (found.error["out"] < 2e-6) == (failure in (None, "out of bounds", "input changed"))
    assert (found.detail == "") == (failure is None)


def test_the_largest_error_may_be_asked_for() -> None:
    def failure(behaviour: str, max_error: float) -> str | None:
        return Verifier(FakeTarget(BEHAVIOURS), PROBLEM, max_error).verify(config(behaviour)).failure

    assert failure("wrong", 1.0) is None
    assert failure("good", 1e-12) == "wrong result"
    assert failure("nan", 1.0) == "not finite"


def test_every_length_and_the_real_problem_are_checked() -> None:
    problems = Verifier(FakeTarget(BEHAVIOURS), PROBLEM).problems(config("good"))
    assert problems[-1] == PROBLEM
    assert [problem["seqlen"] for problem in problems] == [1, 67, 389, 32]
    assert {problem["batch"] for problem in problems[:-1]} == {2}


@pytest.mark.parametrize("op", INTERFACES)
def test_awkward_problems_keep_what_makes_the_kernel(op: str) -> None:
    problem = make_problem(op)
    for awkward in awkward_problems(problem, 67):
        assert problem.distance(awkward) is not None


def test_channels_stay_divisible_by_groups() -> None:
    problem = make_problem("selective_scan", groups=4)
    assert all(awkward["dim"] % 4 == 0 for awkward in awkward_problems(problem, 67))


def test_a_config_for_long_sequences_alone_is_verified_on_an_odd_length_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = make_problem("linear_scan", batch=1, dim=4, seqlen=1024)
    is_long = Rule(
        "long", "short sequences are for others", lambda problem, config, facts: problem["seqlen"] > 900
    )
    monkeypatch.setattr(FakeVariant, "rules", (is_long,))
    problems = Verifier(FakeTarget(BEHAVIOURS), problem).problems(config("good"))
    assert [problem["seqlen"] for problem in problems] == [1021, 1024]
    assert problems[0]["dim"] == 131


def test_a_config_for_few_channels_alone_keeps_the_problem_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    is_narrow = Rule(
        "narrow",
        "many channels are for others",
        lambda problem, config, facts: problem["batch"] * problem["dim"] < 8,
    )
    monkeypatch.setattr(FakeVariant, "rules", (is_narrow,))
    problems = Verifier(FakeTarget(BEHAVIOURS), PROBLEM).problems(config("good"))
    assert [(problem["batch"], problem["dim"]) for problem in problems] == [(1, 4)] * 4


def test_a_problem_too_large_for_float64_is_checked_on_fewer_batches() -> None:
    small, large = make_problem("selective_scan"), make_problem("selective_scan", batch=64, seqlen=8192)
    assert checked_problem(small) == small
    assert checked_problem(large)["batch"] == 1
    assert checked_problem(large)["seqlen"] == 8192


@pytest.mark.parametrize("layout", ["time", "channel"])
def test_a_fence_sees_the_bytes_next_to_the_operand(layout: str) -> None:
    problem = make_problem("linear_scan", "bf16", batch=2, dim=3, seqlen=5, layout=layout)
    operand = interface("linear_scan").operands(problem)[0]
    for offset in (-1, 30):
        fenced = Fenced(operand, torch.device("cpu"))
        assert fenced.tensor.stride() == operand.allocate("cpu").stride()
        assert bool(fenced.tensor.isnan().all())
        fenced.tensor.zero_()
        assert not fenced.is_broken
        fenced.tensor.as_strided((1,), (1,), fenced.tensor.storage_offset() + offset).zero_()
        assert fenced.is_broken
