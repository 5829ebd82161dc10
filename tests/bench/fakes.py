"""Providers, good and bad: what a benchmark must survive. The name says how each behaves."""

from __future__ import annotations

import os
import time
from typing import ClassVar

from torch import Tensor

from ssmgen import reference
from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task
from tests.helpers import make_problem

__all__ = ["TASK", "Fake", "open_fake"]

TASK = Task(make_problem("linear_scan", dim=4, seqlen=32), "forward", 1)


class Fake(Provider):
    summary = "a provider of tests"
    computes: ClassVar = {"linear_scan": FORWARD}

    def __init__(self, behaviour: str) -> None:
        self.name = behaviour  # type: ignore[misc]
        self._runs = 0

    def missing(self) -> str | None:
        return "nobody has it" if self.name == "absent" else None

    def note(self, task: Task) -> str:
        return f"behaves: {self.name}"

    def call(self, task: Task, inputs: Inputs) -> Call:
        return FunctionCall(task, self._scan, inputs)

    def _scan(self, inputs: Inputs) -> dict[str, Tensor]:
        self._runs += 1
        if self.name == "raises":
            raise ValueError("no such\nkernel")
        if self.name == "greedy":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        if self.name == "aborts":
            os.abort()
        while self.name == "hangs" or (self.name == "hangs later" and self._runs > 3):
            time.sleep(0.1)
        out = reference.linear_scan(inputs["a"], inputs["b"])
        return {"out": out + 1.0 if self.name == "wrong" else out}


def open_fake(name: str) -> Provider:
    return Fake(name)
