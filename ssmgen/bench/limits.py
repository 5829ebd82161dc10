"""How fast this machine could be: the body of a kernel's inner loop with everything in registers, and its memory.

The bodies are rendered from the vector functions of the C kernels, with the same polynomials. A task cannot take less
than its elements through the body, nor less than its bytes through memory.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ssmgen.bench.task import Task
from ssmgen.codegen import Source, render
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.c.poles import reciprocal_choices
from ssmgen.kernels.c.vectors import lane_choices, vector_context
from ssmgen.targets import driver
from ssmgen.targets.compiler import find_compiler
from ssmgen.targets.cpu import cpu_facts, load_library
from ssmgen.tuning.measure import last_level_cache

__all__ = ["Limit", "Speeds", "bodies", "sample_bandwidth", "sample_bodies"]

_SECONDS = 4e-3  # of one run of a body: enough to wake threads, too little for the scheduler
_TRIAL_STEPS = 20_000
# States, and vectors of nodes, that a body keeps in registers; the fastest counts.
_STATES = (2, 4, 8)
_GRADIENT_STATES = (1, 2, 4)
_NODES = (1, 2, 4)
_SMALLEST_ARRAY = 32 << 20  # bytes of each of the triad's three


@dataclass(frozen=True)
class Limit:
    """The least time that a task can take here.

    Attributes:
        compute: Seconds of its elements in the bodies; None where no body is known for the op.
        memory: Seconds of its bytes.
        per_element: Seconds of one element in each body, by the body's name.
        bandwidth: Bytes in a second.
    """

    compute: float | None
    memory: float
    per_element: Mapping[str, float]
    bandwidth: float

    @property
    def seconds(self) -> float | None:
        """The larger of the two; None where only one is known, which would flatter nobody."""
        return None if self.compute is None else max(self.compute, self.memory)


class Speeds:
    """Samples of the bodies and of the memory, gathered between the rounds of a task.

    The best ones count: a limit is what the machine can do, and what disturbs it only makes the rest look worse.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bodies: dict[str, float] = {}
        self._bandwidth: list[float] = []

    def add(self, bodies: Mapping[str, float], bandwidth: float) -> None:
        """One sample of each: seconds of an element in the fastest variant of a body, and bytes in a second."""
        for body, seconds in bodies.items():
            self._bodies[body] = min(seconds, self._bodies.get(body, seconds))
        self._bandwidth.append(bandwidth)

    def limit(self) -> Limit | None:
        """The limit by what has been sampled; None before the first sample."""
        if not self._bandwidth:
            return None
        bandwidth, per_element = max(self._bandwidth), self._bodies
        needed = bodies(self._task)
        compute = None
        if needed is not None and all(body in per_element for body in needed):
            compute = self._task.elements * sum(per_element[body] for body in needed)
        return Limit(compute, self._task.bytes / bandwidth, per_element, bandwidth)


def bodies(task: Task) -> tuple[str, ...] | None:
    """The bodies that each element of a task passes through; None where the op's is not known.

    A linear scan has one multiplication and addition for each element: its limit is memory.
    """
    problem = task.problem
    directions = {"forward": ("scan",), "backward": ("gradient",), "training": ("scan", "gradient")}
    match problem.op:
        case "linear_scan" if not dtype(problem.dtype).is_complex:
            return ()
        case "selective_scan" if not problem.has("complex"):
            return directions[task.mode]
        case "selective_state_update" if not problem.has("tied"):
            return ("scan",)
        case "cauchy_mult" if problem.has("symmetric") and task.mode == "forward":
            return ("imaginary",) if problem.has("imaginary") else ("cauchy",)
    return None


