"""What a target promises, as checks that run on it: results, the same bits twice, times; streams, graphs, devices.

Tests run them on a stand-in for a GPU and on real ones, `ssmgen doctor --self-test` on whatever is there.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ssmgen import ops, targets
from ssmgen.config import Config
from ssmgen.dispatch import resolve_training
from ssmgen.errors import SsmgenError, UntunedWarning
from ssmgen.kernels import INTERFACES, interface, oracle
from ssmgen.problem import Option, Problem
from ssmgen.targets import Target, driver
from ssmgen.targets.compiler import find_compiler
from ssmgen.tuning.operands import allocate, compiled, runner
from ssmgen.tuning.verify import Verifier

__all__ = [
    "Case",
    "Figures",
    "Outcome",
    "SelfTestError",
    "cases",
    "check_compiles",
    "check_devices",
    "check_graph",
    "check_op_in_graph",
    "check_repeats",
    "check_results",
    "check_stream",
    "check_times",
    "present_targets",
    "small_problems",
]

# Sizes and strides that are multiples of 16, which kernels are specialised for, and odd ones.
_EVEN = {"batch": 2, "dim": 48, "seqlen": 32, "rows": 4, "nodes": 32, "poles": 8}
_ODD = {
    "batch": 3,
    "dim": 39,
    "seqlen": 33,
    "rows": 5,
    "nodes": 33,
    "poles": 7,
    "slots": 4,
    "tokens": 2,
    "heads": 2,
}
_BUSY = 256 << 20  # bytes that a GPU fills in no less time than a launch takes
_RUNS = 5


class SelfTestError(SsmgenError, AssertionError):
    """A target does not keep a promise; the message says which, with the numbers."""


@dataclass(frozen=True)
class Figures:
    """The worst relative error of a result, by Frobenius norms, and the most that it may be."""

    error: float
    tolerance: float


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        figures: Where the case compares results.
        failure: What is wrong; empty where nothing is.
        seconds: How long it took.
    """

    figures: Figures | None
    failure: str
    seconds: float


@dataclass(frozen=True)
class Case:
    """One check of one config.

    Attributes:
        target: The target's name.
        check: What is checked, in a word or two.
        problem: The problem.
        config: The config; None where the op chooses.
        run: Runs the check.
    """

    target: str
    check: str
    problem: Problem
    config: Config | None
    run: Callable[[], Figures | None]

    def outcome(self) -> Outcome:
        """Run the case; what it raises is its failure."""
        start = time.perf_counter()
        figures, failure = None, ""
        try:
            figures = self.run()
        except SelfTestError as error:
            failure = str(error)
        except Exception as error:  # whatever a kernel or a driver does is for the table, not the end of it
            failure = f"{type(error).__name__}: {error}"
        return Outcome(figures, failure, time.perf_counter() - start)


def present_targets() -> tuple[Target, ...]:
    """The targets here that serve calls with kernels."""
    found = []
    for name in ("cpu", "cuda", "hip"):
        # What is missing, a compiler say, is for the diagnosis to tell.
        with contextlib.suppress(SsmgenError):
            if name == "cpu":
                find_compiler()
            found.append(targets.target(name))
    return tuple(found)


def cases(target: Target, names: Sequence[str] = tuple(INTERFACES)) -> Iterator[Case]:
    """Every check of a target: of each op, forward and backward, and of a few configs of each variant.

    Args:
        target: What is checked.
        names: The ops.
    """
    for op in names:
        problems = small_problems(target, op)
        for problem in problems:
            configs, verifier = _configs(target, problem), _QuickVerifier(target, problem)
            yield Case(target.name, "compiles", problem, None, partial(check_compiles, verifier, configs))
            for config in configs:
                for check, run in (
                    ("results", partial(check_results, verifier, config)),
                    ("same bits twice", partial(check_repeats, target, problem, config)),
                ):
                    yield Case(target.name, check, problem, config, run)
            if problem == problems[0]:
                config = target.space(problem).default()
                for check, function in _launch_checks(target).items():
                    yield Case(
                        target.name, check, problem, config, partial(function, target, problem, config)
                    )
    if target.device.type == "cuda" and "linear_scan" in names:
        problem = small_problems(target, "linear_scan")[0]
        yield Case(target.name, "op in a graph", problem, None, partial(check_op_in_graph, target))


def _launch_checks(target: Target) -> dict[str, Callable[[Target, Problem, Config], Figures | None]]:
    """The checks of how the target launches and times, which one config of each op shows."""
    if target.device.type != "cuda":
        return {"times": check_times}
    several = {"devices": check_devices} if driver.count() > 1 else {}
    return {"times": check_times, "stream": check_stream, "graph": check_graph, **several}


