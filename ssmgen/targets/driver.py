"""The GPU's runtime: every call of `torch.cuda`, and of Triton's driver, is a line of this file.

What can go wrong in such a line is a name or an argument, and tests run each one on a stand-in that knows the real
ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

__all__ = [
    "cache_bytes",
    "capture",
    "count",
    "current_device",
    "elapsed",
    "event",
    "gpu",
    "guard",
    "is_available",
    "kind",
    "load",
    "memory",
    "peak",
    "properties",
    "set_device",
    "side_stream",
    "synchronize",
]


def kind() -> str:
    """What this PyTorch was built for, `cuda` or `hip`, whether or not there is a GPU."""
    return "hip" if torch.version.hip else "cuda"


def is_available() -> bool:
    """Whether PyTorch finds a GPU."""
    return torch.cuda.is_available()


def count() -> int:
    """How many GPUs there are."""
    return torch.cuda.device_count()


def current_device() -> int:
    """The index of the current GPU."""
    return torch.cuda.current_device()


def set_device(device: int) -> None:
    """Make a GPU the current one."""
    torch.cuda.set_device(device)


def guard(device: int) -> AbstractContextManager[None]:
    """Within it that GPU is the current one."""
    return torch.cuda.device(device)


def properties(device: torch.device | None = None) -> Any:
    """What PyTorch knows of a GPU, the current one by default."""
    return torch.cuda.get_device_properties(device)


def cache_bytes(device: torch.device | None = None) -> int:
    """Bytes of a GPU's last-level cache; 0 where PyTorch does not say."""
    # AMD's large GPUs have a cache of 256 MiB behind the L2, which PyTorch does not report.
    hidden = 256 << 20 if torch.version.hip else 0
    return max(int(getattr(properties(device), "L2_cache_size", 0)), hidden)


def gpu() -> Any:
    """Triton's `GPUTarget` of the current GPU.

    Raises:
        RuntimeError: Triton's driver does not start.
    """
    from triton.runtime import driver

    return driver.active.get_current_target()


def load(compiled: Any, grid: tuple[int, int, int]) -> Callable[..., None]:
    """What launches a compiled Triton function, loaded onto the current GPU, in the stream that is current then."""
    launch: Callable[..., None] = compiled[grid]
    return launch


def synchronize() -> None:
    """Wait for all streams of the current GPU."""
    torch.cuda.synchronize()


def memory(size: int) -> torch.Tensor:
    """Bytes on the current GPU, uninitialised."""
    return torch.empty(size, dtype=torch.uint8, device="cuda")


def peak(run: Callable[[], object]) -> int:
    """Bytes that PyTorch allocates for a run at its peak, beyond what it held before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = int(torch.cuda.memory_allocated())
    run()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated()) - before


def event(*, external: bool = False) -> Any:
    """An event that carries a time; in a graph only an external one is recorded with every replay."""
    return torch.cuda.Event(enable_timing=True, external=external)


def elapsed(start: Any, end: Any) -> float:
    """Seconds between two events that have passed."""
    return float(start.elapsed_time(end)) / 1e3


@contextmanager
def side_stream() -> Iterator[None]:
    """Within it a new stream of the current GPU is its current one: after what was launched, before what will be.

    Unlike the default stream it can be captured.
    """
    outer, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(outer)
    try:
        with torch.cuda.stream(side):
            yield
    finally:
        outer.wait_stream(side)


def capture(run: Callable[[], object]) -> Callable[[], None]:
    """What `run` launches in the current stream, a side stream, as a graph: the function that replays it.

    Nothing runs before the first replay. The graph keeps the memory that `run` allocates, in a pool of its own; `run`
    must have run before, for nothing can be loaded during a capture.

    Raises:
        RuntimeError: Something that `run` does cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    # Without a stream given, PyTorch would take one that may belong to another GPU.
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        run()
    return graph.replay
