"""The budget of a run, on a clock that only the worker's answers move: no kernel is compiled here."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

import pytest

from ssmgen import store
from ssmgen.config import Config
from ssmgen.store import TunedConfig
from ssmgen.tuning import run, worker
from ssmgen.tuning.measure import FinalTimes
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.run import Run
from ssmgen.tuning.session import Session
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError
from tests.tuning.fakes import PROBLEM, FakeTarget
from tests.tuning.test_search import hill, make_space


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class TimedWorker:
    """Answers as the worker does, in so many seconds for each config that is compiled or tried.

    Attributes:
        longest: Seconds of the longest request so far.
    """

    is_alive = True
    memory = None

    def __init__(
        self, clock: Clock, compiling: float, trying: float, seed: int = 0, hangs: float = 0.0
    ) -> None:
        self._clock, self._compiling, self._trying = clock, compiling, trying
        self._draw, self._hangs = random.Random(seed), hangs
        self.longest = 0.0

    def ask(self, request: object, limit: float, partial: Callable[[object], None] | None = None) -> object:
        seconds, answer = self._answer(request)
        if isinstance(request, worker.Try) and self._draw.random() < self._hangs:
            seconds = 1e9
        passed = min(seconds, limit)
        self._clock.now += passed
        self.longest = max(self.longest, passed)
        if seconds > limit:
            raise WorkerTimeoutError("no answer")
        return answer

    def _answer(self, request: object) -> tuple[float, object]:
        match request:
            case worker.Prepare():
                return 0.5, "conditions of a fake"
            case worker.Reference():
                return 0.2, 0.2
            case worker.Compile(_, configs):
                return self._compiling * len(configs) * self._draw.uniform(0.5, 1.5), ()
            case worker.Try(config=config):
                return self._trying * self._draw.uniform(0.5, 1.5), self._trial(config)
            case worker.Final(_, configs, seconds, references):
                times = {config: [1e-3 * (hill(config) or 9.0)] * 3 for config in configs}
                return seconds + 0.2 * references, FinalTimes(times, [0.2] * references, None)
        raise AssertionError(request)

    def _trial(self, config: Config) -> Trial:
        seconds = 1e-3 * (hill(config) or 9.0)
        return Trial(config, Timing(seconds, (seconds, seconds)), {"out": 1e-7})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(run, "time", found)
    return found


def tune(
    clock: Clock, answers: TimedWorker, budget: float, trials: int | None = None, seed: int = 0
) -> TuneResult:
    target = FakeTarget(("good",))
    return Run(
        target,
        make_space(),
        answers,  # type: ignore[arg-type]
        {"fake": "1"},
        budget,
        trials,
        seed,
        Observer(),
        session(),
    ).complete()


def session() -> Session:
    return Session(PROBLEM, FakeTarget(("good",)).facts, 2, {"fake": "1"})


@pytest.mark.parametrize("budget", [2.0, 10.0, 60.0, 600.0])
@pytest.mark.parametrize(("compiling", "trying"), [(0.4, 0.3), (3.0, 0.5), (0.02, 1.0)])
def test_seconds_are_honoured_to_5_percent_or_3_seconds_plus_the_measurement_in_flight(
    clock: Clock, budget: float, compiling: float, trying: float
) -> None:
    for seed in range(2):
        start, answers = clock.now, TimedWorker(clock, compiling, trying, seed)
        result = tune(clock, answers, budget, seed=100 * seed)
        spent = clock.now - start
        assert spent <= budget + max(0.05 * budget, 3.0) + answers.longest
        assert result.best is not None
        # What is known already needs no measurement: each seed would start from the journal of the last.
        assert result.tried + result.resumed <= result.valid
        if not result.is_exhaustive and budget >= 10:
            assert spent >= 0.75 * budget
        session().path.unlink()


def test_configs_that_hang_do_not_break_the_budget(clock: Clock) -> None:
    answers = TimedWorker(clock, 0.2, 0.2, hangs=0.1)
    start = clock.now
    result = tune(clock, answers, 60.0)
    assert result.failures["timeout"] > 0
    assert clock.now - start <= 63.0 + answers.longest


@pytest.mark.parametrize("trials", [1, 5, 23])
def test_trials_are_honoured_to_one(clock: Clock, trials: int) -> None:
    result = tune(clock, TimedWorker(clock, 0.1, 0.1), 1e5, trials)
    assert result.tried == trials


def test_a_search_starts_from_what_serves_the_problem_and_its_neighbours(clock: Clock) -> None:
    facts, space = FakeTarget(("good",)).facts, make_space()
    lengths = iter(range(9, 14))
    saved = []
    for number, config in zip(count(), space.configs["hill"][40:240:40], strict=False):
        saved.append(config)
        problem = PROBLEM.with_dims(seqlen=2 ** next(lengths))
        entry = TunedConfig(
            problem=problem,
            config=config,
            evidence="predicted" if number == 1 else "measured",
            seconds=1e-3,
            quartiles=(1e-3, 1e-3),
            default_seconds=None,
            reference_seconds=None,
            error={},
            source_hash="of another version",
            versions={"ssmgen": "0"},
            device=facts,
            threads=None if number == 1 else 2,
            created="2026-01-31",
        )
        store.save([entry])
    seen: list[Config] = []

    class Noting(Observer):
        def measured(self, trial: Trial) -> None:
            seen.append(trial.config)

    target, answers = FakeTarget(("good",)), TimedWorker(clock, 0.1, 0.1)
    Run(target, space, answers, {"fake": "1"}, 1e5, 6, 0, Noting(), session()).complete()  # type: ignore[arg-type]
    # The nearest lengths first, and no more than a few.
    assert seen[:5] == [space.default(), *saved[:4]]
    assert saved[4] not in seen[:5]


def test_finalists_that_only_together_end_the_worker_leave_the_times_of_the_search(clock: Clock) -> None:
    class Dying(TimedWorker):
        def ask(
            self, request: object, limit: float, partial: Callable[[object], None] | None = None
        ) -> object:
            if isinstance(request, worker.Final) and len(request.configs) > 1:
                raise WorkerDiedError("gone")
            return super().ask(request, limit, partial)

    result = tune(clock, Dying(clock, 0.1, 0.1), 20.0)
    assert result.best is not None
    assert any("could not be timed in turns" in note for note in result.notes)
