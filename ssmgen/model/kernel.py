"""What a config costs on an architecture: its launches' costs, and how they are kept from one run to the next."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import ssmgen
from ssmgen import settings
from ssmgen.codegen import cache_errors, hash_of_files, write_atomically
from ssmgen.config import Config
from ssmgen.dtypes import dtype
from ssmgen.kernels import Launch, Program, interface
from ssmgen.model import amd, nvidia
from ssmgen.model.account import account
from ssmgen.model.alone import cycles_alone
from ssmgen.model.listing import Listing
from ssmgen.model.moved import moved_bytes, peeled_rounds
from ssmgen.model.predict import LaunchCost, Prediction, predict
from ssmgen.model.trips import source_loops
from ssmgen.problem import Problem
from ssmgen.targets import devices, triton_kernel
from ssmgen.targets.devices import Core, Device, device_of
from ssmgen.targets.gpu import GpuTarget
from ssmgen.targets.triton_kernel import TritonKernel
from ssmgen.trust import own_cache

__all__ = ["KernelCost", "kernel_cost"]


@dataclass(frozen=True)
class KernelCost:
    """The launches of one config for one problem, compiled for an architecture.

    Attributes:
        launches: In their order.
        elements: State elements of the problem: see `Interface.elements`.
        source_hash: Hash of the rendered source.
    """

    launches: tuple[LaunchCost, ...]
    elements: int
    source_hash: str

    @property
    def unexplained(self) -> tuple[str, ...]:
        """What could not be accounted for: such a cost is too low, by nobody knows how much."""
        return tuple(f"{item.function}: {reason}" for item in self.launches for reason in item.unexplained)

    @property
    def is_accounted_for(self) -> bool:
        """Whether the loops are known of what does most: of the heaviest launch, and of those that move most bytes.

        A launch whose loops are unknown counts for little; that it moves much shows that it is not.
        """
        unknown = sum(item.read + item.written for item in self.launches if item.unexplained)
        total = sum(item.read + item.written for item in self.launches)
        return not self.heaviest.unexplained and 2 * unknown <= total

    @property
    def heaviest(self) -> LaunchCost:
        """The launch that issues most."""
        return max(self.launches, key=lambda item: item.blocks * item.warps * item.slots)

    def per_element(self, core: Core, pipe: str | None = None) -> float:
        """Instructions of a lane for each element of the problem, all launches together; of one pipe, or of all."""
        issued = sum(
            item.blocks * item.warps * (item.slots if pipe is None else item.pipes.get(pipe, 0.0))
            for item in self.launches
        )
        return issued * core.lanes / self.elements

    @property
    def spills(self) -> int:
        """Spills of all launches."""
        return sum(item.spills for item in self.launches)

    def launch(self, function: str) -> LaunchCost:
        """The launch of that function."""
        return next(item for item in self.launches if item.function == function)

    def loop_per_element(self, core: Core, pipe: str | None = None, function: str | None = None) -> float:
        """Instructions of a lane for each element in a launch's main loop, or in all of it where it has none.

        Args:
            core: What the launch runs on.
            pipe: Instructions of this pipe only.
            function: The launch; by default the heaviest.
        """
        item = self.heaviest if function is None else self.launch(function)
        counted, share = (item.main, item.main_share) if item.main else (item.pipes, 1.0)
        part = 1.0 if pipe is None else counted.get(pipe, 0.0) / sum(counted.values())
        return item.blocks * item.warps * item.slots * share * part * core.lanes / self.elements

    def bound(self, core: Core) -> float:
        """Cycles of a partition for each element of a lane: the most of issue slots and of each pipe's, in that loop.

        Of pipes, those that slots alone do not bound: special functions, and multiply-adds where they are narrow.
        """
        pipes = (self.loop_per_element(core, pipe) * core.cycles[pipe] for pipe in ("mufu", "fma"))
        return max(self.loop_per_element(core) / core.issue, *pipes)

    @property
    def bytes_per_element(self) -> float:
        """Bytes from and to memory for each element."""
        return sum(item.read + item.written for item in self.launches) / self.elements

    def predictions(self, device: Device) -> tuple[Prediction, ...]:
        """The launches' times on a device."""
        return tuple(predict(item, device) for item in self.launches)

    def seconds(self, device: Device) -> float:
        """Predicted seconds of all launches, one after another."""
        return sum(item.seconds for item in self.predictions(device))

    def limit(self, device: Device) -> str:
        """What the longest launch waits for."""
        return max(self.predictions(device), key=lambda item: item.seconds).limit


