from __future__ import annotations

import signal

import pytest
import torch

from ssmgen.errors import CompileError, InvalidInputError
from ssmgen.tuning import FAILURES
from ssmgen.tuning.blame import kind_of_death, kind_of_error
from ssmgen.worker import WorkerDiedError
from tests.tuning.fakes import OutOfResources, TritonError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CompileError("error: expected ';'"), "compile error"),
        (CompileError("cc1: out of memory allocating 65536 bytes"), "out of memory"),
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
            "out of memory",
        ),
        (OutOfResources("shared memory"), "out of resources"),
        (RuntimeError("CUDA error: too many resources requested for launch"), "out of resources"),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), "illegal access"),
        (RuntimeError("CUDA error: misaligned address"), "illegal access"),
        (RuntimeError("HIP error: an illegal memory access was encountered"), "illegal access"),
        (RuntimeError("CUDA error: unspecified launch failure"), "crash"),
        (TritonError("hm"), "crash"),
        (InvalidInputError("no such dim"), None),
        (KeyError("ours"), None),
    ],
)
def test_an_error_is_of_a_kind(error: Exception, kind: str | None) -> None:
    assert kind_of_error(error) == kind
    assert kind is None or kind in FAILURES


@pytest.mark.parametrize(
    ("death", "while_compiling", "kind"),
    [
        (WorkerDiedError("", signal.SIGSEGV), False, "illegal access"),
        (WorkerDiedError("", signal.SIGBUS), False, "illegal access"),
        (WorkerDiedError("", signal.SIGABRT), False, "crash"),
        (WorkerDiedError("exit code 1"), False, "crash"),
        (WorkerDiedError("", signal.SIGKILL), False, "out of memory"),
        (WorkerDiedError("", signal.SIGSEGV, peak=95), False, "out of memory"),
        (WorkerDiedError("", signal.SIGSEGV, peak=50), True, "compiler crash"),
        (WorkerDiedError("", signal.SIGKILL), True, "out of memory"),
    ],
)
def test_a_death_is_of_a_kind(death: WorkerDiedError, while_compiling: bool, kind: str) -> None:
    assert kind_of_death(death, 100, while_compiling=while_compiling) == kind
    assert kind in FAILURES


def test_memory_that_is_not_limited_is_not_blamed() -> None:
    assert kind_of_death(WorkerDiedError("", signal.SIGSEGV, peak=1 << 40), None) == "illegal access"