def small_problems(target: Target, op: str) -> tuple[Problem, ...]:
    """Small problems that the target has kernels for: with an op's usual options and with others, both directions."""
    face = interface(op)
    options: dict[str, Option] = {name: values[0] for name, values in face.options.items()}
    usual, other = (
        Problem.of(op, {name: sizes.get(name, size) for name, size in face.dims.items()}, dtype, options)
        for dtype, sizes in zip(face.dtypes, (_EVEN, _ODD), strict=False)
    )
    # How often states are saved is for training to choose.
    for name in [name for name in face.options if name != "saved"]:
        further = (other.with_options(**{name: value}) for value in reversed(face.options[name]))
        other = next((problem for problem in further if len(target.space(problem))), other)
    found = []
    for problem in (usual, other):
        if len(target.space(problem)):
            trained, backward = resolve_training(problem, target)
            found += [problem, trained, *([] if backward is None else [backward])]
    return tuple(dict.fromkeys(found))


def _configs(target: Target, problem: Problem) -> list[Config]:
    """The default of each variant; in C, which compiles quickly, also the ends of its configs for usual options."""
    space, is_in_c = target.space(problem), target.language == "c"
    is_usual = problem.dtype == interface(problem.op).dtypes[0]
    if not is_usual and not is_in_c:
        return [space.default()]
    found = []
    for variant in space.variants:
        valid = space.configs[variant.name]
        default = variant.default(problem, space.facts)
        found += [default] if default in valid else []
        found += [*valid[:1], *valid[-1:]] if is_usual and is_in_c else []
    return list(dict.fromkeys(found))


class _QuickVerifier(Verifier):
    """A verifier that leaves out the longest of the awkward problems, whose float64 results take most of the time."""

    def problems(self, config: Config) -> tuple[Problem, ...]:
        *awkward, real = super().problems(config)
        return (*awkward[:2], real)


def check_compiles(verifier: Verifier, configs: Sequence[Config]) -> None:
    """Every config compiles for all that it is verified on; those in C in parallel."""

    def compile_all(config: Config) -> None:
        for problem in dict.fromkeys(verifier.problems(config)):
            compiled(verifier.target, problem, config)

    # C compilers are processes, so threads are enough to run several; Triton compiles in this one.
    with ThreadPoolExecutor((os.cpu_count() or 1) if verifier.target.language == "c" else 1) as pool:
        list(pool.map(compile_all, configs))


def check_results(verifier: Verifier, config: Config) -> Figures:
    """On awkward sizes, ordinary and harsh inputs: right to the tolerance, nothing else written, no input changed."""
    found = verifier.verify(config)
    if found.failure is not None:
        raise SelfTestError(f"{found.failure}: {found.detail}")
    return Figures(max(found.error.values()), oracle.tolerance(verifier.problem))


def check_repeats(target: Target, problem: Problem, config: Config) -> None:
    """Two runs on equal operands leave equal bits."""
    once, twice = _Operands(target, problem), _Operands(target, problem)
    once.run(config)
    twice.run(config)
    target.synchronize()
    for name, first, second in zip(once.names, once.tensors, twice.tensors, strict=True):
        if not torch.equal(_bits(first), _bits(second)):
            raise SelfTestError(f"{name} differs between two runs on equal operands")


def check_times(target: Target, problem: Problem, config: Config) -> None:
    """Every run takes some time, and all together no more than passed meanwhile; operands are restored after each."""
    operands = _Operands(target, problem)
    run = operands.runner(config)
    run(operands.tensors)
    target.synchronize()
    restored = 0

    def restore() -> None:
        nonlocal restored
        restored += 1
        operands.fill()

    start = time.perf_counter()
    seconds = target.time(lambda: run(operands.tensors), _RUNS, restore)
    passed = time.perf_counter() - start
    if len(seconds) != _RUNS or restored < _RUNS:
        raise SelfTestError(f"{_RUNS} runs gave {len(seconds)} times and were restored {restored} times")
    if min(seconds) <= 0 or sum(seconds) > passed:
        listed = ", ".join(f"{1e6 * value:.1f}" for value in seconds)
        raise SelfTestError(f"runs are said to take {listed} us; {1e6 * passed:.1f} us passed meanwhile")


