"""How much a run adds to the memory that its process, or the GPU, holds: at the peak, beyond what was there before."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from ssmgen.targets import driver
from ssmgen.worker import memory

__all__ = ["growth"]

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
    except OSError:
        return None, run()
    start, found = memory.status("VmRSS"), run()
    peak = memory.status("VmHWM")
    return None if start is None or peak is None else max(0, peak - start), found


def _trim() -> None:
    """Give the pages that the allocator keeps back; only glibc has a function for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
