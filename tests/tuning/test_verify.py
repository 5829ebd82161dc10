from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.kernels import INTERFACES, Rule
from ssmgen.kernels.interfaces import interface
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target, target
from ssmgen.tuning import verify
from ssmgen.tuning.operands import Fenced, FencedWorkspaces, runner
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


def _leaves_the_state(run: Runner, tensors: Sequence[Tensor]) -> None:
    before = tensors[0].clone()
    run(tensors)
    tensors[0].copy_(before)


def _steps_twice(run: Runner, tensors: Sequence[Tensor]) -> None:
    out = tensors[-1].clone()
    run(tensors)
    out.copy_(tensors[-1])
    run(tensors)
    tensors[-1].copy_(out)


def _writes_behind_the_state(run: Runner, tensors: Sequence[Tensor]) -> None:
    run(tensors)
    state = tensors[0]
    state.as_strided((1,), (1,), state.storage_offset() + state.numel()).zero_()


def _spoils_x(run: Runner, tensors: Sequence[Tensor]) -> None:
    run(tensors)
    tensors[1].zero_()


def _forgets_nothing(run: Runner, tensors: Sequence[Tensor]) -> None:
    """A run that leaves something to the next one, within what rounding may do."""
    run(tensors)
    if getattr(_forgets_nothing, "ran", None) is run:
        tensors[0].mul_(1.0 + 2.0**-22)
    _forgets_nothing.ran = run  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("misdeed", "failure"),
    [
        (_leaves_the_state, "wrong result"),
        (_steps_twice, "wrong result"),
        (_writes_behind_the_state, "out of bounds"),
        (_spoils_x, "input changed"),
        (_forgets_nothing, "not repeatable"),
        (lambda run, tensors: run(tensors), None),
    ],
)
def test_a_kernel_that_works_in_place_is_held_to_its_state(
    misdeed: Callable[[Runner, Sequence[Tensor]], None], failure: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, cpu = make_problem("selective_state_update", batch=2, dim=64), target("cpu")

    def hostile(place: Target, problem: Problem, config: Config, tensors: Sequence[Tensor]) -> Runner:
        run = runner(place, problem, config, tensors)
        return lambda tensors: misdeed(run, tensors)

    monkeypatch.setattr(verify, "runner", hostile)
    found = Verifier(cpu, problem).verify(cpu.space(problem).default())
    assert found.failure == failure
    assert set(found.error) == {"state", "out"}


@pytest.mark.parametrize("offset", [-1, 12])
def test_workspaces_are_fenced_and_hold_nothing(offset: int) -> None:
    with FencedWorkspaces() as workspaces:
        scratch = torch.empty((3, 4), dtype=torch.float32, device="cpu")
        kept = torch.zeros(3) + 1.0
    assert scratch.shape == (3, 4)
    assert scratch.is_contiguous()
    assert bool(scratch.isnan().all())
    assert kept.tolist() == [1.0] * 3
    scratch.zero_()
    assert not workspaces.is_broken
    scratch.as_strided((1,), (1,), scratch.storage_offset() + offset).zero_()
    assert workspaces.is_broken
