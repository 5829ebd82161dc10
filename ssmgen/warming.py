"""Everything that calls will need, prepared ahead: `ssmgen.warmup`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from ssmgen.config import Config
from ssmgen.dispatch import compiled, kernels, resolve, resolve_training, say_if_untuned
from ssmgen.errors import FrozenError
from ssmgen.freezing import is_frozen
from ssmgen.kernels import Assumptions, interface
from ssmgen.problem import Option, Problem
from ssmgen.shapes import Fields, Wanted, wanted
from ssmgen.targets import Kernel, Target, default_target, driver
from ssmgen.targets import target as target_of

__all__ = ["Prepared", "warmup"]

Progress = Callable[["Prepared", int, int], None]
_DESCRIBED = (Problem, Wanted, Mapping)


@dataclass(frozen=True)
class Prepared:
    """One kernel that calls can use from now on.

    Attributes:
        problem: What it computes.
        target: The name of its target.
        config: Its config; None where no kernel serves the problem, so that the PyTorch reference does.
        how: Why it is that config: `exact`, `nearest`, ... as `Resolution.how` has it; `reference` without a config.
        is_loose: Whether it relies on no alignment, and so serves tensors of any strides, at any address.
        seconds: What it took to compile it, or to find it in the cache.
    """

    problem: Problem
    target: str
    config: Config | None
    how: str
    is_loose: bool = True
    seconds: float = 0.0


def warmup(
    problems: Iterable[Problem | Wanted | Fields | Callable[[], object]],
    *,
    training: bool = False,
    target: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[Prepared, ...]:
    """Choose, compile, load and once launch every kernel that calls will need, so that no first request waits for it.

        ssmgen.warmup([
            {"op": "selective_scan", "dim": 1536, "seqlen": 512, "dtype": "bf16", "z": True, "layout": "channel"},
            {"op": "linear_scan", "batch": 8, "dim": 256, "seqlen": 4096, "training": True},
            lambda: model.step(token, cache),
        ])
        ssmgen.freeze()

    What runs is what `ssmgen tune` has saved. Kernels are compiled several at a time, and kept on disk: what an
    earlier process has compiled, a later one only loads. How many CPU threads run a kernel is not fixed in it.

    Args:
        problems: Each of them a `Problem`, or one that `ssmgen.shapes` has read; or a mapping with the `op` and, where
            they are not what `ssmgen tune` takes by default, sizes (`batch`, `dim`, `seqlen`, ...), `dtype`, options
            and `training`; or a function whose calls of ops, and backward passes, are what is meant. Functions are
            called last, once, in their order and in this thread, and compile what they need one kernel after another.
        training: Whether gradients are wanted of the problems and mappings that do not say.
        target: What runs the problems and mappings; by default SSMGEN_TARGET, else the GPU that is there, else the
            CPU. For a GPU that is only named (`sm_90`), kernels are compiled and kept on disk, for an image, say.
        jobs: Most kernels to compile at a time; by default as many as there are cores.
        progress: Called in this thread with each kernel that is ready, its number and how many there are.

    Returns:
        What was prepared: every kernel of problems and mappings, and what functions have added. Of a GPU there are two
        for each problem, of which one relies on no alignment.

    Raises:
        InvalidInputError: A field of a mapping does not fit, or is no field.
        UnknownNameError: There is no such op, option, field or target.
        TargetUnavailableError: The target cannot be used here.
        CompileError: A compiler refused; what else was asked for is ready.
        FrozenError: This process is frozen.
    """
    if is_frozen():
        raise FrozenError("ssmgen is frozen, so that nothing can be prepared; unfreeze() first.")
    given = list(problems)
    place = target_of(target or default_target())
    needed = [
        each
        for item in given
        if isinstance(item, _DESCRIBED)
        for each in _needed(*_wanted(item, place, training), place)
    ]
    found = list(_compile(needed, place, jobs, progress))
    before = set(kernels())
    for example in given:
        if not isinstance(example, _DESCRIBED):
            example()
    added = {key: kernel for key, kernel in kernels().items() if key not in before}
    for name in dict.fromkeys(name for name, _, _ in added):
        # They rely on what the examples' tensors happened to have; calls may come with others.
        problems_there = [problem for there, problem, _ in added if there == name]
        found += _compile(problems_there, target_of(name), jobs, progress)
    return tuple(found)


def _wanted(item: Problem | Wanted | Fields, target: Target, training: bool) -> Wanted:
    """The forward problem that is meant, and whether its gradients are wanted."""
    if isinstance(item, Wanted):
        return item
    if isinstance(item, Problem):
        backward = item.direction == "backward" or item.has("saved")
        return Wanted(
            replace(item, direction="forward", options=_forward_options(item)), training or backward
        )
    return wanted(item, target.facts, training=training)


def _forward_options(problem: Problem) -> tuple[tuple[str, Option], ...]:
    optional = {f"d{name}" for name in interface(problem.op).optional_gradients}
    return tuple((name, False if name in optional else value) for name, value in problem.options)


def _needed(problem: Problem, training: bool, target: Target) -> Iterator[Problem]:
    """The problems of the kernels that calls of a forward problem need."""
    yield problem
    if not training:
        return
    forward, backward = (
        (problem, replace(problem, direction="backward"))
        if problem.has("saved")
        else resolve_training(problem, target)
    )
    yield forward
    if backward is not None:
        # Which of the optional gradients are wanted, each call says.
        names = [f"d{name}" for name in interface(problem.op).optional_gradients]
        for asked in itertools.product((False, True), repeat=len(names)):
            yield backward.with_options(**dict(zip(names, asked, strict=True)))


def _compile(
    problems: Iterable[Problem], target: Target, jobs: int | None, progress: Progress | None
) -> Iterator[Prepared]:
    """Compile what the problems need, several kernels at a time, and launch each when it is there."""
    reached = {problem: resolve(problem, target) for problem in problems}
    for problem, resolution in reached.items():
        if resolution is not None:
            # Here, not in a thread, whose lines nobody has written.
            say_if_untuned(problem, target, resolution)
    tasks = [(problem, assumed) for problem in reached for assumed in _assumptions(problem, target)]

    def compile_one(problem: Problem, assumed: Assumptions) -> tuple[Kernel | None, Prepared]:
        resolution = reached[problem]
        if resolution is None:
            return None, Prepared(problem, target.name, None, "reference")
        start = time.perf_counter()
        kernel = compiled(problem, target, resolution, assumed)
        seconds = time.perf_counter() - start
        found = Prepared(problem, target.name, resolution.config, resolution.how, not any(assumed), seconds)
        return kernel, found

    failure: Exception | None = None
    with _threads(target, jobs) as pool:
        futures = [pool.submit(compile_one, *task) for task in tasks]
        for done, future in enumerate(as_completed(futures), start=1):
            try:
                kernel, prepared = future.result()
            except Exception as error:  # the others are worth having
                failure = failure or error
                continue
            if kernel is not None and target.facts.present:
                _launch(kernel, target)
            if progress is not None:
                progress(prepared, done, len(tasks))
            yield prepared
    if failure is not None:
        raise failure


def _threads(target: Target, jobs: int | None) -> ThreadPoolExecutor:
    count = jobs or target_of("cpu").facts.max_threads
    if target.facts.present and target.device.type == "cuda":
        # Which device is current is each thread's own affair.
        return ThreadPoolExecutor(count, initializer=driver.set_device, initargs=(driver.current_device(),))
    return ThreadPoolExecutor(count)


def _assumptions(problem: Problem, target: Target) -> tuple[Assumptions, ...]:
    """What kernels are to rely on: what tensors fresh from PyTorch's allocator have, and nothing."""
    if target.language != "triton":
        return (Assumptions(),)
    return (interface(problem.op).assumptions(problem), Assumptions())


def _launch(kernel: Kernel, target: Target) -> None:
    """Launch a kernel on zeros: GPUs load what is launched, and OpenMP starts its threads."""
    face = interface(kernel.problem.op)
    operands = [operand.allocate(target.device).zero_() for operand in face.operands(kernel.problem)]
    for operand, tensor in zip(face.operands(kernel.problem), operands, strict=True):
        if operand.name == "cu_seqlens":
            tensor[-1] = kernel.problem["seqlen"]  # the last of the sequences holds all steps
    kernel.bind(face.bindings(kernel.problem, operands))(operands)
    target.synchronize()
