"""Which kind of failure an error, or the death of the worker, is."""

from __future__ import annotations

import signal

from ssmgen.errors import CompileError, SsmgenError
from ssmgen.worker import WorkerDiedError, memory

__all__ = ["kind_of_death", "kind_of_error"]

_NEARLY_ALL = 0.8  # of the memory that a worker may have: what dies with that much dies of it
# What CUDA and HIP say of an address that is not the kernel's.
_ILLEGAL = ("illegal memory access", "misaligned address", "illegal address", "memory access fault")


def kind_of_error(error: Exception) -> str | None:
    """The failure of a config whose launch raised this; None where this program, and not the kernel, is to blame.

    Drivers raise RuntimeError and Triton errors of its own, which are known by name: a machine without Triton can ask.
    """
    if isinstance(error, CompileError):
        return "out of memory" if memory.is_exhausted(error) else "compile error"
    if isinstance(error, SsmgenError):
        return None
    if memory.is_exhausted(error):
        return "out of memory"
    if type(error).__name__ == "OutOfResources" or "too many resources requested" in str(error):
        return "out of resources"
    is_of_triton = any(base.__name__ == "TritonError" for base in type(error).__mro__)
    if not (is_of_triton or isinstance(error, RuntimeError)):
        return None
    said = str(error).lower()
    return "illegal access" if any(words in said for words in _ILLEGAL) else "crash"


def kind_of_death(error: WorkerDiedError, most: int | None, *, while_compiling: bool = False) -> str:
    """The failure of the config that the worker died with.

    Args:
        error: How it died.
        most: Bytes of memory that it could have; None where there is no limit.
        while_compiling: Whether it was asked to compile, and nothing else.
    """
    # Nobody but the system kills a worker that answers in time, and it does so where memory runs out.
    if error.signal == signal.SIGKILL or (most is not None and error.peak > _NEARLY_ALL * most):
        return "out of memory"
    if while_compiling:
        return "compiler crash"
    return "illegal access" if error.signal in (signal.SIGSEGV, signal.SIGBUS) else "crash"
