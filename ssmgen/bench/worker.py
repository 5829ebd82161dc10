"""The process in which one provider runs, so that none disturbs, or takes down, another.

Run as `python -m ssmgen.bench.worker FD`. Requests carry tasks, never tensors: the inputs are drawn here, and the
float64 results are read from a file.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssmgen.bench.limits import sample_bandwidth, sample_bodies
from ssmgen.bench.memory import growth
from ssmgen.bench.provider import Call, Provider
from ssmgen.bench.task import Task, draw, expected
from ssmgen.kernels import oracle
from ssmgen.targets import driver
from ssmgen.targets.gpu_timing import seconds_of
from ssmgen.tuning.measure import last_level_cache
from ssmgen.worker import memory, serve

__all__ = ["Expect", "Failed", "Prepare", "Prepared", "Round", "Start", "Survey", "Surveyed"]

_SHARE_OF_MEMORY = 0.8
_MOST_SETS, _MOST_BYTES = 64, 1 << 30
_MOST_RUNS = 50
_GRAIN = 1 << 16  # bytes that pages and the allocator's own blocks may hide


class Start(NamedTuple):
    """The first request.

    Attributes:
        open_provider: Turns the name into the provider; a function that can be imported.
        name: The provider's name; empty for a process that surveys the machine.
        threads: CPU threads.
        device: `cpu`, or `cuda` and the index of the GPU.
    """

    open_provider: Callable[[str], Provider]
    name: str
    threads: int
    device: str


class Expect(NamedTuple):
    """Compute the float64 results of a task, and write them to a file."""

    task: Task
    path: Path


class Prepare(NamedTuple):
    """Make calls of a task, check one against the results in a file, and measure its memory; a `Prepared`.

    Attributes:
        task: What will be timed.
        checked: What is checked: the same, or something shorter.
        path: The float64 results of `checked`.
    """

    task: Task
    checked: Task
    path: Path


class Prepared(NamedTuple):
    """What is known of a provider before its rounds.

    Attributes:
        errors: Relative error of each result.
        memory: Bytes that a run adds at its peak; None where that is unknown.
        seconds: Of one run, warm.
        note: What a reader should know.
        sets: Sets of inputs that runs take by turns.
        version: The provider's version.
    """

    errors: dict[str, float]
    memory: int | None
    seconds: float
    note: str
    sets: int
    version: str


class Round(NamedTuple):
    """Time what was prepared for about so many seconds, once at least; answered by the seconds of each run."""

    seconds: float


class Survey(NamedTuple):
    """Sample what the machine can do for a task; answered by a `Surveyed`."""

    task: Task


class Surveyed(NamedTuple):
    """Seconds of an element in each body, and bytes in a second."""

    bodies: dict[str, float]
    bandwidth: float


class Failed(NamedTuple):
    """The answer where a provider does not do what it should: a kind that can be counted, and what was said."""

    kind: str
    detail: str


class _Worker:
    def __init__(self, start: Start) -> None:
        self._start = start
        self._device = torch.device(start.device)
        self._provider = start.open_provider(start.name) if start.name else None
        self._calls: Sequence[Call] = ()
        self._task: Task | None = None

    def answer(self, request: object, partial: Callable[[object], None]) -> object:
        """See `Server`."""
        try:
            match request:
                case Expect(task, path):
                    torch.save(expected(task, self._device), path)
                    return None
                case Survey(task):
                    bodies = sample_bodies(task) if self._device.type == "cpu" else {}
                    return Surveyed(bodies, sample_bandwidth(self._device, task.threads))
                case Prepare():
                    return self._prepare(request)
                case Round(seconds):
                    return self._round(seconds)
        except Exception as error:
            # Whatever another's code raises is a row of the table.
            return self._failed("out of memory" if memory.is_exhausted(error) else "error", error)
        raise AssertionError(f"unknown request {request!r}")

    def is_poisoned_by(self, error: Exception) -> bool:
        """See `Server`."""
        return False

    def _failed(self, kind: str, error: BaseException) -> Failed:
        self._calls = ()
        said = " ".join(str(error).split())
        return Failed(kind, f"{type(error).__name__}: {said}"[:500])

    def _prepare(self, request: Prepare) -> Prepared:
        assert self._provider is not None
        self._calls = ()
        if self._device.type == "cpu":
            most = memory.share(_SHARE_OF_MEMORY)
            if most is not None:
                memory.limit(most)
        task, provider = request.task, self._provider
        inputs = draw(request.checked, self._device)
        call = provider.call(request.checked, inputs)
        errors = self._errors(call, request.path)
        if request.checked != task:
            inputs = draw(task, self._device)
            call = provider.call(task, inputs)
            self._once(call)
        call.before()
        start = time.perf_counter()
        grown, found = growth(lambda: self._waited(call), self._device)
        seconds = time.perf_counter() - start
        # A run holds its results at the least: where it did not, the allocator had kept what the run before gave back.
        held = sum(_size(x) for name, x in call.results(found).items() if name not in inputs)
        if grown is not None and grown + _GRAIN < held:
            grown = None
        del found
        size = sum(_size(x) for x in inputs.values())
        count = self._sets(task, size)
        copies = ({name: x.clone() for name, x in inputs.items()} for _ in range(count - 1))
        self._calls, self._task = [call, *(provider.call(task, copy) for copy in copies)], task
        return Prepared(errors, grown, seconds, provider.note(task), count, provider.version())

    def _errors(self, call: Call, path: Path) -> dict[str, float]:
        """Relative errors of a first run, for which everything is compiled."""
        wanted: dict[str, Tensor] = torch.load(path, weights_only=True)
        call.before()
        found: Mapping[str, Any] = call.results(self._waited(call))
        return {name: oracle.relative_error(found[name], x) for name, x in wanted.items()}

    def _sets(self, task: Task, size: int) -> int:
        """Sets of inputs that do not fit the last-level cache together; one where another empties it."""
        if self._device.type != "cpu":
            return 1
        wanted = -(-2 * last_level_cache(self._device) // max(min(size, task.bytes), 1))
        return max(1, min(wanted, _MOST_SETS, _MOST_BYTES // max(size, 1)))

    def _once(self, call: Call) -> float:
        call.before()
        start = time.perf_counter()
        self._waited(call)
        return time.perf_counter() - start

    def _waited(self, call: Call) -> Any:
        found = call.run()
        if self._device.type == "cuda":
            driver.synchronize()
        return found

    def _round(self, seconds: float) -> list[float]:
        """Runs on one set of inputs after another; a short first one, for which threads wake up, does not count."""
        assert self._task is not None
        turns = itertools.cycle(self._calls)
        if self._device.type == "cuda" and self._task.mode == "forward":
            call = next(turns)
            call.before()
            return seconds_of(call.run, max(1, min(_MOST_RUNS, int(seconds / self._once(call)))), call.before)
        first = self._once(next(turns))
        if first > seconds:
            return [first]  # so long that how it began does not matter
        end = time.perf_counter() + seconds
        found: list[float] = []
        while not found or (len(found) < _MOST_RUNS and time.perf_counter() < end):
            found.append(self._once(next(turns)))
        return found


def _size(x: Tensor) -> int:
    return x.numel() * x.element_size()


def _open(start: Start) -> _Worker:
    # What no provider's own number of threads can exceed: those of XLA follow the cores that a process may use.
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: start.threads])
    torch.set_num_threads(start.threads)
    device = torch.device(start.device)
    if device.type == "cuda":
        driver.set_device(device.index or 0)
    # Providers say much on import, and a config that is not tuned is in the note.
    warnings.simplefilter("ignore")
    return _Worker(start)


def main(connection: Connection) -> None:
    """Answer requests until the other side closes."""
    serve(connection, _open)


if __name__ == "__main__":
    # Run as a script, this file is `__main__`; what is pickled must come from the module that the parent knows.
    from ssmgen.bench import worker

    worker.main(Connection(int(sys.argv[1])))