def sample_bodies(task: Task) -> dict[str, float]:
    """Seconds of an element in the fastest variant of each body of a task, with all of its threads at work.

    Raises:
        TargetUnavailableError: There is no compiler.
    """
    found: dict[str, float] = {}
    lanes = lane_choices(task.problem, cpu_facts())[0]
    for body in bodies(task) or ():
        for variant, (library, name, width) in _variants(task, body, lanes).items():
            function = library[name]
            function.restype = ctypes.c_double
            steps = _steps(body, variant, lanes, task)
            seconds = _timed(function, steps, task.threads) / (steps * width * task.threads)
            found[body] = min(seconds, found.get(body, seconds))
    return found


def _variants(task: Task, body: str, lanes: int) -> dict[str, tuple[ctypes.CDLL, str, int]]:
    """By name: the library, the function, and the elements of one step of a thread."""
    counts = {"scan": _STATES, "gradient": _GRADIENT_STATES}.get(body, _NODES)
    reciprocals = reciprocal_choices(task.problem) if body in ("cauchy", "imaginary") else ("divide",)
    if not cpu_facts().arch.startswith("x86_64"):
        reciprocals = ("divide",)
    return {
        f"{body}_{count} {reciprocal}": (
            _library(accumulate(task.problem.dtype), lanes, reciprocal),
            f"{body}_{count}",
            count * lanes,
        )
        for reciprocal in reciprocals
        for count in counts
    }


_known_steps: dict[tuple[str, str, int], int] = {}


def _steps(body: str, variant: str, lanes: int, task: Task) -> int:
    """Steps that take one thread some milliseconds."""
    key = (variant, accumulate(task.problem.dtype), lanes)
    if key not in _known_steps:
        library, name, _ = _variants(task, body, lanes)[variant]
        function = library[name]
        function.restype = ctypes.c_double
        trial = min(_timed(function, _TRIAL_STEPS, 1) for _ in range(5))
        _known_steps[key] = int(_TRIAL_STEPS * max(1.0, _SECONDS / max(trial, 1e-9)))
    return _known_steps[key]


def _timed(function: ctypes._NamedFuncPointer, steps: int, threads: int) -> float:
    start = time.perf_counter()
    function(ctypes.c_int64(steps), ctypes.c_int64(threads))
    return time.perf_counter() - start


@cache
def _library(kind: str, lanes: int, reciprocal: str) -> ctypes.CDLL:
    return load_library(find_compiler(), source(kind, lanes, reciprocal), cpu_facts())


def source(kind: str, lanes: int, reciprocal: str = "divide") -> Source:
    """The C of the bodies for vectors of `lanes` numbers of a dtype; those with reciprocals for complex dtypes."""
    is_complex = dtype(kind).is_complex
    context = {
        **vector_context(kind, lanes),
        "reciprocal": reciprocal,
        "scan_states": () if is_complex else _STATES,
        "gradient_states": () if is_complex else _GRADIENT_STATES,
        "node_vectors": _NODES if is_complex else (),
    }
    heading = (f"Bodies of kernels in registers, and the triad; {kind}, {lanes} lanes.",)
    return render("c", "limits.c.j2", "limits", heading, context)


_arrays: list[Tensor] = []


def sample_bandwidth(device: torch.device, threads: int) -> float:
    """Bytes in a second by STREAM's triad, whose three arrays count once each, on a CPU or a GPU."""
    if not _arrays:
        count = max(2 * last_level_cache(device), _SMALLEST_ARRAY) // 8
        _arrays.extend(torch.ones(count, dtype=torch.float64, device=device) for _ in range(3))
    a, b, c = _arrays
    if device.type == "cuda":
        start, end = driver.event(), driver.event()
        start.record()
        torch.add(b, c, alpha=3, out=a)
        end.record()
        driver.synchronize()
        return 24 * a.numel() / driver.elapsed(start, end)
    function = _library("fp64", 4, "divide").triad
    pointers = [ctypes.c_void_p(x.data_ptr()) for x in (a, b, c)]
    begin = time.perf_counter()
    function(*pointers, ctypes.c_int64(a.numel()), ctypes.c_int64(threads))
    return 24 * a.numel() / (time.perf_counter() - begin)
