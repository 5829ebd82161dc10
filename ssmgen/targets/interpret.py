"""Triton's interpreter: the same sources as on a GPU, run by NumPy on the CPU, slowly."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from ssmgen.codegen import Source
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import TargetUnavailableError, unknown
from ssmgen.kernels import Assumptions, Launch, Program, Variant
from ssmgen.problem import Problem
from ssmgen.targets.target import Kernel, Runner, Target
from ssmgen.targets.triton_source import (
    function_of,
    interpreted_source,
    require_triton,
    tensor_dtypes,
    with_workspaces,
)

__all__ = ["InterpretKernel", "InterpretTarget"]

_STAGES = ("source",)


class InterpretKernel(Kernel):
    """A source that the interpreter runs."""

    def __init__(self, problem: Problem, config: Config, source: Source, program: Program) -> None:
        super().__init__(problem, config, source, program)
        module = interpreted_source(source)
        self._functions = [function_of(module, launch) for launch in program.launches]

    @property
    def stages(self) -> tuple[str, ...]:
        """The source is all there is."""
        return _STAGES

    def stage(self, name: str) -> str:
        """See `Kernel.stage`."""
        if name != "source":
            raise unknown("stage of target interpret", name, _STAGES)
        return self.source.text

    def bind(self, scalars: Mapping[str, int]) -> Runner:
        """See `Kernel.bind`."""
        names = tuple(tensor_dtypes(self.problem, self.program))
        calls = [
            _prepare(launch, function, names, scalars)
            for launch, function in zip(self.program.launches, self._functions, strict=True)
        ]
        complete = with_workspaces(self.program)

        def run(tensors: Sequence[torch.Tensor]) -> None:
            # The interpreter knows no complex numbers: kernels see them as interleaved pairs.
            every = [torch.view_as_real(x) if x.is_complex() else x for x in complete(tensors)]
            for call in calls:
                call(every)

        return run


def _prepare(launch: Launch, function: Any, names: Sequence[str], scalars: Mapping[str, int]) -> Runner:
    from triton.runtime.errors import InterpreterError

    constants = dict(launch.constants)

    def run(tensors: Sequence[torch.Tensor]) -> None:
        arguments = [
            tensors[names.index(name)] if name in names else scalars[name] for name in launch.arguments
        ]
        try:
            function[launch.grid](*arguments, **constants)
        except InterpreterError as error:
            # Triton 3.6 calls int() on arrays of one element, which NumPy 2.4 no longer allows; Triton 3.8 does not.
            if "0-dimensional arrays can be converted" in str(error):
                raise TargetUnavailableError(
                    "target 'interpret' does not run on this Triton with NumPy 2.4 or newer; install 'numpy<2.4' or "
                    "Triton 3.8."
                ) from error
            raise

    return run


class InterpretTarget(Target):
    """Triton's interpreter, for the correctness of Triton kernels where there is no GPU.

    Its limits are those of a large NVIDIA GPU, so that the spaces are those of a GPU; its times say nothing.
    """

    language: ClassVar[str] = "triton"
    stages: ClassVar[tuple[str, ...]] = _STAGES

    def __init__(self) -> None:
        require_triton()
        if importlib.util.find_spec("numpy") is None:
            raise TargetUnavailableError(
                "target 'interpret' needs NumPy, which is not installed; pip install numpy, or use target='cpu'."
            )
        super().__init__(
            DeviceFacts(
                "interpret", "Triton interpreter", "interpret", 32, 1024, 255, 227 * 1024, present=True
            )
        )

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> InterpretKernel:
        """See `Target.compile`. Nothing is assumed."""
        return InterpretKernel(
            problem, config, variant.source(problem, config), variant.program(problem, config)
        )

    def versions(self) -> dict[str, str]:
        """Torch and Triton."""
        return {**super().versions(), "triton": require_triton().__version__}
