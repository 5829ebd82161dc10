"""A target whose kernels are Python, good and bad: what a tuner must survive, without a compiler."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.codegen import Source
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.errors import CompileError
from ssmgen.kernels import Assumptions, Interface, Program, Rule, Variant, interface
from ssmgen.problem import Problem
from ssmgen.targets import Kernel, Runner, Target
from tests.helpers import make_problem

__all__ = ["BEHAVIOURS", "PROBLEM", "FakeTarget", "FakeVariant", "config", "open_fake"]

PROBLEM = make_problem("linear_scan", batch=1, dim=4, seqlen=32)
BEHAVIOURS = (
    "good",
    "slow",
    "uncompilable",
    "compiler_dies",
    "wrong",
    "nan",
    "unwritten",
    "stray_write",
    "spoils_input",
    "runtime_error",
    "too_large",
    "too_much",
    "illegal",
    "quarrels",
    "dies_quarrelling",
    "aborts",
    "hangs",
)


# Which configs have been launched in this process, once for each turn.
_launched: list[Config] = []


class TritonError(Exception):
    """Stands for Triton's, which is not a RuntimeError either."""


class OutOfResources(TritonError):  # noqa: N818 (Triton's name)
    """What Triton raises when a launch needs more shared memory than there is."""


def config(behaviour: str, block: int = 1, variant: str = "fake") -> Config:
    return Config.of(variant, {"behaviour": behaviour, "block": block})


class FakeVariant(Variant):
    interface: ClassVar[Interface] = interface("linear_scan")
    name: ClassVar[str] = "fake"
    language: ClassVar[str] = "c"
    template: ClassVar[str] = "none"
    summary: ClassVar[str] = "a kernel of tests"
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("odd", "blocks of 3 are for nobody", lambda problem, config, facts: config["block"] != 3),
    )

    def __init__(self, behaviours: Sequence[str] = BEHAVIOURS) -> None:
        self._behaviours = tuple(behaviours)

    def supports(self, problem: Problem) -> bool:
        return problem.dtype == "fp32"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        return {"behaviour": self._behaviours, "block": (1, 2, 3)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        return config("slow")

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        return {}

    def program(self, problem: Problem, config: Config) -> Program:
        return Program(())

    def source(self, problem: Problem, config: Config) -> Source:
        text = f"{problem.op} {config}"
        return Source("c", "fake", text, Source.digest(text))


class FakeKernel(Kernel):
    stages = ("source",)

    def stage(self, name: str) -> str:
        return self.source.text

    def bind(self, scalars: Mapping[str, int]) -> Runner:
        behaviour = self.config["behaviour"]

        def run(tensors: Sequence[Tensor]) -> None:
            a, b, out = tensors
            if behaviour == "too_large":
                raise OutOfResources("shared memory: 300000 of 232448 bytes")
            if behaviour == "too_much":
                torch.empty(1 << 60, dtype=torch.uint8)
            if behaviour == "illegal":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            # Well alone, and not among other kernels, as finalists are.
            if _launched[-1:] != [self.config]:
                _launched.append(self.config)
            if "quarrel" in str(behaviour) and _launched.count(self.config) > 1:
                if behaviour == "dies_quarrelling":
                    os.abort()
                raise RuntimeError("launch failed")
            if behaviour == "runtime_error":
                raise RuntimeError("launch failed")
            if behaviour == "aborts":
                os.abort()
            while behaviour == "hangs":
                time.sleep(0.1)
            if behaviour == "slow":
                time.sleep(2e-3)
            if behaviour == "unwritten":
                return
            out.copy_(reference.linear_scan(a, b))
            if behaviour == "wrong":
                out[..., -1] += 1e-2
            if behaviour == "nan":
                out[0, 0, 0] = float("nan")
            if behaviour == "stray_write":
                beyond = torch.empty(0).set_(out.untyped_storage(), 0, (out.untyped_storage().nbytes() // 4,))
                beyond[out.storage_offset() + out.numel()] = 1.0
            if behaviour == "spoils_input":
                a[0, 0, 0] = 0.0

        return run


class FakeTarget(Target):
    language: ClassVar[str] = "c"
    stages = ("source",)

    def __init__(self, behaviours: Sequence[str]) -> None:
        facts = DeviceFacts("cpu", "Fake", "fake", lanes=1, max_threads=1, max_registers=1, present=True)
        super().__init__(facts)
        self._variants = (FakeVariant(behaviours),)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> Kernel:
        if config["behaviour"] == "uncompilable":
            raise CompileError("error: expected ';'")
        if config["behaviour"] == "compiler_dies":
            os.abort()
        return FakeKernel(problem, config, variant.source(problem, config), variant.program(problem, config))

    def synchronize(self) -> None:
        pass

    def versions(self) -> dict[str, str]:
        return {"fake": "1"}

    def variants(self, op: str) -> tuple[Variant, ...]:
        return self._variants


def open_fake(name: str) -> Target:
    """A fake target of the behaviours that the name lists, or of all."""
    return FakeTarget(BEHAVIOURS if name == "fake" else name.split(","))