def kernel_cost(target: GpuTarget, problem: Problem, config: Config) -> KernelCost:
    """The cost of a config on a target, which need not be here; counted once, then read from the cache.

    Raises:
        CompileError: Triton refused, or its machine code cannot be read.
        InvalidInputError: The config is none of the problem's space.
    """
    variant = target.space(problem).check(config)
    source = variant.source(problem, config)
    program = variant.program(problem, config)
    versions = (ssmgen.__version__, target.versions()["triton"], _digest())
    key = "\n".join((target.facts.arch, str(problem), str(config), source.hash, repr(program), *versions))
    with cache_errors(settings.cache_dir()):
        folder = own_cache("costs")
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    known = _read(path)
    if known is not None:
        return known
    kernel = target.compile(variant, problem, config)
    pairs = zip(kernel.program.launches, kernel.compiled, strict=True)
    launches = tuple(_launch_cost(kernel, launch, compiled, target) for launch, compiled in pairs)
    cost = KernelCost(launches, interface(problem.op).elements(problem), source.hash)
    write_atomically(path, json.dumps(asdict(cost)))
    return cost


@lru_cache(maxsize=1)
def _digest() -> str:
    """Of all that makes machine code, and turns it into a cost: where that changes, costs are counted anew."""
    return hash_of_files(
        [*Path(__file__).parent.glob("*.py"), Path(devices.__file__), Path(triton_kernel.__file__)]
    )


def _read(path: Path) -> KernelCost | None:
    try:
        data = json.loads(path.read_text())
        launches = tuple(
            LaunchCost(**{**item, "unexplained": tuple(item["unexplained"])}) for item in data["launches"]
        )
        return KernelCost(launches, int(data["elements"]), str(data["source_hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is counted anew, and the file replaced


def _launch_cost(kernel: TritonKernel, launch: Launch, compiled: Any, target: GpuTarget) -> LaunchCost:
    problem = kernel.problem
    listing = _listing(compiled.asm["cubin" if target.facts.kind == "cuda" else "amdgcn"])
    scalars = interface(problem.op).fresh_bindings(problem)
    loops = source_loops(
        kernel.source.text, launch.function, {**scalars, **dict(launch.constants)}, launch.grid
    )
    ttgir = compiled.asm["ttgir"]
    found = account(listing, loops, moved_bytes(ttgir), peeled_rounds(ttgir, loops))
    main = found.main()
    slots = sum(found.pipes().values())
    in_main = sum(found.times[index] for index in main.body) if main else 0.0
    read, written, footprint = _traffic(problem, kernel.program, launch)
    core = device_of(target.facts.name, target.facts.arch).core
    barriers = sum(
        times for part, times in zip(listing.instructions, found.times, strict=True) if part.kind == "barrier"
    )
    return LaunchCost(
        launch.function,
        prod(launch.grid),
        compiled.metadata.num_warps,
        listing.registers,
        listing.spills,
        compiled.metadata.shared,
        listing.count("atomic"),
        barriers,
        dict(found.pipes()),
        dict(found.pipes(main)) if main else {},
        in_main / slots if slots else 0.0,
        cycles_alone(found, core),
        read,
        written,
        footprint,
        found.unexplained,
    )


@lru_cache(maxsize=256)
def _listing(code: bytes | str) -> Listing:
    if isinstance(code, str):
        return amd.parse(code)
    return nvidia.parse(nvidia.disassemble(code, _nvdisasm()), nvidia.registers(code))


def _nvdisasm() -> str:
    from triton import knobs

    return str(knobs.nvidia.nvdisasm.path)


def _traffic(problem: Problem, program: Program, launch: Launch) -> tuple[int, int, int]:
    """Bytes that a launch reads, that it writes, and that all of it takes up; every operand and workspace once."""
    operands = {item.name: item for item in interface(problem.op).operands(problem)}
    workspaces = {item.name: item for item in program.workspaces}
    position = program.launches.index(launch)
    before = {name for earlier in program.launches[:position] for name in earlier.arguments}
    read = written = footprint = 0
    for name in launch.arguments:
        if name in operands:
            item = operands[name]
            size = prod(item.shape) * dtype(item.dtype).itemsize
            read += 0 if item.output and not item.updated else size
            written += size if item.output or item.updated else 0
            footprint += size
        elif name in workspaces:
            # The first launch that takes scratch memory fills it.
            size = prod(workspaces[name].shape) * dtype(workspaces[name].dtype).itemsize
            read, written = (read + size, written) if name in before else (read, written + size)
            footprint += size
    return read, written, footprint
