"""Kernels in C that do what no kernel should, compiled by the real compiler and run on the real CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from ssmgen.codegen import Source
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Assumptions, Interface, Launch, Program, Rule, Variant, Workspace, interface
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.targets.cpu import CpuKernel, CpuTarget

__all__ = ["FAILURES_OF", "PIPE", "open_hostile"]

PIPE = "SSMGEN_TEST_PIPE"  # names a pipe that nobody writes to: what includes it compiles for ever

# What each does instead of, or after, the scan; and how that is to be called. None of them is wrong.
FAILURES_OF: Mapping[str, str | None] = {
    "good": None,
    "slow": None,
    "refused": "compile error",
    "compiles_forever": "compile timeout",
    "compiler_hogs": "out of memory",
    "compiler_aborts": "compiler crash",
    "wrong": "wrong result",
    "wrong_at_length_1": "wrong result",
    "nan": "not finite",
    "unwritten": "not finite",
    "reads_scratch": "not finite",
    "unsteady": "not repeatable",
    "writes_behind": "out of bounds",
    "writes_before": "out of bounds",
    "overruns_scratch": "out of bounds",
    "spoils_input": "input changed",
    "hogs": "out of memory",
    "segfaults": "illegal access",
    "aborts": "crash",
    "exits": "crash",
    "hangs": "timeout",
}

_BODIES = {
    "slow": "for (volatile int64_t spin = 0; spin < 4000000; spin++);",
    "wrong": "args->out[0] += 1e-2f;",
    "wrong_at_length_1": "if (args->seqlen == 1) args->out[0] = 0.0f;",
    "nan": 'args->out[0] = __builtin_nanf("");',
    "reads_scratch": "args->out[0] += args->scratch[7];",
    "unsteady": "static int calls; if (calls++ % 2) args->out[0] *= 1.0f + 0x1p-22f;",
    "writes_behind": "args->out[count] = 1.0f;",
    "writes_before": "args->out[-1] = 1.0f;",
    "overruns_scratch": "args->scratch[8] = 1.0f;",
    "spoils_input": "((float *)args->a)[0] = 0.0f;",
    "hogs": "for (;;) memset(malloc(1 << 26), 1, 1 << 26);",
    "segfaults": "*(volatile float *)64 = 1.0f;",
    "aborts": "abort();",
    "exits": "_exit(3);",
    "hangs": "for (volatile int64_t spin = 0;; spin++);",
}

_TEXT = """
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
{head}
struct linear_scan_args {{
    const float *a;
    const float *b;
    float *out;
    float *scratch;
    int64_t batch, dim, seqlen, threads;
}};

void linear_scan(const struct linear_scan_args *args)
{{
    int64_t count = args->batch * args->dim * args->seqlen;
    for (int64_t row = 0; row < {rows}; row++) {{
        float h = 0.0f;
        for (int64_t t = 0; t < args->seqlen; t++) {{
            int64_t i = row * args->seqlen + t;
            args->out[i] = h = args->a[i] * h + args->b[i];
        }}
    }}
    (void)count;
    {body}
}}
"""

# Every line says the one before it sixteen times: a longer text than any machine has memory for.
_BOMB = "\n".join(
    [
        f'#define X0 "{"x" * 128}"',
        *(f"#define X{n + 1} {f'X{n} ' * 16}" for n in range(12)),
        "const char *x = X12;",
    ]
)


class HostileVariant(Variant):
    interface: ClassVar[Interface] = interface("linear_scan")
    name: ClassVar[str] = "hostile"
    language: ClassVar[str] = "c"
    template: ClassVar[str] = "none"
    summary: ClassVar[str] = "a kernel of tests"
    rules: ClassVar[tuple[Rule, ...]] = ()

    def __init__(self, behaviours: tuple[str, ...]) -> None:
        self._behaviours = behaviours

    def supports(self, problem: Problem) -> bool:
        return problem.dtype == "fp32"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        return {"behaviour": self._behaviours}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        return Config.of(self.name, {"behaviour": "slow"})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        return {}

    def program(self, problem: Problem, config: Config) -> Program:
        arguments = ("a", "b", "out", "scratch", "batch", "dim", "seqlen")
        return Program((Launch("linear_scan", arguments),), (Workspace("scratch", "fp32", (8,)),))

    def source(self, problem: Problem, config: Config) -> Source:
        behaviour = str(config["behaviour"])
        heads = {
            "refused": "#error no",
            "compiler_hogs": _BOMB,
            "compiles_forever": f'#include "{os.environ[PIPE]}"' if PIPE in os.environ else "",
        }
        rows = "0" if behaviour == "unwritten" else "args->batch * args->dim"
        body = _BODIES.get(behaviour, "")
        text = f"// {behaviour}\n" + _TEXT.format(head=heads.get(behaviour, ""), rows=rows, body=body)
        return Source("c", f"hostile_{behaviour}", text, Source.digest(text))


class HostileTarget(CpuTarget):
    def __init__(self, behaviours: tuple[str, ...]) -> None:
        super().__init__()
        self._variants = (HostileVariant(behaviours),)

    def variants(self, op: str) -> tuple[Variant, ...]:
        return self._variants

    def compile(
        self, variant: Variant, problem: Problem, config: Config, assumed: Assumptions | None = None
    ) -> CpuKernel:
        if config["behaviour"] == "compiler_aborts":
            os.abort()  # as LLVM does, which runs in the worker's own process
        return super().compile(variant, problem, config, assumed)


def open_hostile(name: str) -> Target:
    """A CPU whose kernels have the behaviours that the name lists."""
    return HostileTarget(tuple(name.split(",")))
