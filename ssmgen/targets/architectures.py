"""The GPU architectures that kernels can be compiled for without having one."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ssmgen.device import DeviceFacts
from ssmgen.errors import unknown
from ssmgen.targets.devices import DEVICES

__all__ = ["ARCHITECTURES", "Architecture", "architecture"]


class Architecture(NamedTuple):
    """A named architecture, with the limits that its vendor documents.

    Attributes:
        kind: `cuda` or `hip`.
        lanes: Threads of a warp or wavefront.
        max_registers: 32-bit registers of one thread; on CDNA with the accumulation registers.
        shared_bytes: Shared memory that one block can ask for.
    """

    kind: str
    lanes: int
    max_registers: int
    shared_bytes: int


# NVIDIA: CUDA C++ programming guide, compute capabilities; the block's share is the SM's less 1 KiB for the system.
# AMD: instruction set references; one CDNA wavefront owns 256 vector and 256 accumulation registers per lane.
ARCHITECTURES: dict[str, Architecture] = {
    "sm_80": Architecture("cuda", 32, 255, 163 * 1024),
    "sm_86": Architecture("cuda", 32, 255, 99 * 1024),
    "sm_89": Architecture("cuda", 32, 255, 99 * 1024),
    "sm_90": Architecture("cuda", 32, 255, 227 * 1024),
    "sm_100": Architecture("cuda", 32, 255, 227 * 1024),
    "sm_120": Architecture("cuda", 32, 255, 99 * 1024),
    "gfx90a": Architecture("hip", 64, 512, 64 * 1024),
    "gfx942": Architecture("hip", 64, 512, 64 * 1024),
    "gfx950": Architecture("hip", 64, 512, 160 * 1024),
    "gfx1100": Architecture("hip", 32, 256, 64 * 1024),
}


def architecture(name: str) -> DeviceFacts:
    """The facts of a named architecture, or of a device of one that is known by name.

    Args:
        name: `sm_90`, `gfx942`, ..., or `h100`, `mi300x`, ...

    Raises:
        UnknownNameError: There is no such architecture or device here.
    """
    if name in DEVICES:
        return replace(architecture(DEVICES[name].arch), name=DEVICES[name].name)
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, [*ARCHITECTURES, *DEVICES])
    found = ARCHITECTURES[name]
    return DeviceFacts(found.kind, name, name, found.lanes, 1024, found.max_registers, found.shared_bytes)
