"""Tuning by predictions, with workers that answer at once in the place of compilers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from ssmgen import store
from ssmgen.config import Config
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import Space
from ssmgen.model import KernelCost, LaunchCost
from ssmgen.store import TunedConfig
from ssmgen.targets.devices import DEVICES
from ssmgen.tuning import compilers
from ssmgen.tuning.predicted import Forecaster, busy_space
from ssmgen.tuning.result import Observer
from ssmgen.tuning.search import default_configs
from ssmgen.tuning.trial import Trial
from ssmgen.tuning.worker import Count
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError
from tests.helpers import make_problem

pytest.importorskip("triton")

PROBLEM = make_problem("linear_scan", batch=1, dim=1536, seqlen=2048)
H100 = DEVICES["h100"]


def cost(
    slots: float = 1e4, *, spills: int = 0, shared: int = 0, unexplained: tuple[str, ...] = ()
) -> KernelCost:
    launch = LaunchCost(
        "f", 132, 4, 32, spills, shared, 0, 0.0, {"alu": slots}, {}, 0.0, 1.0, 10, 10, 20, unexplained
    )
    return KernelCost((launch,), 1000, "hash")


class StandIn:
    """A worker whose answers are a function's; it minds being asked twice at once."""

    answer: ClassVar[Callable[[Config], object]]
    started: ClassVar[list[StandIn]]
    memory: ClassVar[int | None] = None

    def __init__(self, *_: object) -> None:
        self.is_killed = False
        self._busy = threading.Lock()
        StandIn.started.append(self)

    def ask(self, request: object, limit: float) -> object:
        assert isinstance(request, Count)
        assert self._busy.acquire(blocking=False), "asked while it answers"
        try:
            found = StandIn.answer(request.config)
            if isinstance(found, Exception):
                raise found
            return found
        finally:
            self._busy.release()

    def end(self) -> None:
        """It has no process that another thread could wait for."""

    def kill(self) -> None:
        self.is_killed = True


@pytest.fixture
def forecaster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forecaster]:
    StandIn.started = []
    StandIn.answer = staticmethod(lambda config: cost())
    monkeypatch.setattr(compilers, "Worker", StandIn)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with Forecaster("h100") as found:
        yield found
    assert all(worker.is_killed for worker in StandIn.started)


@pytest.fixture
def space(forecaster: Forecaster) -> Space:
    return forecaster.target.space(PROBLEM)


def test_configs_that_leave_much_idle_are_left_out_and_counted(forecaster: Forecaster, space: Space) -> None:
    def busy(config: Config) -> float:
        launches = space.variant(config).program(PROBLEM, config).launches
        warps = [
            item.grid[0] * item.grid[1] * item.grid[2] * dict(item.options)["num_warps"] for item in launches
        ]
        return min(1.0, max(warps) / (132 * 4))

    kept = busy_space(space, H100)
    every = [config for configs in space.configs.values() for config in configs]
    most = max(map(busy, every))
    expected = [config for config in every if busy(config) >= most / 2 or config in default_configs(space)]
    assert 0 < len(expected) < len(every)
    assert [config for configs in kept.configs.values() for config in configs] == expected
    found, is_interrupted = forecaster.forecast(space, seconds=60)
    assert (found.idle, len(found.search.trials)) == (len(every) - len(expected), len(expected))
    assert not is_interrupted
    assert forecaster.forecast(space, seconds=60, every=True)[0].idle == 0


def test_failures_are_told_apart(forecaster: Forecaster, space: Space) -> None:
    kinds: list[object] = [
        WorkerTimeoutError("no answer"),
        WorkerDiedError("SIGSEGV"),
        None,
        cost(unexplained=("a loop",)),
        cost(shared=300_000),
        cost(),
    ]
    given: dict[Config, object] = {}
    lock = threading.Lock()

    def answer(config: Config) -> object:
        with lock:
            kind = kinds[len(given) % len(kinds)]
            given[config] = kind if kind is not None else Trial(config, failure="compile error", detail="no")
            return given[config]

    StandIn.answer = staticmethod(answer)
    result = forecaster.tune(PROBLEM, budget_seconds=60, max_trials=12)
    names = ("compile timeout", "compiler crash", "compile error", "not accounted for", "out of resources")
    assert result.failures == dict.fromkeys(names, 2)
    assert (result.tried, result.evidence) == (12, "predicted")
    assert result.best is not None
    assert given[result.best.config] is kinds[-1]


