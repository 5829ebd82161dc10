"""A Triton source compiled for a GPU, which need not be here: its stages, and its launches."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch

from ssmgen.codegen import Source
from ssmgen.config import Config
from ssmgen.dtypes import dtype
from ssmgen.errors import CompileError, FrozenError, TargetUnavailableError, unknown
from ssmgen.freezing import is_frozen
from ssmgen.kernels import Assumptions, Launch, Program, interface
from ssmgen.kernels.interface import SMALL_BYTES
from ssmgen.problem import Problem
from ssmgen.targets import driver
from ssmgen.targets.target import Kernel, Runner
from ssmgen.targets.triton_source import (
    function_of,
    import_source,
    source_of,
    tensor_dtypes,
    with_workspaces,
)

__all__ = ["STAGES", "TritonKernel"]

STAGES = {
    "cuda": ("source", "ttir", "ttgir", "llir", "ptx", "sass"),
    "hip": ("source", "ttir", "ttgir", "llir", "amdgcn"),
}
_MESSAGE_LINES = 20
_GRID_LIMIT = 65535  # blocks along y and z; x takes 2^31 - 1


# What was compiled for a device, by everything it depends on. Never dropped: Triton unloads a binary with the object
# that holds it, but a captured graph, or a launch still in flight, may need it longer than the plan that made it.
_COMPILED: dict[tuple[object, ...], Any] = {}


class TritonKernel(Kernel):
    """The compiled launches of a program.

    Parameters are typed by name: operands and workspaces are pointers (to the real part's type where they are
    complex), sizes are 32-bit and strides 64-bit integers.
    """

    def __init__(
        self,
        problem: Problem,
        config: Config,
        source: Source,
        program: Program,
        gpu: Any,
        assumed: Assumptions | None,
        present: bool,
    ) -> None:
        """Compile every launch.

        Args:
            problem: The exact problem.
            config: Its config.
            source: The rendered Triton.
            program: The launches.
            gpu: Triton's `GPUTarget` to compile for.
            assumed: See `Target.compile`. Workspaces are ours, so that they are always aligned.
            present: Whether the GPU is here.
        """
        super().__init__(problem, config, source, program)
        self._gpu = gpu
        self._present = present
        if assumed is None:
            assumed = interface(problem.op).assumptions(problem)
        self._assumed = _of_all(assumed, program)
        device = driver.current_device() if present else None
        self._compiled = self._compile(device)
        # A loaded binary belongs to one device, so each has its own.
        self._by_device = {device: self._compiled}

    @property
    def compiled(self) -> tuple[Any, ...]:
        """What Triton made of each launch of the program."""
        return tuple(self._compiled)

    @property
    def stages(self) -> tuple[str, ...]:
        """From the source to what the assembler wrote."""
        return STAGES[self._gpu.backend]

    def stage(self, name: str) -> str:
        """See `Kernel.stage`."""
        if name not in self.stages:
            raise unknown(f"stage of a {self._gpu.backend} kernel", name, self.stages)
        if name == "source":
            return self.source.text
        texts = [self._text(compiled, name) for compiled in self._compiled]
        if len(texts) == 1:
            return texts[0]
        named = zip(self.program.launches, texts, strict=True)
        return "\n".join(f"// {launch.function}\n{text}" for launch, text in named)

    def _text(self, compiled: Any, stage: str) -> str:
        try:
            return str(compiled.asm[stage])
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            raise CompileError(
                f"{self.source.name}: {stage} cannot be read ({error}); Triton's wheel brings cuobjdump and nvdisasm: "
                "reinstall it, or set TRITON_CUOBJDUMP_PATH."
            ) from error

    def bind(self, scalars: Mapping[str, int]) -> Runner:
        """See `Kernel.bind`. The runner launches on the device of the operands, in its current stream."""
        if not self._present:
            raise TargetUnavailableError(
                f"a kernel for {self._gpu.arch} cannot be launched: that GPU is only named. Read the kernel with "
                "`ssmgen show --target`, and launch it on a machine that has the GPU."
            )
        names = tuple(tensor_dtypes(self.problem, self.program))
        slots = [_slots(launch, names, scalars) for launch in self.program.launches]
        complete = with_workspaces(self.program)
        loaded: dict[int, list[tuple[Callable[..., None], list[tuple[int, int]]]]] = {}

        def load(device: int) -> list[tuple[Callable[..., None], list[tuple[int, int]]]]:
            self._require_same_gpu(device)
            handles = [
                driver.load(item, launch.grid)
                for item, launch in zip(self._compiled_for(device), self.program.launches, strict=True)
            ]
            loaded[device] = list(zip(handles, slots, strict=True))
            return loaded[device]

        def launch(tensors: Sequence[torch.Tensor], device: int) -> None:
            every = complete(tensors)
            for handle, arguments in loaded.get(device) or load(device):
                handle(*[value if index < 0 else every[index] for index, value in arguments])

        def run(tensors: Sequence[torch.Tensor]) -> None:
            device = tensors[0].get_device()
            if device == driver.current_device():
                launch(tensors, device)
            else:
                with driver.guard(device):
                    launch(tensors, device)

        return run

    def _require_same_gpu(self, device: int) -> None:
        """Raise a `TargetUnavailableError` where the current device is not of the kind that this was compiled for."""
        found = driver.gpu()
        if found != self._gpu:
            raise TargetUnavailableError(
                f"device {device} is a {found.arch}, but kernels are chosen and compiled for {self._gpu.arch}, the "
                "device that was current first; use GPUs of one kind in a process (CUDA_VISIBLE_DEVICES selects)."
            )

    def _compiled_for(self, device: int) -> list[Any]:
        if device not in self._by_device:
            if is_frozen():
                raise FrozenError(
                    f"ssmgen is frozen, and {self.problem} is not prepared for device {device}. Before freeze(), "
                    "call ssmgen.warmup, or the op itself, while that is the current device."
                )
            self._by_device[device] = self._compile(device)
        return self._by_device[device]

    def _compile(self, device: int | None) -> list[Any]:
        module = import_source(self.source)
        return [
            self._compile_launch(function_of(module, launch), launch, device)
            for launch in self.program.launches
        ]

    def _compile_launch(self, function: Any, launch: Launch, device: int | None) -> Any:
        from triton import compile as compile_ast

        where = f"{self.source.name}, {launch.function} ({self.source.path()})"
        if max(launch.grid[1:]) > _GRID_LIMIT:
            raise CompileError(
                f"{where}: a grid of {launch.grid} blocks; GPUs launch at most {_GRID_LIMIT} along y and z: "
                "split the call along its batch."
            )
        constants = {**self._compiled_in(launch), **dict(launch.constants)}
        signature = {name: self._type(name) for name in launch.arguments}
        signature |= dict.fromkeys(constants, "constexpr")
        attributes = {
            (position,): found
            for position, name in enumerate(launch.arguments)
            if name not in constants and (found := self._attributes(name))
        }
        # Said aloud because the default of Triton changes in 3.10.
        options = {"enable_fp_fusion": True, **dict(launch.options)}
        if waves := self._param("waves", 0):
            options["waves_per_eu"] = waves
        key = (
            device,
            self._gpu,
            self.source.path(),
            launch.function,
            tuple(signature.items()),
            tuple(constants.items()),
            repr(attributes),
            tuple(options.items()),
        )
        if key in _COMPILED:
            return _COMPILED[key]
        try:
            source = source_of(function, signature, constants, attributes)
            _COMPILED[key] = compile_ast(source, target=self._gpu, options=options)
            return _COMPILED[key]
        except Exception as error:
            # Whatever the compiler raises, its assertions among it, is about this kernel alone.
            lines = [line for line in str(error).splitlines() if line.strip()]
            said = "\n".join(lines[:_MESSAGE_LINES]) or type(error).__name__
            raise CompileError(f"{where}: Triton refused for {self._gpu.arch}:\n{said}") from error

    def _compiled_in(self, launch: Launch) -> dict[str, int]:
        """The strides that are known."""
        fresh = interface(self.problem.op).fresh_bindings(self.problem) if launch.dense else {}
        return {name: fresh[name] for name in launch.dense if name in self._assumed.dense}

    def _param(self, name: str, default: int) -> int:
        """A param that only some GPUs have."""
        return self.config.integer(name) if name in dict(self.config.params) else default

    def _attributes(self, name: str) -> list[list[Any]]:
        """What the compiler is told of an argument beside its type."""
        found: list[list[Any]] = [["tt.divisibility", 16]] if name in self._assumed.aligned else []
        # AMD's buffer instructions: one base for all lanes, offsets of 32 bits, and no branch around what is masked.
        if self._gpu.backend == "hip" and self._param("buffer", 1) and name in self._assumed.small:
            found.append(["tt.pointer_range", 32])
        return found

    def _type(self, name: str) -> str:
        tensors = tensor_dtypes(self.problem, self.program)
        if name in tensors:
            return f"*{dtype(tensors[name]).triton}"
        dims = {dim for dim, _ in self.problem.dims}
        if name not in interface(self.problem.op).scalars(self.problem):
            raise CompileError(
                f"{self.source.name}: {name} is no operand, workspace or scalar of {self.problem.op}; correct the "
                "variant's program."
            )
        return "i32" if name in dims else "i64"


def _of_all(assumed: Assumptions, program: Program) -> Assumptions:
    """What holds for operands and workspaces."""
    sizes = {item.name: prod(item.shape) * dtype(item.dtype).itemsize for item in program.workspaces}
    small = {name for name, size in sizes.items() if size <= SMALL_BYTES}
    return assumed._replace(aligned=assumed.aligned | sizes.keys(), small=assumed.small | small)


def _slots(launch: Launch, names: Sequence[str], scalars: Mapping[str, int]) -> list[tuple[int, int]]:
    """(index of a tensor, 0) or (-1, value) for each parameter; launchers take the constants too, and skip them."""
    tensors_and_sizes = [
        (names.index(name), 0) if name in names else (-1, scalars[name]) for name in launch.arguments
    ]
    return tensors_and_sizes + [(-1, value) for _, value in launch.constants]
