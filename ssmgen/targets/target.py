"""A target: something a kernel can be compiled for, and, where it is present, launched and timed on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch

from ssmgen.codegen import Source
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import unknown
from ssmgen.kernels import Assumptions, Program, Space, Variant, variants
from ssmgen.problem import Problem

__all__ = ["Kernel", "Runner", "Target"]

# Runs a bound kernel on operands in the order of `Interface.operands`; outputs are among them, already allocated.
Runner = Callable[[Sequence[torch.Tensor]], None]


class Kernel(ABC):
    """A compiled program for one problem and config."""

    def __init__(self, problem: Problem, config: Config, source: Source, program: Program) -> None:
        self.problem = problem
        self.config = config
        self.source = source
        self.program = program

    @property
    @abstractmethod
    def stages(self) -> tuple[str, ...]:
        """Names of the representations this kernel can be read in, `source` first."""

    @abstractmethod
    def stage(self, name: str) -> str:
        """The kernel in that representation, e.g. `ptx`; several launches follow one another.

        Raises:
            UnknownNameError: The target has no such stage.
        """

    @abstractmethod
    def bind(self, scalars: Mapping[str, int]) -> Runner:
        """A runner for these sizes and strides; all that can be computed before the call is computed here.

        Args:
            scalars: The value of every name in `Interface.scalars`.
        """


class Target(ABC):
    """One target. Subclasses say how to compile; those that are present also how to wait and to time."""

    language: ClassVar[str]

    def __init__(self, facts: DeviceFacts) -> None:
        self.facts = facts

    @property
    def name(self) -> str:
        """What `--target` takes: the kind, or the arch of a GPU that is only named."""
        return self.facts.kind if self.facts.present else self.facts.arch

    @property
    @abstractmethod
    def stages(self) -> tuple[str, ...]:
        """The stages of every kernel compiled here."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the tensors of this target live.

        Raises:
            TargetUnavailableError: The target is only named.
        """

    @abstractmethod
    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> Kernel:
        """Render and compile; compiled code is cached on disk.

        Args:
            variant: The config's variant.
            problem: The exact problem.
            config: A valid config of the problem's space.
            assumed: What the code may rely on; None for what holds for operands that are freshly allocated.

        Raises:
            CompileError: The compiler refused; the message holds what it said.
            TargetUnavailableError: There is no compiler.
        """

    def synchronize(self) -> None:  # noqa: B027 - nothing to wait for, unless a target says so
        """Wait until everything launched has ended; kernels that run in this process have, when they return."""

    def time(
        self, run: Callable[[], None], repetitions: int, restore: Callable[[], None] | None = None
    ) -> list[float]:
        """Wall-clock seconds of each of some consecutive runs.

        Args:
            run: What is timed.
            repetitions: How often.
            restore: Called after each run and not timed: it gives operands that runs update in place the values from
                before.
        """
        seconds = []
        for _ in range(repetitions):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
            if restore is not None:
                restore()
        return seconds

    def versions(self) -> dict[str, str]:
        """Name and version of what compiles and runs kernels here, for the record of a measurement."""
        return {"torch": torch.__version__}

    def variants(self, op: str) -> tuple[Variant, ...]:
        """The variants that are written in this target's language."""
        return variants(op, self.language)

    def space(self, problem: Problem) -> Space:
        """The valid configs of the problem on this target."""
        return Space.of(problem, self.facts, self.variants(problem.op))

    def require_stage(self, name: str) -> None:
        """Raise an `UnknownNameError` that lists the stages, unless there is one of that name."""
        if name not in self.stages:
            raise unknown(f"stage of target {self.name}", name, self.stages)
