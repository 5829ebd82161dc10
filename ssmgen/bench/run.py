"""A benchmark as it runs: every provider in a process of its own, rounds interleaved between them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ssmgen.bench.limits import Speeds
from ssmgen.bench.provider import Provider
from ssmgen.bench.result import Observer, Point, Result, Row
from ssmgen.bench.sweep import outlook, too_large
from ssmgen.bench.task import Job, Task
from ssmgen.bench.worker import Expect, Failed, Prepare, Prepared, Round, Start, Survey, Surveyed
from ssmgen.tuning.measure import busy_seconds
from ssmgen.worker import Process, WorkerDiedError, WorkerTimeoutError

__all__ = ["Bench"]

_ROUND_SECONDS = 0.1  # of each provider in each round
_ROUNDS = (3, 20)  # the fewest are for what takes less than a second
_SHORT = 1.0
_OVERRUN = 0.25  # of what is left for others, to get ready
_ANSWER_SECONDS = 20.0  # beyond what a round should take
_EXPECT_SECONDS = 120.0


@dataclass
class _Cell:
    """A provider that is ready for rounds, and what is known of it."""

    process: Process
    row: Row
    seconds: float
    samples: list[float] = field(default_factory=list)
    used: float = 0.0
    failure: Failed | None = None

    def result(self) -> Row:
        """The row as the rounds have left it."""
        if self.failure is None:
            return replace(self.row, samples=tuple(self.samples))
        return replace(self.row, status="failed", reason=_said(self.failure))


class Bench:
    """The conditions of a run; a context manager that ends its processes."""

    def __init__(
        self,
        providers: Sequence[Provider],
        open_provider: Callable[[str], Provider],
        *,
        device: str = "cpu",
        budget_seconds: float = 300.0,
        limit_seconds: float = 60.0,
        observer: Observer | None = None,
    ) -> None:
        """Nothing starts yet.

        Args:
            providers: Who takes part, in the order of tables.
            open_provider: Turns a name into a provider, in another process: a function that can be imported.
            device: `cpu`, or `cuda` and the index of the GPU.
            budget_seconds: For everything; what does not fit is skipped, and says so.
            limit_seconds: For a provider to be ready: imported, compiled, checked, its memory measured.
            observer: Told how it goes.
        """
        self._providers = tuple(providers)
        self._open = open_provider
        self._device = device
        self._budget = budget_seconds
        self._limit = limit_seconds
        self._observer = observer or Observer()
        self._processes: dict[tuple[str, int], Process] = {}
        self._deadline = 0.0

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()

    def run(self, jobs: Sequence[Job], sweep: str | None = None) -> Result:
        """Run all jobs; Ctrl-C keeps those that are done."""
        start = time.monotonic()
        self._deadline = start + self._budget
        points: list[Point] = []
        present = [provider for provider in self._providers if provider.missing() is None]
        absent = [
            (provider.name, why, provider.install)
            for provider in self._providers
            if (why := provider.missing()) is not None
        ]
        interrupted = False
        with tempfile.TemporaryDirectory(prefix="ssmgen-bench-") as folder:
            try:
                for number, job in enumerate(jobs):
                    end = time.monotonic() + self._share(number, len(jobs), sweep)
                    self._observer.started(job.task, number, len(jobs), end)
                    point = self._point(job, points, present, end, Path(folder))
                    points.append(point)
                    self._observer.finished(point)
            except KeyboardInterrupt:
                interrupted = True
        return Result(points, absent, sweep, time.monotonic() - start, interrupted)

    def _share(self, number: int, total: int, sweep: str | None) -> float:
        """Seconds of the rest of the budget for a job; the later ones of a sweep are larger."""
        left = max(0.0, self._deadline - time.monotonic())
        weights = [1.0 if sweep is None else 1.0 + k for k in range(total)]
        return left * weights[number] / sum(weights[number:])

    def _point(
        self, job: Job, before: Sequence[Point], present: Sequence[Provider], end: float, folder: Path
    ) -> Point:
        task, checked, path = job.task, job.task.checked, folder / "expected.pt"
        reason = too_large(task) if self._device == "cpu" else None
        if reason is None:
            self._observer.checking(checked)
            reason = self._expect(checked, path)
        ready: dict[str, _Cell] = {}
        rows: dict[str, Row] = {}
        for provider in present:
            why = reason or self._against(provider, job, before, end)
            if why is not None:
                rows[provider.name] = Row(provider.name, "skipped", why)
                if job.value is not None:
                    self._end(provider.name)  # larger sizes need the memory that it holds
                continue
            self._observer.preparing(provider.name)
            found = self._prepare(provider, Prepare(task, checked, path))
            if isinstance(found, _Cell):
                ready[provider.name] = found
            else:
                rows[provider.name] = found
        speeds = Speeds(task)
        others = self._rounds(task, list(ready.values()), speeds, end)
        rows |= {name: cell.result() for name, cell in ready.items()}
        ordered = tuple(rows[provider.name] for provider in present)
        return Point(task, ordered, speeds.limit(), checked, others, job.value)

    def _against(self, provider: Provider, job: Job, before: Sequence[Point], end: float) -> str | None:
        """Why a provider is not tried on a job, or None."""
        why = provider.refuses(job.task, self._device.partition(":")[0])
        if why is not None:
            return why
        now = time.monotonic()
        if now > self._deadline - 1:
            return "the budget was spent"
        # What is left of the budget is for those after it, too.
        if now > end + _OVERRUN * max(0.0, self._deadline - end):
            return "its share of the budget was spent"
        if job.value is None:
            return None
        same = [point for point in before if point.task.problem.op == job.task.problem.op]
        return outlook(provider.name, job.value, same, max(end - now, 0.0) / 2)

    def _process(self, name: str, threads: int) -> Process:
        """The process of a provider; those for another number of threads end, for they would hold its memory twice."""
        key = (name, threads)
        if key not in self._processes:
            self._end(name)
            count = str(threads)
            environment = {f"{library}_NUM_THREADS": count for library in ("OMP", "MKL", "NUMBA", "OPENBLAS")}
            start = Start(self._open, name, threads, self._device)
            self._processes[key] = Process("ssmgen.bench.worker", lambda: start, environment)
        return self._processes[key]

    def _end(self, name: str) -> None:
        for key in [key for key in self._processes if key[0] == name]:
            self._processes.pop(key).kill()

    def _ask(self, process: Process, request: object, limit: float) -> object:
        """The answer, or a `Failed` where the process did not live to give one."""
        try:
            return process.ask(request, limit)
        except WorkerTimeoutError:
            return Failed("timeout", f"not done within {limit:.0f} s")
        except WorkerDiedError as error:
            return Failed("crash", str(error))

    def _expect(self, checked: Task, path: Path) -> str | None:
        limit = min(_EXPECT_SECONDS, max(1.0, self._deadline - time.monotonic()))
        answer = self._ask(self._process("", checked.threads), Expect(checked, path), limit)
        return None if answer is None else f"no float64 results to check it with ({_said(answer)})"

    def _prepare(self, provider: Provider, request: Prepare) -> _Cell | Row:
        process = self._process(provider.name, request.task.threads)
        limit = min(self._limit, max(1.0, self._deadline - time.monotonic()))
        answer = self._ask(process, request, limit)
        if not isinstance(answer, Prepared):
            return Row(provider.name, "failed", _said(answer), version=provider.version())
        row = Row(
            provider.name,
            "done",
            errors=answer.errors,
            memory=answer.memory,
            sets=answer.sets,
            note=answer.note,
            version=answer.version,
        )
        return _Cell(process, row, answer.seconds)

    def _rounds(self, task: Task, cells: list[_Cell], speeds: Speeds, end: float) -> float | None:
        """Rounds until the time is over, each starting with another provider; other processes' share meanwhile."""
        if not cells:
            return None
        fewest, most = _ROUNDS
        begin = time.monotonic()
        fair = max(0.0, end - begin) / len(cells)
        with self._disturbance() as others:
            for number in range(most):
                now = time.monotonic()
                short = [] if now > self._deadline else [x for x in cells if x.seconds < _SHORT]
                ready = cells if number == 0 else short if number < fewest else []
                ready = [
                    x for x in cells if x.failure is None and (x in ready or (now < end and x.used < fair))
                ]
                if not ready:
                    break
                self._observer.round(number + 1, len(ready))
                for cell in ready[number % len(ready) :] + ready[: number % len(ready)]:
                    self._round(cell)
                self._survey(task, speeds)
        return others[0] if others else None

    def _round(self, cell: _Cell) -> None:
        begin = time.monotonic()
        limit = _ANSWER_SECONDS + 10 * max(cell.seconds, _ROUND_SECONDS)
        answer = self._ask(cell.process, Round(_ROUND_SECONDS), limit)
        cell.used += time.monotonic() - begin
        if isinstance(answer, list):
            cell.samples += answer
        else:
            assert isinstance(answer, Failed)
            cell.failure = answer

    def _survey(self, task: Task, speeds: Speeds) -> None:
        answer = self._ask(self._process("", task.threads), Survey(task), _ANSWER_SECONDS)
        if isinstance(answer, Surveyed):
            speeds.add(answer.bodies, answer.bandwidth)

    @contextlib.contextmanager
    def _disturbance(self) -> Iterator[list[float]]:
        """Cores that processes of others used within it, in the list after it; nothing where that is unknown."""
        found: list[float] = []
        busy, own, begin = busy_seconds(), self._own_seconds(), time.monotonic()
        yield found
        now, took = busy_seconds(), time.monotonic() - begin
        if busy is not None and now is not None and took > 0:
            found.append(max(0.0, now - busy - (self._own_seconds() - own)) / took)

    def _own_seconds(self) -> float:
        own = os.times()
        return own.user + own.system + sum(process.busy_seconds() for process in self._processes.values())


def _said(answer: object) -> str:
    assert isinstance(answer, Failed), answer
    return f"{answer.kind}: {answer.detail}"
