"""Plain C with libm's expf, compiled with the toolchain of the C target: how ggml and others write a scan."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task
from ssmgen.codegen import Source
from ssmgen.errors import SsmgenError
from ssmgen.targets.compiler import find_compiler
from ssmgen.targets.cpu import cpu_facts, load_library

__all__ = ["PlainC"]


class PlainC(Provider):
    """Channels over threads, states in the inner loop."""

    name = "plain-c"
    summary = "C with libm's expf, one channel after another, channels over threads"
    install = "install gcc or clang"
    device = "cpu"
    computes: ClassVar = {"selective_scan": FORWARD, "linear_scan": FORWARD, "cauchy_mult": FORWARD}

    def missing(self) -> str | None:
        """See `Provider.missing`."""
        try:
            find_compiler()
        except SsmgenError as error:
            return str(error)
        return None

    def version(self) -> str:
        """The compiler's."""
        return find_compiler().version

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        operands, outputs = _OPERANDS[task.problem.op]
        sizes = [ctypes.c_int64(size) for _, size in task.problem.dims]
        function = getattr(_library(), task.problem.op)

        def run(inputs: Inputs) -> dict[str, Tensor]:
            out = torch.empty_like(inputs[outputs])
            pointers = [ctypes.c_void_p(x.data_ptr()) for x in (*(inputs[name] for name in operands), out)]
            function(*pointers, *sizes, ctypes.c_int64(task.threads))
            return {"out": out}

        return FunctionCall(task, run, inputs)


# The operands in the order of the C functions, and which of them has the form of the output.
_OPERANDS = {
    "selective_scan": (("u", "delta", "A", "B", "C"), "u"),
    "linear_scan": (("a", "b"), "a"),
    "cauchy_mult": (("v", "z", "w"), "z"),
}


@cache
def _library() -> ctypes.CDLL:
    text = Path(__file__).with_name("plain.c").read_text()
    return load_library(find_compiler(), Source("c", "plain", text, Source.digest(text)), cpu_facts())
