"""Compile every config of an op's space for named GPUs, and list what fails.

    python benchmarks/compile_space.py selective_scan --target sm_90 --target gfx942 --d-state 16 --dtype bf16

Needs no GPU. Prints how many configs each rule excluded and what each failure said; exits with 1 if one failed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

from ssmgen.config import Config
from ssmgen.errors import CompileError
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.targets import Target, target


class Job(NamedTuple):
    """One config to compile."""

    target: Target
    problem: Problem
    config: Config


def problems(op: str, dtypes: Sequence[str], d_states: Sequence[int]) -> list[Problem]:
    """The op's default problem in each dtype and, where the op has one, with each state size."""
    face = interface(op)
    options = {name: values[0] for name, values in face.options.items()}
    sizes = d_states if "d_state" in face.dims else [0]
    dims = [{**face.dims, **({"d_state": size} if size else {})} for size in sizes]
    return [Problem.of(op, sizes, dtype, options) for dtype in dtypes for sizes in dims]


def sample(jobs: Sequence[Job], count: int, seed: int) -> list[Job]:
    """Some jobs, the same for the same seed; all where there are no more than `count`."""
    return random.Random(seed).sample(list(jobs), min(count, len(jobs)))


def failure(job: Job) -> str | None:
    """What the compiler said against the config; None where it compiled."""
    variant = job.target.space(job.problem).variant(job.config)
    try:
        job.target.compile(variant, job.problem, job.config)
    except CompileError as error:
        return str(error)
    return None


def main(
    op: str,
    targets: Annotated[list[str], typer.Option("--target", help="named GPU; may be given again")],
    dtypes: Annotated[list[str] | None, typer.Option("--dtype", help="default: the op's first")] = None,
    d_states: Annotated[list[int] | None, typer.Option("--d-state", help="state sizes of a scan")] = None,
    limit: Annotated[int | None, typer.Option(help="compile only so many, drawn at random")] = None,
    seed: Annotated[int, typer.Option(help="seed of the draw")] = 0,
    report: Annotated[Path | None, typer.Option("--json", help="file for the results")] = None,
) -> None:
    """Compile every config of an op's space for named GPUs, and list what fails."""
    console = Console()
    jobs: list[Job] = []
    excluded: dict[str, int] = {}
    for name in targets:
        for problem in problems(op, dtypes or interface(op).dtypes[:1], d_states or [16]):
            space = target(name).space(problem)
            jobs += [
                Job(target(name), problem, config) for configs in space.configs.values() for config in configs
            ]
            for (variant, rule), count in space.excluded.items():
                key = f"{name} {variant}: {rule}"
                excluded[key] = excluded.get(key, 0) + count
    if not jobs:
        console.print(f"no kernel of {', '.join(targets)} serves {op}: nothing was compiled.")
        raise typer.Exit(1)
    if limit is not None:
        jobs = sample(jobs, limit, seed)
    failures = []
    with Progress(console=console) as progress:
        for job in progress.track(jobs, description=op):
            said = failure(job)
            if said is not None:
                failures.append(
                    {
                        "target": job.target.name,
                        "problem": str(job.problem),
                        "config": str(job.config),
                        "error": said,
                    }
                )
    for key, count in sorted(excluded.items()):
        console.print(f"excluded {count:6} by {key}")
    for item in failures:
        console.print(f"failed: {item['target']}, {item['problem']}, {item['config']}\n{item['error']}")
    console.print(f"{len(jobs) - len(failures)} of {len(jobs)} configs compiled.")
    if report is not None:
        found = {"op": op, "compiled": len(jobs) - len(failures), "excluded": excluded, "failures": failures}
        report.write_text(json.dumps(found, indent=2) + "\n")
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
