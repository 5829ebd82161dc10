"""Count what kernels issue for each state element, in machine code of an NVIDIA GPU that need not be here.

    python benchmarks/count_slots.py --direction backward --option saved=4 --option layout=channel --d-state 16
    python benchmarks/count_slots.py --op dplr_kernel

An issue slot is one instruction of one warp. Of each launch along time, nodes or poles the main loop counts, with the
loops inside it as often as they run, over the elements that a lane handles in one round: (channel, step, state) of
a scan, (pole, node) of a Cauchy product, where a conjugate pair is one pole. Spills (LDL, STL), atomics (ATOM, RED)
and registers are those of the whole function.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from ssmgen.config import Config
from ssmgen.kernels import Launch
from ssmgen.problem import Problem
from ssmgen.request import Request
from ssmgen.targets import target

_INSTRUCTION = re.compile(r"^[-0-9A-Fa-fY:]+\t(?:@!?U?P\w+\s+)?(\S+?)[\s;](.*)")
# Launches whose loops are over batches, blocks, chunks or states: small beside the others.
_TIDYING = ("transpose_weights", "add_batches", "add_blocks", "add_chunks", "finish_rows")
_TIDYING += ("place_nodes", "prepare_poles", "add_nearest")
# Poles, or nodes, in a round of a launch that has no choice of its own of how many.
_TOGETHER = {
    "cauchy_mult_backward": 4,
    "multiply_nodes": 4,
    "differentiate_nodes": 2,
    "dplr_kernel_backward": 1,
}
_REGISTER = re.compile(r"\bR(\d+)\b")
_LABEL = re.compile(r"^(\w+):\s*$")


@dataclass(frozen=True)
class Listing:
    """The instructions of one function, by name, and its loops as (first, last) instruction, the longest first."""

    names: tuple[str, ...]
    loops: tuple[tuple[int, int], ...]

    @staticmethod
    def of(sass: str) -> Listing:
        """Parse what nvdisasm wrote of one function."""
        names: list[str] = []
        labels: dict[str, int] = {}
        loops: list[tuple[int, int]] = []
        for line in sass.splitlines():
            label, instruction = _LABEL.match(line), _INSTRUCTION.match(line)
            if label is not None:
                labels[label[1]] = len(names)
            elif instruction is not None:
                destination = re.search(r"(\w+)\W*$", instruction[2])
                if instruction[1].startswith("BRA") and destination is not None:
                    # A branch to itself ends every function: it is no loop.
                    first = labels.get(destination[1], len(names))
                    loops += [(first, len(names))] if first < len(names) else []
                names.append(instruction[1])
        return Listing(tuple(names), tuple(sorted(loops, key=lambda loop: loop[0] - loop[1])))

    def inside(self, loop: tuple[int, int]) -> list[tuple[int, int]]:
        """The loops that lie in another."""
        return [item for item in self.loops if item != loop and loop[0] <= item[0] and item[1] <= loop[1]]

    def count(self, first: int, last: int) -> Counter[str]:
        """Instructions by name without their modifiers."""
        return Counter(name.split(".")[0] for name in self.names[first : last + 1])


@dataclass(frozen=True)
class Slots:
    """What one launch costs.

    Attributes:
        function: Its name.
        slots: Instructions of the main loop for each state element.
        mufu: Of these, those of the special function unit, which takes eight cycles for each.
        mix: Instructions for each state element, by name.
        spills: Accesses to local memory in the whole function.
        atomics: Atomic operations in the whole function.
        registers: Registers of a thread.
    """

    function: str
    slots: float
    mufu: float
    mix: dict[str, float]
    spills: int
    atomics: int
    registers: int


def elements(problem: Problem, config: Config, launch: Launch) -> tuple[int, int]:
    """Elements that a lane handles in one round of the main loop, and rounds of the loop inside it."""
    params = dict(config.params)
    if config.variant == "product":
        # Of Vandermonde products: (pole, step) pairs.
        tile = config.integer("group") * config.integer("blocks") * config.integer("block")
        return tile // (32 * config.integer("num_warps")), 1
    if "poles" in dict(problem.dims):
        lanes = 32 * dict(launch.options)["num_warps"]
        together = _TOGETHER.get(launch.function) or config.integer("unroll")
        return min(together, problem["poles"]) * dict(launch.constants)["BLOCK"] // lanes, 1
    if config.variant == "sequential" and problem.direction == "forward":
        lanes = 32 * config.integer("num_warps")
        return config.integer("unroll") * config.integer("block_d") // lanes * problem["d_state"], 1
    if config.variant in ("sequential", "looped") and "interval" in params:
        steps = config.integer("interval") * config.integer("block_d") // config.integer("lanes")
        in_a_row = config.integer("states") * int(params.get("flat", 1))
        return steps * problem["d_state"], problem["d_state"] // in_a_row
    raise typer.BadParameter(f"what a lane does in a round of {config.variant} is not known here")


def count(function: str, sass: str, per_round: int, rounds: int) -> Slots:
    """The slots of one launch, from its machine code."""
    listing = Listing.of(sass)
    mix: Counter[str] = Counter()
    if listing.loops:
        # The first of those with the most exponentials or reciprocals: what is left over is walked in a loop behind,
        # which the assembler may have unrolled to be longer.
        main = max(listing.loops, key=lambda loop: (listing.count(*loop)["MUFU"], -loop[0]))
        mix = listing.count(*main)
        for inner in listing.inside(main)[:1]:
            for name, times in listing.count(*inner).items():
                mix[name] += times * (rounds - 1)
    whole = listing.count(0, len(listing.names))
    return Slots(
        function,
        sum(mix.values()) / per_round,
        mix["MUFU"] / per_round,
        {name: times / per_round for name, times in mix.most_common()},
        whole["LDL"] + whole["STL"],
        sum(whole[name] for name in ("ATOM", "ATOMG", "ATOMS", "RED")),
        1 + max((int(name) for name in _REGISTER.findall(sass)), default=0),
    )


def slots(problem: Problem, config: Config, gpu: str = "sm_90") -> dict[str, Slots]:
    """The slots of the launches that walk along time, nodes or poles, by function."""
    machine = target(gpu)
    kernel = machine.compile(machine.space(problem).check(config), problem, config)
    parts = re.split(r"^(?://|Function:)\s*(\w+)\n", kernel.stage("sass"), flags=re.MULTILINE)
    bodies = {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if text.strip()}
    launches = {launch.function: launch for launch in kernel.program.launches}
    return {
        name: count(name, text, *elements(problem, config, launches[name]))
        for name, text in bodies.items()
        if name not in _TIDYING
    }


def main(
    op: Annotated[str, typer.Option(help="op whose kernels are counted")] = "selective_scan",
    dtype: Annotated[str, typer.Option(help="dtype of u, delta, z and out")] = "bf16",
    d_state: Annotated[int, typer.Option(help="states")] = 16,
    direction: Annotated[str, typer.Option(help="forward or backward")] = "forward",
    options: Annotated[list[str] | None, typer.Option("--option", help="NAME or NAME=VALUE")] = None,
    config: Annotated[
        str | None, typer.Option(help="variant(name=value,...); default: the untuned one")
    ] = None,
    gpu: Annotated[str, typer.Option("--target", help="named NVIDIA GPU")] = "sm_90",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Count issue slots for each state element, or for each pole and node."""
    machine = target(gpu)
    (problem,) = Request({"d_state": d_state, "batch": 8}, dtype, options or ()).problems([op], machine.facts)
    problem = replace(problem, direction=direction)
    chosen = Config.parse(config) if config else machine.space(problem).default()
    found = slots(problem, chosen, gpu)
    if as_json:
        launches = [asdict(item) for item in found.values()]
        print(json.dumps({"config": str(chosen), "launches": launches}, indent=2))
        return
    names = ("slots", "MUFU", "spills", "atomics", "registers", "most of")
    table = Table(Column("launch", no_wrap=True), *names, title=f"{problem}\n{chosen}")
    for item in found.values():
        most = ", ".join(f"{name} {value:.2f}" for name, value in list(item.mix.items())[:6])
        counts = (str(item.spills), str(item.atomics), str(item.registers))
        table.add_row(item.function, f"{item.slots:.2f}", f"{item.mufu:.2f}", *counts, most)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
