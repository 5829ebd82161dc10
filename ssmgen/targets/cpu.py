"""The CPU: generated C, compiled by the system's compiler, loaded with ctypes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from ssmgen.codegen import Source
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.errors import CompileError, TargetUnavailableError, unknown
from ssmgen.kernels import Assumptions, Launch, Program, Variant, Workspace, interface
from ssmgen.problem import Problem
from ssmgen.targets.compiler import Compiler, find_compiler
from ssmgen.targets.target import Kernel, Runner, Target

__all__ = ["CpuKernel", "CpuTarget", "cpu_facts", "load_library"]

_STAGES = ("source", "c", "asm")


class CpuKernel(Kernel):
    """A compiled C source.

    Its functions take one pointer, to a struct of the launch's pointers in the order of its arguments, then its
    scalars as int64, then the number of threads as int64: one foreign call with one argument costs least.

    Attributes:
        compiler: What compiled it.
        library: Where the compiled library lies.
        functions: The functions, in the order of the program's launches.
    """

    def __init__(
        self,
        problem: Problem,
        config: Config,
        source: Source,
        program: Program,
        compiler: Compiler,
        library: ctypes.CDLL,
    ) -> None:
        super().__init__(problem, config, source, program)
        self.compiler = compiler
        self.library = Path(library._name)
        self.functions = []
        for launch in program.launches:
            function = library[launch.function]
            function.argtypes = [ctypes.c_char_p]
            function.restype = None
            self.functions.append(function)

    @property
    def stages(self) -> tuple[str, ...]:
        """The C source, under two names, and its assembly."""
        return _STAGES

    def stage(self, name: str) -> str:
        """See `Kernel.stage`."""
        if name in ("source", "c"):
            return self.source.text
        if name == "asm":
            return self.compiler.assembly(self.source)
        raise unknown("stage of target cpu", name, _STAGES)

    def bind(self, scalars: Mapping[str, int]) -> Runner:
        """See `Kernel.bind`."""
        operands = [operand.name for operand in interface(self.problem.op).operands(self.problem)]
        workspaces = [workspace.name for workspace in self.program.workspaces]
        calls = [
            _prepare(launch, function, (*operands, *workspaces), scalars)
            for launch, function in zip(self.program.launches, self.functions, strict=True)
        ]
        if workspaces:
            return _with_workspaces(calls, self.program.workspaces)
        if len(calls) == 1:
            return calls[0]
        return _in_order(calls)


def _prepare(
    launch: Launch, function: Callable[[bytes], None], tensors: Sequence[str], scalars: Mapping[str, int]
) -> Runner:
    pointers = [tensors.index(name) for name in launch.arguments if name in tensors]
    values = [scalars[name] for name in launch.arguments if name not in tensors]
    pack = struct.Struct(f"={len(pointers)}Q").pack
    threads, address = torch.get_num_threads, torch.Tensor.data_ptr
    ends: dict[int, bytes] = {}  # scalars and number of threads, by that number

    def end(count: int) -> bytes:
        ends[count] = struct.pack(f"={len(values) + 1}q", *values, count)
        return ends[count]

    if pointers == list(range(len(tensors))):

        def run_all(tensors: Sequence[torch.Tensor]) -> None:
            count = threads()
            function(pack(*map(address, tensors)) + (ends.get(count) or end(count)))

        return run_all

    def run(tensors: Sequence[torch.Tensor]) -> None:
        count = threads()
        function(pack(*[address(tensors[index]) for index in pointers]) + (ends.get(count) or end(count)))

    return run


def _in_order(calls: Sequence[Runner]) -> Runner:
    def run(tensors: Sequence[torch.Tensor]) -> None:
        for call in calls:
            call(tensors)

    return run


def _with_workspaces(calls: Sequence[Runner], workspaces: Sequence[Workspace]) -> Runner:
    made = [(workspace.shape, dtype(workspace.dtype).torch) for workspace in workspaces]

    def run(tensors: Sequence[torch.Tensor]) -> None:
        every = [*tensors, *(torch.empty(shape, dtype=kind, device="cpu") for shape, kind in made)]
        for call in calls:
            call(every)

    return run


class CpuTarget(Target):
    """The CPU this process runs on. The compiler is looked up when something is compiled."""

    language: ClassVar[str] = "c"
    stages: ClassVar[tuple[str, ...]] = _STAGES

    def __init__(self) -> None:
        super().__init__(cpu_facts())

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> CpuKernel:
        """See `Target.compile`. Nothing is assumed: loads of vectors are unaligned ones."""
        compiler = find_compiler()
        source = variant.source(problem, config)
        library = load_library(compiler, source, self.facts)
        return CpuKernel(problem, config, source, variant.program(problem, config), compiler, library)

    def versions(self) -> dict[str, str]:
        """Torch and, where there is one, the compiler."""
        try:
            return {**super().versions(), "cc": find_compiler().version}
        except TargetUnavailableError:
            return super().versions()


def load_library(compiler: Compiler, source: Source, facts: DeviceFacts) -> ctypes.CDLL:
    """The library of a source, compiled for this machine unless it is cached.

    Raises:
        CompileError: The compiler refused, or what it makes cannot be loaded.
    """
    machine = f"{facts.name} {facts.arch} {_instruction_sets()}"
    path = compiler.library(source, machine)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        # Cut short by a full disk, or built where the cache was shared with another system: build it anew, once.
        path.unlink(missing_ok=True)
    path = compiler.library(source, machine)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompileError(
            f"{path} was compiled but cannot be loaded ({error}); check that {compiler.path} builds for this machine "
            "and that its OpenMP library is installed, or set SSMGEN_CC."
        ) from error


def cpu_facts() -> DeviceFacts:
    """What is known of this CPU, without a compiler."""
    sets = set(_instruction_sets().split())
    machine = platform.machine().lower()
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= sets:
        arch, lanes, registers = f"{machine}-avx512", 16, 32
    elif {"avx2", "fma"} <= sets:
        arch, lanes, registers = f"{machine}-avx2", 8, 16
    elif machine in ("aarch64", "arm64"):
        arch, lanes, registers = "aarch64-neon", 4, 32
    else:
        arch, lanes, registers = machine or "unknown", 4, 16
    return DeviceFacts("cpu", _model(), arch, lanes, _usable_cores(), registers, present=True)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """The first processor in /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _instruction_sets() -> str:
    info = _cpuinfo()
    return info.get("flags") or info.get("Features") or ""


def _model() -> str:
    """The model's name, with family and model where the name alone ("AMD EPYC") covers several generations."""
    info = _cpuinfo()
    name = info.get("model name") or platform.processor() or platform.machine() or "unknown CPU"
    if "cpu family" in info and "model" in info:
        return f"{name} family {info['cpu family']} model {info['model']}"
    if "CPU part" in info:
        return f"{name} implementer {info.get('CPU implementer', '?')} part {info['CPU part']}"
    return name
