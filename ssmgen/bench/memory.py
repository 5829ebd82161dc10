"""How much a run adds to the memory that its process, or the GPU, holds: at the peak, beyond what was there before."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ssmgen.targets import driver

__all__ = ["available", "growth", "limit", "total"]

_STATUS, _MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")

_Found = TypeVar("_Found")


def growth(run: Callable[[], _Found], device: torch.device) -> tuple[int | None, _Found]:
    """Bytes that a run adds at its peak, None where the system does not say; and what the run returned.

    On a CPU pages that are touched count, so what was freed is first given back to the system. On a GPU what PyTorch
    allocates counts.
    """
    gc.collect()
    if device.type == "cuda":
        results: list[_Found] = []
        return driver.peak(lambda: results.append(run())), results[0]
    _trim()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        start = _status("VmRSS")
    except (OSError, KeyError):
        return None, run()
    found = run()
    return max(0, _status("VmHWM") - start), found


def total() -> int | None:
    """Bytes of main memory; None where the system does not say."""
    return _of_machine("MemTotal")


def available() -> int | None:
    """Bytes of main memory that can be had without swapping; None where the system does not say."""
    return _of_machine("MemAvailable")


def limit(share: float) -> None:
    """Let this process take at most a share of the memory that is available now, so that it fails and not others."""
    free = available()
    try:
        held = _status("VmData")
    except (OSError, KeyError):
        return
    if free is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + int(share * free), hard))


def _trim() -> None:
    """Give the pages that the allocator keeps back; only glibc has a function for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _of_machine(name: str) -> int | None:
    try:
        return _entry(_MACHINE, name)
    except (OSError, KeyError):
        return None


def _status(name: str) -> int:
    return _entry(_STATUS, name)


def _entry(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) << 10
    raise KeyError(name)
