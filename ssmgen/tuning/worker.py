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
from ssmgen.tuning.measure import Bench, FinalTimes
from ssmgen.tuning.operands import compiled
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.tuning.verify import Verifier
from ssmgen.worker import LastAnswer, serve

__all__ = ["Compile", "Count", "Final", "Prepare", "Reference", "Start", "Try"]


class Start(NamedTuple):
    """The first request: which target, by a function that can be imported, and under which conditions.

    Attributes:
        open_target: Turns the name into the target.
        name: The target's name.
        threads: CPU threads.
        gpu: Which GPU; None where the target is none.
        max_error: See `Verifier`.
    """

    open_target: Callable[[str], Target]
    name: str
    threads: int
    gpu: int | None
    max_error: float | None


class Prepare(NamedTuple):
    """Make the operands and float64 results of a problem; answered by how inputs are cached while they are timed."""

    problem: Problem


class Reference(NamedTuple):
    """Time the reference once; answered by its seconds."""

    problem: Problem


class Compile(NamedTuple):
    """Compile configs, in parallel where the compiler is a process of its own; a `Trial` for each that fails."""

    problem: Problem
    configs: tuple[Config, ...]


class Try(NamedTuple):
    """Verify and time one config, unless it clearly loses to the best so far; answered by a `Trial`.

    Attributes:
        problem: The problem.
        config: The config.
        best: Seconds of the fastest config so far.
        rival: That config.
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
    """Time configs in turns for some seconds, and the reference that many times; answered by `FinalTimes`."""

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
            case Try(problem, config, best, rival):
                return self._try(problem, config, best, rival)
            case Count(problem, config):
                return self._count(problem, config)
            case Final(problem, configs, seconds, references):
                return self._final(problem, configs, seconds, references)
        raise AssertionError(f"unknown request {request!r}")

    def is_poisoned_by(self, error: Exception) -> bool:
        """Whether no later launch of this process can be trusted: a failed one on a GPU spoils the context."""
        spoils = _is_of_launch(error) and not _is_out_of_resources(error)
        return spoils and self._target.device.type == "cuda"

    def _turn_to(self, problem: Problem) -> tuple[Verifier, Bench]:
        if self._verifier is None or self._bench is None or self._bench.problem != problem:
            # The old operands go before the new ones come.
            self._verifier = self._bench = None
            self._verifier = Verifier(self._target, problem, self._max_error)
            self._bench = Bench(self._target, problem)
            self._verifier.prepare()
        return self._verifier, self._bench

    def _compile(
        self, problem: Problem, configs: tuple[Config, ...], partial: Callable[[object], None]
    ) -> tuple[Trial, ...]:
        verifier, _ = self._turn_to(problem)

        def failure(config: Config) -> Trial | None:
            try:
                # A kernel may be compiled for its channels: all that `Try` will run is compiled here.
                for checked in dict.fromkeys((problem, *verifier.problems(config))):
                    compiled(self._target, checked, config)
            except CompileError as error:
                return Trial(config, failure="compile error", detail=str(error))
            return None

        found = []
        # C compilers are processes, so threads are enough to run several; Triton compiles in this one.
        threads = (os.cpu_count() or 1) if self._target.language == "c" else 1
        with ThreadPoolExecutor(threads) as pool:
            futures = {pool.submit(failure, config): config for config in configs}
            for future in as_completed(futures):
                partial(futures[future])
                trial = future.result()
                if trial is not None:
                    found.append(trial)
        return tuple(found)

    def _try(self, problem: Problem, config: Config, best: float | None, rival: Config | None) -> Trial:
        verifier, bench = self._turn_to(problem)
        try:
            checked = verifier.verify(config)
            if checked.failure is not None:
                return Trial(config, None, checked.error, checked.failure, checked.detail)
            return Trial(config, Timing.of(bench.time(config, best, rival)), checked.error)
        except CompileError as error:
            return Trial(config, failure="compile error", detail=str(error))
        except Exception as error:
            if not _is_of_launch(error):
                raise
            if _is_out_of_resources(error):
                return Trial(config, failure="out of resources", detail=str(error))
            trial = Trial(config, failure="crash", detail=f"{type(error).__name__}: {error}")
            if self.is_poisoned_by(error):
                # A launch failed on a GPU, after which nothing in this process can be trusted.
                raise LastAnswer(trial) from error
            return trial

    def _count(self, problem: Problem, config: Config) -> KernelCost | Trial:
        assert isinstance(self._target, GpuTarget), "only GPUs have a model"
        try:
            return kernel_cost(self._target, problem, config)
        except CompileError as error:
            return Trial(config, failure="compile error", detail=str(error))

    def _final(
        self, problem: Problem, configs: tuple[Config, ...], seconds: float, references: int
    ) -> FinalTimes:
        return self._turn_to(problem)[1].final(configs, seconds, references)


def _is_out_of_resources(error: Exception) -> bool:
    """Whether the device lacked memory, shared memory or registers, which spoils nothing else."""
    if type(error).__name__ == "OutOfResources" or isinstance(error, torch.OutOfMemoryError):
        return True
    return "too many resources requested" in str(error)


def _is_of_launch(error: Exception) -> bool:
    """Whether the kernel, and not this program, is to blame: drivers raise RuntimeError, Triton errors of its own.

    Those are known by name, so that a machine without Triton can ask.
    """
    if isinstance(error, SsmgenError):
        return False
    return isinstance(error, RuntimeError) or any(
        base.__name__ == "TritonError" for base in type(error).__mro__
    )


def _open(start: Start) -> _Worker:
    torch.set_num_threads(start.threads)
    if start.gpu is not None:
        driver.set_device(start.gpu)
    return _Worker(start.open_target(start.name), start.max_error)


def main(connection: Connection) -> None:
    """Answer requests until the other side closes."""
    serve(connection, _open)


if __name__ == "__main__":
    # Run as a script, this file is `__main__`; what is pickled must come from the module that the parent knows.
    from ssmgen.tuning import worker

    worker.main(Connection(int(sys.argv[1])))
