"""What a sweep varies, over which sizes, and which of them are not worth trying."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, prod

from ssmgen.bench.result import Point
from ssmgen.bench.task import Job, Task
from ssmgen.dtypes import dtype
from ssmgen.errors import InvalidInputError, unknown
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.targets.cpu import cpu_facts
from ssmgen.worker.memory import available

__all__ = ["LONG_SWEEP_DIM", "SWEEPS", "jobs_of", "outlook", "too_large"]

# The sizes of each sweep, by the flag of the command line; threads are up to what the machine has.
SWEEPS = {
    "seqlen": (128, 512, 2048, 8192, 32768, 131072, 524288, 1048576),
    "dim": (16, 64, 256, 1024, 4096, 16384),
    "d_state": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "threads": (1, 2, 4, 8, 16, 32, 64),
}
LONG_SWEEP_DIM = 64  # channels of a sweep over lengths: a million steps of them fit a laptop
_RUNS = 4  # what a cell runs at the least: checked, warm, its memory, timed
_SHARE_OF_MEMORY = 0.8
_LEAST_SLOPE, _MOST_SLOPE = 1.0, 3.0


def jobs_of(problem: Problem, mode: str, sweep: str | None, threads: int | None) -> list[Job]:
    """What is to be timed of a problem: itself, or itself at each size of a sweep.

    Args:
        problem: A forward problem.
        mode: One of `MODES`.
        sweep: One of `SWEEPS`, or None.
        threads: CPU threads; of a sweep over them the most. None for as many as there are cores.

    Raises:
        UnknownNameError: There is no such sweep.
        InvalidInputError: The op has no such size, or no gradients.
    """
    count = threads or cpu_facts().max_threads
    if sweep is None:
        return [Job(Task(problem, mode, count))]
    if sweep not in SWEEPS:
        raise unknown("sweep", sweep, SWEEPS)
    if sweep == "threads":
        return [Job(Task(problem, mode, size), size) for size in SWEEPS[sweep] if size <= count]
    return [Job(Task(_with_size(problem, sweep, size), mode, count), size) for size in SWEEPS[sweep]]


def _with_size(problem: Problem, sweep: str, size: int) -> Problem:
    names = [name for name, _ in problem.dims]
    if sweep == "seqlen" and "nodes" in names:
        return problem.with_dims(nodes=size // 2 + 1)
    if sweep == "dim" and "rows" in names:
        return problem.with_dims(rows=size)
    if sweep == "d_state" and "poles" in names:
        return problem.with_dims(poles=size)
    if sweep not in names:
        raise InvalidInputError(
            f"{problem.op} has no {sweep}: leave it out of this sweep, or sweep something else."
        )
    return problem.with_dims(**{sweep: size})


def too_large(task: Task) -> str | None:
    """Why the inputs alone do not fit, or None; they are drawn in float64, one at a time."""
    free = available()
    if free is None:
        return None
    operands = interface(task.problem.op).operands(task.problem)
    largest = max(16 if dtype(x.dtype).is_complex else 8 for x in operands) * max(
        prod(x.shape) for x in operands
    )
    # What the process that times it holds, and the results in float64 of what is checked.
    needed = task.bytes + 2 * largest
    if needed <= _SHARE_OF_MEMORY * free:
        return None
    return f"operands need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"


def outlook(provider: str, value: int, before: Sequence[Point], seconds: float) -> str | None:
    """Why a provider should not be tried at the next size, by what it took at smaller ones; None where it should.

    Args:
        provider: Its name.
        value: The next size.
        before: The points of the same op at smaller sizes.
        seconds: What there is for it.
    """
    rows = [(point.value, row) for point in before if (row := point.row(provider)) is not None]
    if rows and rows[-1][1].status == "failed":
        return f"failed at {rows[-1][0]:,}"
    if rows and rows[-1][1].reason.startswith("would"):
        return rows[-1][1].reason
    done = [(size, row) for size, row in rows if size is not None and row.seconds is not None]
    if not done:
        return None
    time = _extrapolated([(size, row.seconds or 0.0) for size, row in done], value)
    if _RUNS * time > seconds:
        return f"would take about {time:.1f} s a run at {value:,}: too long for its share of the budget"
    memory = _extrapolated([(size, float(row.memory)) for size, row in done if row.memory], value)
    free = available()
    if free is not None and memory > _SHARE_OF_MEMORY * free:
        return f"would take about {memory / 2**30:.1f} GiB at {value:,}, of which {free / 2**30:.1f} GiB are free"
    return None


def _extrapolated(known: Sequence[tuple[int, float]], value: int) -> float:
    """By the slope of the last two in logarithms, which overheads and noise must not make absurd."""
    if not known:
        return 0.0
    size, last = known[-1]
    slope = _LEAST_SLOPE
    if len(known) > 1 and known[-2][1] > 0 and last > 0:
        slope = log(last / known[-2][1]) / log(size / known[-2][0])
    slope = min(max(slope, _LEAST_SLOPE), _MOST_SLOPE)
    return float(last * (value / size) ** slope)
