"""The contract of a target, on a stand-in for a GPU, on a real one, on the CPU; and that what breaks it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import count
from unittest import mock

import pytest
from torch import Tensor

from ssmgen import selftest, targets
from ssmgen.errors import CompileError
from ssmgen.kernels import INTERFACES
from ssmgen.selftest import Case, SelfTestError
from ssmgen.targets import Target, driver
from ssmgen.tuning import verify
from ssmgen.tuning.verify import Verifier
from tests.helpers import GPU, ON_GPU, parameters
from tests.targets.stand_in import StandIn, stand_in
from tests.tuning.fakes import BEHAVIOURS, PROBLEM, FakeTarget, config

LAUNCHING = ("times", "stream", "graph", "devices", "op in a graph")


def run(cases: Iterator[Case]) -> int:
    """Run the cases, none of which may fail, and count them."""
    outcomes = [(str(case.problem), case.check, case.outcome()) for case in cases]
    assert [(problem, check, found) for problem, check, found in outcomes if found.failure] == []
    return len(outcomes)


def of(target: Target, op: str, checks: tuple[str, ...] = ()) -> Iterator[Case]:
    return (case for case in selftest.cases(target, [op]) if not checks or case.check in checks)


@pytest.fixture
def gpus() -> Iterator[StandIn]:
    pytest.importorskip("triton")
    with stand_in("hip", 2) as fake:
        yield fake


@pytest.mark.parametrize("op", parameters(INTERFACES, slow=["dplr_kernel", "selective_scan", "ssd"]))
def test_launches_keep_their_promises_on_a_stand_in(
    op: str, gpus: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Launches depend on whether there is a multiple of 16 channels; the interpreter takes one after another.
    monkeypatch.setitem(selftest._EVEN, "dim", 16)
    assert run(of(targets.target("hip"), op, LAUNCHING)) >= 4


@pytest.mark.slow
def test_a_stand_in_keeps_every_promise_of_a_problem(gpus: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter takes channel after channel: of a block of 64 and a few of another one, in place of two blocks.
    monkeypatch.setattr(verify, "_WIDTH", 67)
    monkeypatch.setitem(selftest._EVEN, "dim", 16)
    cases = of(targets.target("hip"), "linear_scan")
    assert (
        run(case for case in cases if case.problem.dtype == "fp32" and case.problem.direction == "forward")
        > 5
    )


def test_the_cpu_keeps_its_promises_for_the_linear_scan() -> None:
    assert run(of(targets.target("cpu"), "linear_scan", ("results", "same bits twice", "times"))) > 8


@pytest.mark.parametrize("name", [pytest.param("cpu", marks=pytest.mark.slow), ON_GPU])
def test_every_promise_is_kept(name: str) -> None:
    ops = {case.problem.op for case in selftest.cases(targets.target(name))}
    assert ops == set(INTERFACES)
    run(selftest.cases(targets.target(name)))


def test_the_targets_of_this_machine_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [target.name for target in selftest.present_targets()]
    assert present == ["cpu", GPU] if driver.is_available() else ["cpu"]
    monkeypatch.setenv("SSMGEN_CC", "/nonexistent")
    assert "cpu" not in [target.name for target in selftest.present_targets()]


def test_a_gpu_is_among_them(gpus: StandIn) -> None:
    assert [target.name for target in selftest.present_targets()] == ["cpu", "hip"]


@pytest.mark.parametrize("behaviour", ["wrong", "nan", "unwritten", "stray_write", "spoils_input"])
def test_wrong_results_are_found(behaviour: str) -> None:
    verifier = Verifier(FakeTarget(BEHAVIOURS), PROBLEM)
    with pytest.raises(SelfTestError):
        selftest.check_results(verifier, config(behaviour))


def test_an_error_is_the_failure_of_its_case() -> None:
    def broken() -> None:
        raise RuntimeError("launch failed")

    outcome = Case("cpu", "results", PROBLEM, None, broken).outcome()
    assert outcome.failure == "RuntimeError: launch failed"


def test_a_config_that_does_not_compile_is_found() -> None:
    with pytest.raises(CompileError):
        selftest.check_compiles(Verifier(FakeTarget(BEHAVIOURS), PROBLEM), [config("uncompilable")])


def test_bits_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter((0.0, 1.0))

    def run(tensors: Sequence[Tensor]) -> None:
        tensors[-1].fill_(next(values))

    monkeypatch.setattr(selftest, "runner", lambda *given: run)
    with pytest.raises(SelfTestError, match="out differs"):
        selftest.check_repeats(FakeTarget(BEHAVIOURS), PROBLEM, config("good"))


class BadClock(FakeTarget):
    def __init__(self, seconds: list[float], restores: bool = True) -> None:
        super().__init__(BEHAVIOURS)
        self.seconds, self.restores = seconds, restores

    def time(
        self, run: Callable[[], None], repetitions: int, restore: Callable[[], None] | None = None
    ) -> list[float]:
        super().time(run, repetitions, restore if self.restores else None)
        return self.seconds


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (BadClock([0.0] + [1e-6] * 4), "are said to take 0.0, 1.0"),
        (BadClock([1e3] * 5), "passed meanwhile"),
        (BadClock([1e-6]), "5 runs gave 1 times"),
        (BadClock([1e-6] * 5, restores=False), "restored 0 times"),
    ],
)
def test_times_that_cannot_be_are_found(target: Target, message: str) -> None:
    with pytest.raises(SelfTestError, match=message):
        selftest.check_times(target, PROBLEM, config("good"))


def test_a_launch_without_a_guard_is_found(gpus: StandIn) -> None:
    (case,) = of(targets.target("hip"), "linear_scan", ("devices",))
    with mock.patch.object(driver, "guard", return_value=nullcontext()):
        assert "device" in case.outcome().failure


def test_another_result_on_another_device_is_found(gpus: StandIn) -> None:
    (case,) = of(targets.target("hip"), "linear_scan", ("devices",))
    true, calls = selftest._bits, count()

    def bits(x: Tensor) -> Tensor:
        return true(x) + next(calls)  # no two results alike

    with mock.patch.object(selftest, "_bits", bits):
        assert case.outcome().failure == "a differs between device 0 and device 1"


def test_a_launch_in_the_wrong_stream_is_found(gpus: StandIn) -> None:
    (case,) = of(targets.target("hip"), "linear_scan", ("graph",))
    with mock.patch.object(StandIn, "get_current_stream", return_value=0):
        assert "while another is captured" in case.outcome().failure


def test_a_replay_that_does_nothing_is_found(gpus: StandIn) -> None:
    cases = list(of(targets.target("hip"), "linear_scan", ("graph", "op in a graph")))
    with mock.patch.object(driver, "capture", return_value=lambda: None):
        assert ["off by" in case.outcome().failure for case in cases] == [True, True]
