"""Facts about a device or a named architecture: what static rules and saved configs need to know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DeviceFacts"]


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a device before anything runs on it.

    Attributes:
        kind: `cpu`, `cuda`, `hip`, `interpret` or `reference`.
        name: The device's own name, or the architecture's where only that is named.
        arch: `sm_90`, `gfx942`, `x86_64-avx512`, ...: devices of one arch can use one another's configs.
        lanes: Lanes of a warp on a GPU; fp32 lanes of the widest vector on a CPU.
        max_threads: Threads of the largest block on a GPU; hardware threads on a CPU.
        max_registers: 32-bit registers a GPU thread can hold; vector registers on a CPU.
        shared_bytes: Shared memory a block can have on a GPU; 0 elsewhere.
        present: Whether kernels can be launched and timed here.
    """

    kind: str
    name: str
    arch: str
    lanes: int
    max_threads: int
    max_registers: int
    shared_bytes: int = 0
    present: bool = False

    @property
    def slug(self) -> str:
        """The device's name as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.kind} {self.name}".lower()).strip("-")