def check_stream(target: Target, problem: Problem, config: Config) -> Figures:
    """In a stream that is not the default one, a launch waits for what was asked of that stream before."""
    operands = _Operands(target, problem)
    run = operands.runner(config)
    run(operands.tensors)
    operands.poison()
    target.synchronize()
    with driver.side_stream():
        # In any other stream the launch would find the operands as they are before this has passed.
        busy = driver.memory(_BUSY)
        for _ in range(20):
            busy.zero_()
        operands.fill()
        run(operands.tensors)
    return operands.figures()


def check_graph(target: Target, problem: Problem, config: Config) -> Figures:
    """A captured graph, replayed, computes from what its operands hold then."""
    operands = _Operands(target, problem)
    run = operands.runner(config)
    with driver.side_stream():
        run(operands.tensors)
        replay = driver.capture(lambda: run(operands.tensors))
    operands.draw(seed=1)
    replay()
    return operands.figures()


def check_op_in_graph(target: Target) -> Figures:
    """The same of a call of an op, whose outputs the graph's own memory holds."""
    problem = small_problems(target, "linear_scan")[0]
    before, after = (oracle.sample(problem, seed, target.device) for seed in (0, 1))
    outputs: list[Tensor] = []

    def call() -> None:
        outputs[:] = [ops.linear_scan(before["a"], before["b"], target=target.name)]

    with warnings.catch_warnings(), driver.side_stream():
        warnings.simplefilter("ignore", UntunedWarning)
        call()
        replay = driver.capture(call)
    for name in ("a", "b"):
        before[name].copy_(after[name])
    replay()
    target.synchronize()
    return _figures(problem, {"out": outputs[0]}, oracle.expected(problem, after))


def check_devices(target: Target, problem: Problem, config: Config) -> None:
    """A runner that was bound once runs on every device of the kind, in its current stream, to the same bits."""
    first = _Operands(target, problem)
    run = first.runner(config)
    run(first.tensors)
    kind, current = driver.gpu(), driver.current_device()
    for device in range(driver.count()):
        with driver.guard(device):
            is_alike = driver.gpu() == kind
        if device == current or not is_alike:
            continue
        there = _Operands(target, problem, torch.device(target.device.type, device))
        with driver.guard(device), driver.side_stream(), driver.guard(current):
            run(there.tensors)
        if driver.current_device() != current:
            raise SelfTestError(f"a launch on device {device} left device {driver.current_device()} current")
        for name, mine, theirs in zip(first.names, first.tensors, there.tensors, strict=True):
            if not torch.equal(_bits(mine.cpu()), _bits(theirs.cpu())):
                raise SelfTestError(f"{name} differs between device {current} and device {device}")


class _Operands:
    """Operands of a problem: inputs with a sample's values, outputs NaN."""

    def __init__(self, target: Target, problem: Problem, device: torch.device | None = None) -> None:
        self._target = target
        self._problem = problem
        self._device = device or target.device
        self._inputs = oracle.sample(problem, 0, self._device)
        self.tensors: Sequence[Tensor] = allocate(problem, self._inputs, self._device)
        self.names = [operand.name for operand in interface(problem.op).operands(problem)]
        self.fill()

    def runner(self, config: Config) -> targets.Runner:
        """The config's runner, bound to operands like these."""
        return runner(self._target, self._problem, config, self.tensors)

    def run(self, config: Config) -> None:
        self.runner(config)(self.tensors)

    def fill(self) -> None:
        """Give inputs their values and make outputs NaN."""
        for name, tensor in zip(self.names, self.tensors, strict=True):
            if name in self._inputs:
                tensor.copy_(self._inputs[name])
            else:
                tensor.fill_(float("nan"))

    def poison(self) -> None:
        """Make everything NaN but offsets, which a kernel follows wherever they lead."""
        for tensor in self.tensors:
            if tensor.is_floating_point() or tensor.is_complex():
                tensor.fill_(float("nan"))

    def draw(self, seed: int) -> None:
        """Give inputs other values."""
        self._inputs = oracle.sample(self._problem, seed, self._device)
        self.fill()

    def figures(self) -> Figures:
        """The error of the outputs against float64."""
        self._target.synchronize()
        outputs = dict(zip(self.names, self.tensors, strict=True))
        return _figures(self._problem, outputs, oracle.expected(self._problem, self._inputs))


def _figures(problem: Problem, outputs: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Figures:
    errors = {name: oracle.relative_error(outputs[name], wanted) for name, wanted in expected.items()}
    worst, limit = max(errors, key=errors.__getitem__), oracle.tolerance(problem)
    if not errors[worst] <= limit:
        raise SelfTestError(f"{worst} is off by {errors[worst]:.1e}, more than {limit:.0e}")
    return Figures(errors[worst], limit)


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8)
