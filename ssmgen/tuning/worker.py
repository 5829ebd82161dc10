"""The process in which kernels are compiled, verified and timed, so that a bad one takes nothing else down.

Run as `python -m ssmgen.tuning.worker FD`. Requests carry problems and configs, never tensors: the operands are made
here. `ssmgen.tuning.process` is the other side.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from ssmgen.config import Config
from ssmgen.errors import CompileError, SsmgenError
from ssmgen.model import KernelCost, kernel_cost
from ssmgen.problem import Problem
from ssmgen.targets import Target, driver
from ssmgen.targets.gpu import GpuTarget
from ssmgen.tuning.blame import kind_of_error
from ssmgen.tuning.measure import Bench, FinalError, FinalTimes
from ssmgen.tuning.operands import compiled
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.tuning.verify import Verifier
from ssmgen.worker import LastAnswer, memory, serve

__all__ = ["Ahead", "Compile", "Count", "Final", "Prepare", "Reference", "Start", "Try"]


class Start(NamedTuple):
    """The first request: which target, by a function that can be imported, and under which conditions.

    Attributes:
        open_target: Turns the name into the target.
        name: The target's name.
        threads: CPU threads.
        gpu: Which GPU; None where the target is none.
        max_error: See `Verifier`.
        memory: Bytes that the process may take beyond what it starts with; None for as many as there are.
    """

    open_target: Callable[[str], Target]
    name: str
    threads: int
    gpu: int | None
    max_error: float | None
    memory: int | None = None


class Prepare(NamedTuple):
    """Make the operands and float64 results of a problem; answered by how inputs are cached while they are timed."""

    problem: Problem


class Reference(NamedTuple):
    """Time the reference once; answered by its seconds."""

    problem: Problem


class Compile(NamedTuple):
    """Compile configs, in parallel; answered by a `Trial` for each that fails."""

    problem: Problem
    configs: tuple[Config, ...]


class Ahead(NamedTuple):
    """Compile one config, for another process that takes it from the compiler's cache.

    Answered by a `Trial` if it fails, else by None.
    """

    problem: Problem
    config: Config


class Try(NamedTuple):
    """Verify and time one config, unless it clearly loses to the best so far; answered by a `Trial`.

    Attributes:
        problem: The problem.
        config: The config.
        best: Seconds of the fastest config so far.
        rival: That config; a partial answer says when the two are about to run in turns.
    """

    problem: Problem
    config: Config
    best: float | None
    rival: Config | None = None


class Count(NamedTuple):
    """Compile one config for a GPU, which need not be here; answered by a `KernelCost`, or a `Trial` that failed."""

    problem: Problem
    config: Config


class Final(NamedTuple):
    """Time configs in turns for some seconds, and the reference that many times.

    Answered by `FinalTimes`, or by a `Trial` for the first config that fails.
    """

    problem: Problem
    configs: tuple[Config, ...]
    seconds: float
    references: int


class _Worker:
    def __init__(self, target: Target, max_error: float | None) -> None:
        self._target = target
        self._max_error = max_error
        self._verifier: Verifier | None = None
        self._bench: Bench | None = None

    def answer(self, request: object, partial: Callable[[object], None]) -> object:
        """The answer to a request; `partial` sends what is known earlier."""
        match request:
            case Prepare(problem):
                return self._turn_to(problem)[1].conditions
            case Reference(problem):
                return self._turn_to(problem)[1].reference()
            case Compile(problem, configs):
                return self._compile(problem, configs, partial)
            case Ahead(problem, config):
                return self._uncompilable(Verifier(self._target, problem, self._max_error), config)
            case Try(problem, config, best, rival):
                return self._try(problem, config, best, rival, partial)
            case Count(problem, config):
                return self._count(problem, config)
            case Final(problem, configs, seconds, references):
                return self._final(problem, configs, seconds, references)
        raise AssertionError(f"unknown request {request!r}")

    def is_poisoned_by(self, error: Exception) -> bool:
        """Whether no later launch of this process can be trusted: a failed one on a GPU spoils the context."""
        return kind_of_error(error) in ("illegal access", "crash") and self._target.device.type == "cuda"

    def _turn_to(self, problem: Problem) -> tuple[Verifier, Bench]:
        if self._verifier is None or self._bench is None or self._bench.problem != problem:
            # The old operands go before the new ones come.
            self._verifier = self._bench = None
            try:
                verifier = Verifier(self._target, problem, self._max_error)
                bench = Bench(self._target, problem)
                verifier.prepare()
            except (MemoryError, RuntimeError) as error:
                if not memory.is_exhausted(error):
                    raise
                raise SsmgenError(
                    f"there is not enough memory for the operands and float64 results of {problem}; give smaller "
                    f"sizes of the same class, or free some ({error})."
                ) from error
            self._verifier, self._bench = verifier, bench
        return self._verifier, self._bench

    def _compile(
        self, problem: Problem, configs: tuple[Config, ...], partial: Callable[[object], None]
    ) -> tuple[Trial, ...]:
        verifier, _ = self._turn_to(problem)
        found = []
        # Compilers of C are processes, so threads are enough to run several.
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            futures = {pool.submit(self._uncompilable, verifier, config): config for config in configs}
            for future in as_completed(futures):
                partial(futures[future])
                trial = future.result()
                if trial is not None:
                    found.append(trial)
        return tuple(found)

    def _uncompilable(self, verifier: Verifier, config: Config) -> Trial | None:
        try:
            # A kernel may be compiled for its channels: all that `Try` will run is compiled here.
            for checked in dict.fromkeys((verifier.problem, *verifier.problems(config))):
                compiled(self._target, checked, config)
        except CompileError as error:
            return self._failed(config, error)
        return None

    def _try(
        self,
        problem: Problem,
        config: Config,
        best: float | None,
        rival: Config | None,
        partial: Callable[[object], None],
    ) -> Trial:
        verifier, bench = self._turn_to(problem)
        try:
            checked = verifier.verify(config)
            if checked.failure is not None:
                return Trial(config, None, checked.error, checked.failure, checked.detail)
            samples = bench.time(config, best, rival, lambda: partial(rival))
            return Trial(config, Timing.of(samples), checked.error)
        except Exception as error:
            return self._failed(config, error)

    def _failed(self, config: Config, error: Exception) -> Trial:
        """The trial of a config that raised this; what is no config's fault is raised again."""
        kind = kind_of_error(error)
        if kind is None:
            raise error
        detail = str(error) if isinstance(error, CompileError) else f"{type(error).__name__}: {error}"
        trial = Trial(config, failure=kind, detail=detail)
        if self.is_poisoned_by(error):
            # A launch failed on a GPU, after which nothing in this process can be trusted.
            raise LastAnswer(trial) from error
        return trial

    def _count(self, problem: Problem, config: Config) -> KernelCost | Trial:
        assert isinstance(self._target, GpuTarget), "only GPUs have a model"
        try:
            return kernel_cost(self._target, problem, config)
        except CompileError as error:
            return self._failed(config, error)

    def _final(
        self, problem: Problem, configs: tuple[Config, ...], seconds: float, references: int
    ) -> FinalTimes | Trial:
        bench = self._turn_to(problem)[1]
        try:
            return bench.final(configs, seconds, references)
        except FinalError as error:
            return self._failed(error.config, error.cause)


def _open(start: Start) -> _Worker:
    torch.set_num_threads(start.threads)
    if start.gpu is not None:
        driver.set_device(start.gpu)
    if start.memory is not None:
        memory.limit(start.memory)
    return _Worker(start.open_target(start.name), start.max_error)


def main(connection: Connection) -> None:
    """Answer requests until the other side closes."""
    serve(connection, _open)


if __name__ == "__main__":
    # Run as a script, this file is `__main__`; what is pickled must come from the module that the parent knows.
    from ssmgen.tuning import worker

    worker.main(Connection(int(sys.argv[1])))
