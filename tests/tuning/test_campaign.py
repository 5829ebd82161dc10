"""How a budget flows over many problems, on a clock of its own: nothing is tuned here."""

from __future__ import annotations

from collections import Counter
from importlib import import_module

import pytest

from ssmgen.problem import Problem
from ssmgen.targets import target
from ssmgen.tuning import TuneResult, campaign, training_pairs
from tests.helpers import make_problem
from tests.tuning.test_budget import Clock

# The package gives the function of that name.
module = import_module("ssmgen.tuning.campaign")


def result_of(problem: Problem, *, is_interrupted: bool = False) -> TuneResult:
    return TuneResult(
        problem=problem,
        facts=target("cpu").facts,
        reference=None,
        default=None,
        best=None,
        tried=1,
        resumed=0,
        valid=1,
        failures=Counter(),
        excluded=Counter(),
        is_exhaustive=False,
        is_interrupted=is_interrupted,
        notes=(),
        path=None,
        seconds=1.0,
    )


class FakeTuner:
    """Takes a share of the budget that it is given, and knows some configs of some problems."""

    def __init__(self, clock: Clock, used: float = 1.0, known: dict[Problem, int] | None = None) -> None:
        self.target = target("cpu")
        self.budgets: dict[Problem, float] = {}
        self._clock, self._used, self._known = clock, used, known or {}
        self.interrupted: Problem | None = None

    def __enter__(self) -> FakeTuner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def known(self, space: object) -> dict[object, object]:
        problem = space.problem  # type: ignore[attr-defined]
        return dict.fromkeys(range(self._known.get(problem, 0)))

    def tune(self, problem: Problem, *, budget_seconds: float, **_: object) -> TuneResult:
        self.budgets[problem] = budget_seconds
        self._clock.now += self._used * budget_seconds
        return result_of(problem, is_interrupted=problem == self.interrupted)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def use(tuner: FakeTuner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_tuner", lambda name, **_: tuner)


SCANS = [make_problem("linear_scan", dim=32, seqlen=2**power) for power in range(5, 9)]
SELECTIVE = make_problem("selective_scan", dim=32, seqlen=64)


def test_problems_share_the_budget_by_weight(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = FakeTuner(clock)
    use(tuner, monkeypatch)
    results = list(campaign([*SCANS, SELECTIVE], "cpu", budget_seconds=60.0))
    assert [result.problem for result in results] == [*SCANS, SELECTIVE]
    assert [tuner.budgets[problem] for problem in SCANS] == pytest.approx([10.0] * 4)
    assert tuner.budgets[SELECTIVE] == pytest.approx(20.0)


def test_what_one_leaves_others_get(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = FakeTuner(clock, used=0.5)
    use(tuner, monkeypatch)
    list(campaign(SCANS, "cpu", budget_seconds=60.0))
    shares = [tuner.budgets[problem] for problem in SCANS]
    assert shares == sorted(shares)
    assert shares[-1] > 1.5 * shares[0]


def test_those_that_are_known_least_come_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = FakeTuner(clock, known={SCANS[0]: 5, SCANS[1]: 2, SCANS[3]: 1})
    use(tuner, monkeypatch)
    results = list(campaign(SCANS, "cpu", budget_seconds=60.0))
    assert [result.problem for result in results] == [SCANS[2], SCANS[3], SCANS[1], SCANS[0]]


def test_an_interruption_ends_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = FakeTuner(clock)
    tuner.interrupted = SCANS[1]
    use(tuner, monkeypatch)
    assert len(list(campaign(SCANS, "cpu", budget_seconds=60.0))) == 2


def test_training_and_forward_go_together(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = FakeTuner(clock)
    use(tuner, monkeypatch)
    pairs = training_pairs(SCANS[0], target("cpu"), 4.0)
    results = list(campaign([pairs, SCANS[1]], "cpu", budget_seconds=60.0))
    assert [result.problem.direction for result in results] == ["backward", "forward", "forward"]
