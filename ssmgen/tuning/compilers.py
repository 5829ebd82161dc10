"""Processes that compile configs for a GPU, which need not be here; another launches what they compile, or none."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import TypeVar

from ssmgen.config import Config
from ssmgen.targets import Target
from ssmgen.tuning.blame import kind_of_death
from ssmgen.tuning.process import Worker
from ssmgen.tuning.trial import Trial
from ssmgen.tuning.worker import Ahead, Count
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError

__all__ = ["Compilers", "answer"]

T = TypeVar("T")


class Compilers:
    """As many processes as there are configs at a time; each config goes to the first that is free."""

    def __init__(self, open_target: Callable[[str], Target], name: str, most: int) -> None:
        """Nothing runs yet.

        Args:
            open_target: Turns the name into the target, by its import path in the processes.
            name: A target that compiles for the device and needs none, such as its architecture.
            most: Processes, at most.
        """
        self._open_target = open_target
        self._name = name
        self._most = most
        self._workers: list[Worker] = []

    def each(
        self, configs: Sequence[Config], compile_in: Callable[[Worker, Config], T]
    ) -> Generator[T, None, None]:
        """What becomes of each config, in the order in which they are done.

        Args:
            configs: The configs, one at least.
            compile_in: Has a process compile one of them.
        """
        while len(self._workers) < min(len(configs), self._most):
            self._workers.append(Worker(self._open_target, self._name))
        free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            free.put(worker)

        def one(config: Config) -> T:
            worker = free.get()
            try:
                return compile_in(worker, config)
            finally:
                free.put(worker)

        pool = ThreadPoolExecutor(len(self._workers))
        waiting = [pool.submit(one, config) for config in configs]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            # Whoever stops listening, by Ctrl-C or for want of time, waits for no compiler.
            for future in waiting:
                future.cancel()
            if not all(future.done() for future in waiting):
                for worker in self._workers:
                    worker.end()
            pool.shutdown()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()


def answer(worker: Worker, request: Ahead | Count, limit: float) -> object:
    """A process's answer, or the trial of a config that it does not survive, or not in so many seconds."""
    try:
        return worker.ask(request, limit)
    except WorkerTimeoutError as error:
        return Trial(request.config, failure="compile timeout", detail=str(error))
    except WorkerDiedError as error:
        kind = kind_of_death(error, worker.memory, while_compiling=True)
        return Trial(request.config, failure=kind, detail=str(error))
