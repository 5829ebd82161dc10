"""How long a kernel should take on a GPU, from its machine code alone.

A launch takes the longest of four: what its warps issue, what its fullest pipe does, what it moves to and from memory,
and what a lone warp waits for. Blocks run in waves, each as many as are resident at once; the last may be near empty.
No GPU has confirmed these times. They are for ranking the configs of a kernel, and for seeing what limits one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

from ssmgen.targets.devices import Core, Device

__all__ = ["LaunchCost", "Prediction", "predict", "resident_blocks"]

_SUSTAINED = 0.9  # of the peak bandwidth, and of the issue slots, that good kernels reach
_LAUNCH_SECONDS = 1.5e-6  # between two launches that wait in a stream


@dataclass(frozen=True)
class LaunchCost:
    """What one launch costs, whatever the device: counted for one warp, averaged over programs.

    Attributes:
        function: The kernel.
        blocks: Programs of the grid.
        warps: Warps of a block.
        registers: 32-bit registers of a lane.
        spills: Instructions, or registers, that spill, anywhere in the function.
        shared: Bytes of shared memory of a block.
        atomics: Atomic instructions, anywhere in the function.
        barriers: Barriers that a warp meets.
        pipes: Instructions of a warp by pipe.
        main: Those of a round of its main loop, the loops inside included.
        main_share: The part of a warp's instructions that its main loop issues.
        alone: Cycles that a warp takes which has its partition for itself.
        read: Bytes that the launch has to read from memory, each once.
        written: Bytes that it has to write.
        footprint: Bytes of what it reads and writes, what is updated in place once.
        unexplained: Why its loops could not be accounted for; empty if they were.
    """

    function: str
    blocks: int
    warps: int
    registers: int
    spills: int
    shared: int
    atomics: int
    barriers: float
    pipes: dict[str, float]
    main: dict[str, float]
    main_share: float
    alone: float
    read: int
    written: int
    footprint: int
    unexplained: tuple[str, ...] = ()

    @property
    def slots(self) -> float:
        """Instructions that a warp issues."""
        return sum(self.pipes.values())


@dataclass(frozen=True)
class Prediction:
    """The time of a launch, and why.

    Attributes:
        seconds: Of the launch.
        limit: What it waits for: `issue`, a pipe's name, `memory` or `latency`.
        bounds: Seconds that each of them would take alone.
        resident: Warps that a partition has at once when the device is full.
        waves: Waves of blocks.
        occupied: The part of the device's places for blocks that is taken, over all waves.
    """

    seconds: float
    limit: str
    bounds: dict[str, float]
    resident: float
    waves: int
    occupied: float


def resident_blocks(cost: LaunchCost, core: Core) -> int:
    """Blocks that a unit holds at once; 0 where not even one fits."""
    registers = core.granule * ceil(max(cost.registers, 1) / core.granule)
    per_partition = min(core.warps, core.registers // registers)
    # Warps of a block are spread over the partitions.
    by_warps = per_partition * core.partitions // cost.warps
    by_shared = core.shared // (cost.shared + core.reserved) if cost.shared + core.reserved else core.blocks
    return min(core.blocks, by_warps, by_shared)


def predict(cost: LaunchCost, device: Device) -> Prediction:
    """The time of one launch on a device."""
    core = device.core
    resident = max(1, resident_blocks(cost, core))
    spread = device.units * resident
    full, rest = divmod(cost.blocks, spread)
    # Waves, and the blocks of the fullest unit in each.
    loads = [(full, resident), (1, ceil(rest / device.units))] if rest else [(full, resident)]
    bounds: Counter[str] = Counter()
    busy = 0.0
    per_warp = {"issue": cost.slots / core.issue / _SUSTAINED}
    per_warp |= {pipe: count * core.cycles[pipe] for pipe, count in cost.pipes.items()}
    for waves, blocks in loads:
        warps = ceil(blocks * cost.warps / core.partitions)
        cycles = {name: waves * warps * each for name, each in per_warp.items()}
        cycles["latency"] = waves * cost.alone
        busy += max(cycles.values())
        for name, count in cycles.items():
            bounds[name] += count / device.clock  # type: ignore[assignment]
    bounds["memory"] = _memory_seconds(cost, device)  # type: ignore[assignment]
    seconds = max(busy / device.clock, bounds["memory"]) + _LAUNCH_SECONDS
    limit = max(bounds, key=lambda name: bounds[name])
    return Prediction(
        seconds,
        limit,
        dict(bounds),
        resident * cost.warps / core.partitions,
        full + bool(rest),
        cost.blocks / (spread * max(full + bool(rest), 1)),
    )


def _memory_seconds(cost: LaunchCost, device: Device) -> float:
    total = cost.read + cost.written
    # What fits into the last cache was left there by the launch before, or stays there for the next.
    fits = cost.footprint <= device.cache / 2
    from_memory = 0.0 if fits else total / (device.bandwidth * _SUSTAINED)
    return max(from_memory, total / (device.cache_bandwidth * _SUSTAINED))
