"""What is known of GPUs that a prediction needs: how wide, how fast, how much stays on the chip.

Vendors' documents: NVIDIA's A100, H100, Ada, Blackwell and RTX Blackwell architecture papers and the CUDA programming
guide (throughput of native instructions, technical specifications by compute capability); AMD's CDNA 2, 3 and 4
papers, the RDNA 3 instruction set reference and the Instinct data sheets. Latencies are rounded from published
microbenchmarks (Luo et al., Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via Microbenchmarking,
2024) and are the least certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssmgen.errors import unknown

__all__ = ["DEVICES", "Core", "Device", "device_of"]


@dataclass(frozen=True)
class Device:
    """One GPU.

    Attributes:
        name: What PyTorch calls it: tuned configs are filed under it.
        arch: Its architecture.
        units: Streaming multiprocessors, or compute units.
        clock: Cycles in a second, boosted.
        bandwidth: Bytes in a second from memory.
        cache: Bytes of the last cache before memory.
        cache_bandwidth: Bytes in a second from that cache.
    """

    name: str
    arch: str
    units: int
    clock: float
    bandwidth: float
    cache: int
    cache_bandwidth: float

    @property
    def core(self) -> Core:
        """What a multiprocessor of its architecture is made of."""
        return CORES[self.arch]


@dataclass(frozen=True)
class Core:
    """A multiprocessor or compute unit.

    Attributes:
        lanes: Lanes of a warp or wave.
        partitions: Parts that issue on their own, each with its warps.
        cycles: Cycles that one warp's instruction keeps its partition's pipe, by pipe.
        issue: Instructions that a partition issues in a cycle, all pipes together.
        registers: Registers of a partition for one lane of all its warps together.
        granule: Registers are given to a warp in multiples of this.
        warps: Most resident warps of a partition.
        blocks: Most resident blocks of the unit.
        shared: Bytes of shared memory of the unit; each block takes `reserved` besides its own.
        reserved: See `shared`.
        latency: Cycles until a result is there, by what gives it.
    """

    lanes: int
    partitions: int
    cycles: Mapping[str, float]
    issue: float
    registers: int
    granule: int
    warps: int
    blocks: int
    shared: int
    reserved: int
    latency: Mapping[str, int]


def _cycles(
    fma: float, alu: float, mufu: float, double: float, tensor: float, memory: float
) -> dict[str, float]:
    both = {"global": memory, "shared": memory, "scalar": 2.0 if fma <= 2 else 1.0, "control": 1.0}
    return {"fma": fma, "alu": alu, "mufu": mufu, "double": double, "tensor": tensor, **both}


_NVIDIA_LATENCY = {"global": 550, "shared": 30, "mufu": 22, "operands": 12, "other": 14}
_AMD_LATENCY = {"global": 800, "shared": 64, "mufu": 16, "operands": 16, "other": 16}


def _nvidia(fma: float, double: float, warps: int, blocks: int, shared: int) -> Core:
    # 16 special function lanes and 32 of load and store in four partitions; 16 integer lanes in each.
    cycles = _cycles(fma, 2, 8, double, 8, 4)
    return Core(32, 4, cycles, 1, 512, 8, warps // 4, blocks, shared * 1024, 1024, _NVIDIA_LATENCY)


def _cdna(shared: int) -> Core:
    # A wave of 64 takes four cycles of a SIMD's 16 lanes; a unit issues for all its SIMDs in turn.
    return Core(64, 4, _cycles(4, 4, 16, 4, 16, 16), 1, 512, 8, 8, 32, shared * 1024, 0, _AMD_LATENCY)


CORES = {
    "sm_80": _nvidia(2, 4, 64, 32, 164),
    "sm_86": _nvidia(1, 64, 48, 16, 100),
    "sm_89": _nvidia(1, 64, 48, 24, 100),
    "sm_90": _nvidia(1, 2, 64, 32, 228),
    "sm_100": _nvidia(1, 2, 64, 32, 228),
    "sm_120": _nvidia(1, 64, 48, 24, 100),
    "gfx90a": _cdna(64),
    "gfx942": _cdna(64),
    "gfx950": _cdna(160),
    # Two SIMDs of 32 lanes; special functions at a quarter of the rate.
    "gfx1100": Core(32, 2, _cycles(1, 1, 4, 16, 16, 4), 1, 1536, 24, 16, 32, 64 * 1024, 0, _AMD_LATENCY),
}

_MIB = 1 << 20
DEVICES = {
    "a100": Device("NVIDIA A100-SXM4-80GB", "sm_80", 108, 1.41e9, 2.04e12, 40 * _MIB, 4.5e12),
    "rtx3090": Device("NVIDIA GeForce RTX 3090", "sm_86", 82, 1.70e9, 0.936e12, 6 * _MIB, 2.0e12),
    "rtx4090": Device("NVIDIA GeForce RTX 4090", "sm_89", 128, 2.52e9, 1.01e12, 72 * _MIB, 5.0e12),
    "h100": Device("NVIDIA H100 80GB HBM3", "sm_90", 132, 1.83e9, 3.35e12, 50 * _MIB, 5.5e12),
    "h200": Device("NVIDIA H200", "sm_90", 132, 1.83e9, 4.80e12, 50 * _MIB, 5.5e12),
    "b200": Device("NVIDIA B200", "sm_100", 148, 1.85e9, 7.70e12, 126 * _MIB, 10.0e12),
    "rtx5090": Device("NVIDIA GeForce RTX 5090", "sm_120", 170, 2.41e9, 1.79e12, 96 * _MIB, 6.5e12),
    "mi250x": Device("AMD Instinct MI250X", "gfx90a", 110, 1.70e9, 1.64e12, 8 * _MIB, 3.0e12),
    "mi300x": Device("AMD Instinct MI300X", "gfx942", 304, 2.10e9, 5.30e12, 256 * _MIB, 11.0e12),
    "mi355x": Device("AMD Instinct MI355X", "gfx950", 256, 2.40e9, 8.00e12, 256 * _MIB, 13.0e12),
    "rx7900xtx": Device("AMD Radeon RX 7900 XTX", "gfx1100", 96, 2.50e9, 0.96e12, 96 * _MIB, 3.5e12),
}
# The device that stands for an architecture.
_OF_ARCH = {device.arch: device for device in reversed(DEVICES.values())}


def device_of(name: str, arch: str) -> Device:
    """The device of a name that PyTorch gives, or else the one that stands for the architecture.

    Raises:
        UnknownNameError: Nothing is known of the architecture.
    """
    named = [device for device in DEVICES.values() if device.name == name and device.arch == arch]
    if named:
        return named[0]
    if arch not in _OF_ARCH:
        raise unknown("architecture", arch, _OF_ARCH)
    return _OF_ARCH[arch]