def test_an_error_of_the_program_is_not_a_failure_of_a_config(forecaster: Forecaster, space: Space) -> None:
    StandIn.answer = staticmethod(lambda config: ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        forecaster.forecast(space, seconds=60)


def test_what_spills_wins_only_where_all_do(forecaster: Forecaster, space: Space) -> None:
    plain = space.default()
    StandIn.answer = staticmethod(lambda config: cost(1e6) if config == plain else cost(10, spills=3))
    found, _ = forecaster.forecast(space, seconds=60)
    assert found.ranked[0] == plain
    assert found.search.trials[plain].seconds > found.search.trials[found.ranked[1]].seconds
    StandIn.answer = staticmethod(lambda config: cost(10 if config == plain else 1e6, spills=3))
    found, _ = forecaster.forecast(space, seconds=60)
    assert found.ranked[0] == plain


def test_the_fastest_is_saved_as_predicted_and_never_replaces_what_was_measured(
    forecaster: Forecaster,
) -> None:
    fastest = default_configs(forecaster.target.space(PROBLEM))[-1]
    StandIn.answer = staticmethod(lambda config: cost(1e3 if config == fastest else 1e6))
    result = forecaster.tune(PROBLEM, budget_seconds=60)
    assert result.best is not None
    assert result.best.config == fastest
    assert result.is_exhaustive == (result.tried == len(busy_space(forecaster.target.space(PROBLEM), H100)))
    assert result.path is not None
    (entry,) = store.read_file(result.path)
    assert (entry.config, entry.evidence, entry.device.name) == (fastest, "predicted", H100.name)
    assert entry.seconds == result.best.seconds

    measured = TunedConfig(**{**vars(entry), "evidence": "measured", "config": result.default.config})  # type: ignore
    store.save([measured])
    forecaster.tune(PROBLEM, budget_seconds=60)
    (kept,) = store.read_file(result.path)
    assert (kept.evidence, kept.config) == ("measured", measured.config)


class Interrupting(Observer):
    """Presses Ctrl-C once so many configs are done."""

    def __init__(self, after: int) -> None:
        self.left = after

    def measured(self, trial: Trial) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_is_known(forecaster: Forecaster) -> None:
    result = forecaster.tune(PROBLEM, budget_seconds=60, observer=Interrupting(3))
    # The third is known already when it is told of; the fourth of its batch is not waited for.
    assert (result.is_interrupted, result.tried) == (True, 3)
    assert result.best is not None
    assert result.path is not None
    assert any("not compiled" in note for note in result.notes)


def test_ctrl_c_before_anything_is_known_saves_nothing(forecaster: Forecaster) -> None:
    def interrupt(config: Config) -> object:
        return WorkerDiedError("killed")

    StandIn.answer = staticmethod(interrupt)
    result = forecaster.tune(PROBLEM, budget_seconds=60, observer=Interrupting(1))
    assert (result.is_interrupted, result.best, result.path) == (True, None, None)


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (4, 4), (192, 16), (None, 1)])
def test_there_are_as_many_workers_as_cores_but_no_crowd(
    cores: int | None, workers: int, forecaster: Forecaster, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    forecaster.forecast(space, seconds=60, every=True)
    assert len(StandIn.started) == workers


def test_at_least_one_batch_is_compiled_whatever_the_budget(forecaster: Forecaster, space: Space) -> None:
    found, _ = forecaster.forecast(space, seconds=1e-6)
    assert next(iter(found.search.trials)) == space.default()


def test_what_makes_no_sense_is_refused(forecaster: Forecaster) -> None:
    with pytest.raises(InvalidInputError, match="top-k"):
        forecaster.tune(PROBLEM, budget_seconds=1, top_k=3)
    with pytest.raises(InvalidInputError, match="positive"):
        forecaster.tune(PROBLEM, budget_seconds=0)
    with pytest.raises(InvalidInputError, match="no kernel"):
        forecaster.tune(make_problem("linear_scan", "fp64"), budget_seconds=1)
    with pytest.raises(InvalidInputError, match="GPUs only"):
        Forecaster("cpu")
