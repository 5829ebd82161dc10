"""Where configs are compiled before they are tried: on a CPU all together, for a GPU beside the one that is timed."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from ssmgen.config import Config
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.tuning import worker as requests
from ssmgen.tuning.blame import kind_of_death
from ssmgen.tuning.compilers import Compilers, answer
from ssmgen.tuning.patience import Patience
from ssmgen.tuning.process import Worker
from ssmgen.tuning.trial import Trial
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError

__all__ = ["Beforehand", "Beside", "Compiling"]

_COMPILE_SECONDS = (30.0, 120.0)  # a request that takes longer hangs: at least, and at most
_MOST_TOGETHER = 8


class Compiling(ABC):
    """Compiles configs of a problem, each before it is tried.

    Attributes:
        batch: Configs that are handed over together: as many as keep the cores busy, few enough to learn from.
    """

    batch: int

    @abstractmethod
    def ready(
        self, problem: Problem, configs: Sequence[Config], left: Callable[[], float]
    ) -> Generator[Config | Trial, None, None]:
        """Each config once it may be tried, or the trial of one that does not compile.

        Those that the budget leaves no time for do not come.

        Args:
            problem: The problem.
            configs: Its configs.
            left: Seconds that are left of the budget.
        """


class Beforehand(Compiling):
    """In the process that times them, all before the first is timed: what compiles keeps the cores from kernels."""

    def __init__(self, worker: Worker, revive: Callable[[], None]) -> None:
        """Compile in a worker; `revive` starts it anew where it has died."""
        self.batch = min(_MOST_TOGETHER, 2 * (os.cpu_count() or 1))
        self._worker = worker
        self._revive = revive
        self._patience = Patience(*_COMPILE_SECONDS)

    def ready(
        self, problem: Problem, configs: Sequence[Config], left: Callable[[], float]
    ) -> Generator[Config | Trial, None, None]:
        """See `Compiling.ready`."""
        failed = {trial.config: trial for trial in self._failed(problem, configs, left)}
        yield from failed.values()
        yield from (config for config in configs if config not in failed)

    def _failed(self, problem: Problem, configs: Sequence[Config], left: Callable[[], float]) -> list[Trial]:
        """The configs that do not compile; one that takes the worker down is found by compiling it alone."""
        unfinished = list(configs)

        def finished(config: object) -> None:
            assert isinstance(config, Config)
            unfinished.remove(config)

        is_cut = False
        try:
            self._revive()
            limit, is_cut = self._patience.limit(left())
            start = time.monotonic()
            found = self._worker.ask(requests.Compile(problem, tuple(configs)), limit, finished)
            assert isinstance(found, tuple)
            self._patience.learn(time.monotonic() - start)
            return list(found)
        except WorkerTimeoutError as error:
            kind, detail = "compile timeout", str(error)
            if is_cut:
                return []
        except WorkerDiedError as error:
            kind = kind_of_death(error, self._worker.memory, while_compiling=True)
            detail = str(error)
        if len(configs) == 1:
            return [Trial(configs[0], failure=kind, detail=detail)]
        return [trial for config in unfinished for trial in self._failed(problem, [config], left)]


class Beside(Compiling):
    """In processes of their own, while another times what is ready: kernels of a GPU leave the CPU alone.

    Triton keeps what they compile on disk, from where the process that launches it takes it.
    """

    def __init__(self, open_target: Callable[[str], Target], name: str, count: int) -> None:
        """Nothing runs yet.

        Args:
            open_target: See `Compilers`.
            name: See `Compilers`.
            count: Processes. The one that launches kernels wants a core, too.
        """
        self.batch = 2 * count
        self._compilers = Compilers(open_target, name, count)
        self._patience = Patience(*_COMPILE_SECONDS)

    def ready(
        self, problem: Problem, configs: Sequence[Config], left: Callable[[], float]
    ) -> Generator[Config | Trial, None, None]:
        """See `Compiling.ready`."""

        def compile_in(worker: Worker, config: Config) -> Config | Trial | None:
            return self._one(worker, requests.Ahead(problem, config), left)

        with closing(self._compilers.each(configs, compile_in)) as compiled:
            yield from (found for found in compiled if found is not None)

    def _one(
        self, worker: Worker, request: requests.Ahead, left: Callable[[], float]
    ) -> Config | Trial | None:
        limit, is_cut = self._patience.limit(left())
        was_alive, start = worker.is_alive, time.monotonic()
        trial = answer(worker, request, limit)
        assert trial is None or isinstance(trial, Trial)
        if not worker.is_alive:
            is_late = trial is not None and trial.failure == "compile timeout"
            return None if is_late and is_cut else trial
        if was_alive:
            # The start of a process says nothing of how long configs take.
            self._patience.learn(time.monotonic() - start)
        return trial or request.config

    def close(self) -> None:
        """End the processes."""
        self._compilers.close()
