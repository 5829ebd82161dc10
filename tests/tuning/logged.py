"""A target that says when it compiles and when it runs, and keeps what it compiled on disk, as Triton does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor

from ssmgen import reference
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.errors import CompileError
from ssmgen.kernels import Assumptions, Rule, Variant
from ssmgen.problem import Problem
from ssmgen.targets import Kernel, Runner, Target
from tests.tuning.fakes import FakeKernel, FakeTarget, FakeVariant

FOLDER = "SSMGEN_TEST_LOGGED"  # the variable that names the folder of a test
COMPILE_SECONDS = 0.4


class Event(NamedTuple):
    """Something that took its time.

    Attributes:
        what: "compile" or "run".
        config: The config.
        process: In which process.
        start: Seconds of a clock that all processes share.
        end: The same.
    """

    what: str
    config: str
    process: int
    start: float
    end: float


def events() -> list[Event]:
    """All that happened, in the order in which it ended."""
    return [Event(*json.loads(line)) for line in (_folder() / "log").read_text().splitlines()]


def _folder() -> Path:
    return Path(os.environ[FOLDER])


@contextmanager
def _logged(what: str, config: Config) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        with (_folder() / "log").open("ab", buffering=0) as file:
            file.write(json.dumps([what, str(config), os.getpid(), start, time.monotonic()]).encode() + b"\n")


class LoggedKernel(FakeKernel):
    def bind(self, scalars: Mapping[str, int]) -> Runner:
        def run(tensors: Sequence[Tensor]) -> None:
            a, b, out = tensors
            with _logged("run", self.config):
                time.sleep(1e-3 * int(self.config["block"]))
                out.copy_(reference.linear_scan(a, b))

        return run


class LoggedVariant(FakeVariant):
    rules: ClassVar[tuple[Rule, ...]] = ()

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        return {"behaviour": ("good", "uncompilable", "compiler_dies", "compiler_hangs"), "block": (1, 2, 3)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        return Config.of(self.name, {"behaviour": "good", "block": 3})


class LoggedTarget(FakeTarget):
    def __init__(self, language: str) -> None:
        super().__init__(("good",))
        self.language = language  # type: ignore[misc]
        self._variants = (LoggedVariant(),)

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> Kernel:
        kept = _folder() / str(abs(hash((str(problem), str(config)))))
        if not kept.exists():
            with _logged("compile", config):
                _become_of(str(config["behaviour"]))
                time.sleep(COMPILE_SECONDS)
            kept.touch()
        return LoggedKernel(
            problem, config, variant.source(problem, config), variant.program(problem, config)
        )


def _become_of(behaviour: str) -> None:
    if behaviour == "uncompilable":
        raise CompileError("error: expected ';'")
    if behaviour == "compiler_dies":
        os.abort()
    while behaviour == "compiler_hangs":
        time.sleep(0.1)


def open_logged(name: str) -> Target:
    """Such a target of a language; its architecture, which compiles without the device, has the same."""
    return LoggedTarget("c" if name == "c" else "triton")
