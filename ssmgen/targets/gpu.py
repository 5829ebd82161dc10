"""GPUs, through Triton: those that are here, and those that are only named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import CompileError, TargetUnavailableError
from ssmgen.kernels import Assumptions, Variant
from ssmgen.problem import Problem
from ssmgen.targets import driver
from ssmgen.targets.architectures import ARCHITECTURES, architecture
from ssmgen.targets.gpu_timing import seconds_of
from ssmgen.targets.target import Target
from ssmgen.targets.triton_kernel import STAGES, TritonKernel
from ssmgen.targets.triton_source import require_triton

__all__ = ["GpuTarget"]


class GpuTarget(Target):
    """A GPU: `present` here, to launch and time on, or only `named`, to compile for and inspect.

    One object serves all devices of a kind: its facts are those of the device that was current when it was made,
    and kernels are compiled for that device's architecture.
    """

    language: ClassVar[str] = "triton"

    def __init__(self, facts: DeviceFacts, gpu: Any, name: str | None = None) -> None:
        super().__init__(facts)
        self._gpu = gpu
        self._name = name

    @property
    def name(self) -> str:
        """See `Target.name`."""
        return self._name or super().name

    @staticmethod
    def named(name: str) -> GpuTarget:
        """The GPU of that architecture, e.g. `sm_90`, or that device, e.g. `h100`.

        Raises:
            UnknownNameError: There is no such architecture or device here.
            TargetUnavailableError: Triton is not installed.
        """
        facts = architecture(name)
        require_triton()
        from triton.backends.compiler import GPUTarget

        # Triton numbers NVIDIA's architectures and names AMD's.
        arch = int(facts.arch.removeprefix("sm_")) if facts.kind == "cuda" else facts.arch
        return GpuTarget(facts, GPUTarget(facts.kind, arch, facts.lanes), name)

    @staticmethod
    def present(kind: str) -> GpuTarget:
        """The GPUs of this machine, by the current device.

        Args:
            kind: `cuda` or `hip`.

        Raises:
            TargetUnavailableError: PyTorch or Triton finds no such GPU.
        """
        remedy = "Compile for a named GPU instead, e.g. --target sm_90, or use target='cpu'."
        if not driver.is_available() or driver.kind() != kind:
            raise TargetUnavailableError(
                f"target {kind!r} is not here: PyTorch {torch.__version__} finds no {kind} device. {remedy}"
            )
        require_triton()
        try:
            gpu = driver.gpu()
        except RuntimeError as error:
            raise TargetUnavailableError(
                f"target {kind!r} is not here: Triton's driver does not start ({error}). {remedy}"
            ) from error
        return GpuTarget(_facts(kind), gpu)

    @property
    def stages(self) -> tuple[str, ...]:
        """From the source to the machine code of the kind."""
        return STAGES[self.facts.kind]

    @property
    def device(self) -> torch.device:
        """PyTorch's current GPU.

        Raises:
            TargetUnavailableError: The GPU is only named.
        """
        self._require_present()
        return torch.device("cuda")

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> TritonKernel:
        """See `Target.compile`; Triton keeps what it compiled in its own cache."""
        source, program = variant.source(problem, config), variant.program(problem, config)
        kernel = TritonKernel(problem, config, source, program, self._gpu, assumed, self.facts.present)
        self._require_fitting(kernel)
        return kernel

    def _require_fitting(self, kernel: TritonKernel) -> None:
        """Raise a `CompileError` now where a launch would fail for want of shared memory."""
        for launch, compiled in zip(kernel.program.launches, kernel.compiled, strict=True):
            needed = compiled.metadata.shared
            if needed > self.facts.shared_bytes:
                where = f"{kernel.source.name}, {launch.function}: {kernel.config}"
                raise CompileError(
                    f"{where} needs {needed:,} bytes of shared memory; a block of {self.facts.name} has "
                    f"{self.facts.shared_bytes:,}. Choose another config."
                )

    def synchronize(self) -> None:
        """Wait for the current device."""
        self._require_present()
        driver.synchronize()

    def time(
        self, run: Callable[[], None], repetitions: int, restore: Callable[[], None] | None = None
    ) -> list[float]:
        """See `Target.time`; on the current device, in its current stream, each run with a cold L2 cache."""
        self._require_present()
        return seconds_of(run, repetitions, restore)

    def versions(self) -> dict[str, str]:
        """Torch, Triton and the CUDA or HIP that torch was built with."""
        found = {**super().versions(), "triton": require_triton().__version__}
        built_with = torch.version.hip if self.facts.kind == "hip" else torch.version.cuda
        return {**found, self.facts.kind: built_with} if built_with else found

    def _require_present(self) -> None:
        if not self.facts.present:
            raise TargetUnavailableError(
                f"{self.facts.arch} is only named: there is no such GPU here to run on. Inspect its kernels with "
                f"`ssmgen show --target {self.facts.arch}`, or run this on a machine that has one."
            )


def _facts(kind: str) -> DeviceFacts:
    found = driver.properties()
    arch = found.gcnArchName.partition(":")[0] if kind == "hip" else f"sm_{found.major}{found.minor}"
    known = ARCHITECTURES.get(arch)
    # PyTorch does not say how many registers a thread can hold; ROCm builds may not say what a block can share.
    registers = known.max_registers if known else (512 if found.warp_size == 64 else 255)
    shared = getattr(found, "shared_memory_per_block_optin", 0) or found.shared_memory_per_block
    return DeviceFacts(kind, found.name, arch, found.warp_size, 1024, registers, max(shared, 0), present=True)
