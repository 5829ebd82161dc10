"""What the GPU kernels cost for each state element, read from machine code, beside the aims and the peers' kernels.

    python -m benchmarks.limits
    python -m benchmarks.limits --target mi300x --all-architectures

Needs no GPU. Of the heaviest launch the main loop counts, with the loops inside it: instructions that a warp issues
(slots), and of these the special functions and the multiply-adds, over the elements that a lane handles. An element is
a (channel, step, state) of a scan, a (pole pair, node) of a Cauchy product; sizes are such that no lane is idle. The
bound is the most of slots, 8 for each special function, and multiply-adds, in cycles of the part of a multiprocessor
that issues for the warp. Spills and atomics are those of all launches.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Column, Table

from benchmarks.peers import CAUCHY_FORWARD, MAMBA_BACKWARD, MAMBA_FORWARD, Peer
from ssmgen.errors import SsmgenError
from ssmgen.kernels import interface
from ssmgen.model import KernelCost, kernel_cost
from ssmgen.problem import Option, Problem
from ssmgen.targets import target
from ssmgen.targets.architectures import ARCHITECTURES
from ssmgen.targets.devices import device_of
from ssmgen.targets.gpu import GpuTarget

_EPILOGUES: Mapping[str, Option] = {"D": True, "z": True, "softplus": True}


def _of(peer: Mapping[str, Peer]) -> str:
    """What a kernel of another project issues for each element on sm_90, as `docs/peers.md` says."""
    found = peer["sm_90"]
    atomics = f" + {found.atomics:.0f} atomics" if found.atomics else ""
    return f"{found.kernel.split()[0]} {found.all_slots:.1f}{atomics}"


class Case(NamedTuple):
    """A kernel, and what it should cost.

    Attributes:
        name: What it is called in the table.
        problem: The problem.
        aim: The bound that it should not exceed on sm_90; None where there is no aim.
        peer: The same of the best known kernel of others, counted in its machine code for sm_90.
    """

    name: str
    problem: Problem
    aim: float | None = None
    peer: str = ""


def problem(
    op: str, dtype: str, sizes: Mapping[str, int], direction: str = "forward", **options: Option
) -> Problem:
    """An op's default problem with other sizes and options."""
    face = interface(op)
    given = {name: values[0] for name, values in face.options.items()} | options
    return replace(Problem.of(op, {**face.dims, **sizes}, dtype, given), direction=direction)


def scan(dtype: str, d_state: int, direction: str = "forward", **options: Option) -> Problem:
    """A selective scan of eight sequences, channels last; backward from every fourth state."""
    saved = 4 if direction == "backward" else 0
    sizes = {"batch": 8, "d_state": d_state}
    return problem("selective_scan", dtype, sizes, direction, layout="channel", saved=saved, **options)


def step(state_dtype: str, **given: Option) -> Problem:
    """A decode step of 64 sequences, their state of that dtype."""
    face = interface("selective_state_update")
    sizes = {"batch": 64, **{name: int(given.pop(name)) for name in face.dims if name in given}}
    return problem("selective_state_update", "bf16", sizes, softplus=True, state_dtype=state_dtype, **given)


def cases() -> list[Case]:
    """The kernels of the table."""
    found = [
        Case("scan, D", scan("bf16", 16, D=True), 7.8),
        Case("scan, D, z, softplus", scan("bf16", 16, **_EPILOGUES), 9.0, _of(MAMBA_FORWARD)),
        Case("scan backward", scan("bf16", 16, "backward"), 18.0),
        Case(
            "scan backward, D, z, softplus",
            scan("bf16", 16, "backward", **_EPILOGUES),
            20.0,
            _of(MAMBA_BACKWARD),
        ),
        Case("Cauchy product", problem("cauchy_mult", "c64", {"nodes": 4096}), 18.0, _of(CAUCHY_FORWARD)),
        Case(
            "Cauchy product, imaginary nodes", problem("cauchy_mult", "c64", {"nodes": 4096}, imaginary=True)
        ),
        Case(
            "DPLR, four products",
            problem("dplr_kernel", "c64", {"seqlen": 8190}),
            28.0,
            f"4 x {_of(CAUCHY_FORWARD)}",
        ),
        Case("decode step", step("fp32", d_state=16)),
        *(
            Case(
                f"decode step, tied, {state}, N {d_state}",
                step(state, heads=64, dim=64, d_state=d_state, tied=True, D=True, dt_bias=True),
            )
            for d_state in (64, 128)
            for state in ("fp32", "bf16")
        ),
    ]
    for d_state in (16, 64, 128):
        for dtype in ("fp32", "bf16"):
            if (d_state, dtype) != (16, "bf16"):
                found.append(Case(f"scan, D, {dtype}, N {d_state}", scan(dtype, d_state, D=True)))
                found.append(Case(f"scan backward, {dtype}, N {d_state}", scan(dtype, d_state, "backward")))
    return found


def cost_of(place: GpuTarget, case: Case) -> KernelCost:
    """The cost of the default config."""
    return kernel_cost(place, case.problem, place.space(case.problem).default())


def main(
    target_name: Annotated[str, typer.Option("--target", help="a GPU that need not be here")] = "sm_90",
    all_architectures: Annotated[
        bool, typer.Option("--all-architectures", help="also compile each for every architecture")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Print the table."""
    place = target(target_name)
    assert isinstance(place, GpuTarget), "only GPUs have machine code of this kind"
    core = device_of(place.facts.name, place.facts.arch).core
    headings = ("bound", "aim", "slots", "MUFU", "FMA", "spills", "atomics", "regs", "others")
    table = Table(Column("kernel", no_wrap=True), *headings, title=f"For each element, {place.name}")
    data = []
    for case in cases():
        config = place.space(case.problem).default()
        cost = cost_of(place, case)
        row = {
            "kernel": case.name,
            "problem": str(case.problem),
            "config": str(config),
            "bound": cost.bound(core),
            "aim": case.aim,
            "slots": cost.loop_per_element(core),
            "mufu": cost.loop_per_element(core, "mufu"),
            "fma": cost.loop_per_element(core, "fma"),
            "spills": cost.spills,
            "atomics": sum(item.atomics for item in cost.launches),
            "registers": cost.heaviest.registers,
            "peer": case.peer,
        }
        data.append(row)
        numbers = [f"{row[name]:.2f}" for name in ("slots", "mufu", "fma")]
        counts = [str(row[name]) for name in ("spills", "atomics", "registers")]
        aim = "" if case.aim is None else f"{case.aim:.1f}"
        table.add_row(case.name, f"{row['bound']:.2f}", aim, *numbers, *counts, case.peer)
    failures = _compile_everywhere() if all_architectures else None
    if as_json:
        print(json.dumps({"target": place.name, "kernels": data, "failures": failures}, indent=2))
    else:
        # A table that is cut at 80 columns says nothing.
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(table)
        if failures is not None:
            console.print(
                f"{len(cases())} kernels x {len(ARCHITECTURES)} architectures: {len(failures)} do not compile."
            )
            for failure in failures:
                console.print(failure, style="red", soft_wrap=True)


def _compile_everywhere() -> list[str]:
    """What does not compile, for each architecture."""
    found = []
    for name in ARCHITECTURES:
        place = target(name)
        assert isinstance(place, GpuTarget)
        for case in cases():
            try:
                cost_of(place, case)
            except SsmgenError as error:
                found.append(f"{name}, {case.name}: {error}")
    return found


if __name__ == "__main__":
    typer.run(main)
