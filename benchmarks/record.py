"""Record this machine: run `ssmgen bench` a few times, keep the data, and write the tables of docs/bench.md.

    python -m benchmarks.record

takes ten minutes at most, on a machine that does nothing else. What is to be shown tuned is to be tuned before, by
`ssmgen tune --all` and `ssmgen tune --training`. The data go to benchmarks/results/, the pictures to docs/pictures/.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ssmgen.bench import machine_facts
from ssmgen.codegen import write_atomically
from ssmgen.report.wording import mebibytes, milliseconds
from ssmgen.targets import target

ROOT = Path(__file__).parent.parent
RESULTS, PICTURES, PAGE = ROOT / "benchmarks/results", ROOT / "docs/pictures", ROOT / "docs/bench.md"
BEGIN, END = "<!-- recorded by benchmarks/record.py -->", "<!-- end of what was recorded -->"


@dataclass(frozen=True)
class Run:
    """One run of `ssmgen bench`.

    Attributes:
        name: Its key in the data, and in the names of pictures.
        title: Its heading.
        arguments: As on the command line.
        seconds: Its budget; all of them together are below ten minutes.
    """

    name: str
    title: str
    arguments: str
    seconds: int

    @property
    def is_sweep(self) -> bool:
        """Whether it varies a size, and so has a picture."""
        return "--sweep" in self.arguments


RUNS = (
    Run(
        "forward",
        "Forward",
        "selective_scan selective_state_update linear_scan cauchy_mult log_vandermonde dplr_kernel",
        150,
    ),
    Run(
        "imaginary",
        "Imaginary nodes",
        "cauchy_mult --option imaginary --provider ssmgen --provider numba",
        15,
    ),
    Run(
        "bf16",
        "bfloat16",
        "selective_scan --dtype bf16 --provider ssmgen --provider torch",
        20,
    ),
    Run(
        "dplr",
        "The DPLR kernel of a long sequence",
        "dplr_kernel --seqlen 16384 --provider ssmgen --provider torch",
        45,
    ),
    Run(
        "mamba2",
        "The decode step of Mamba-2, eight sequences",
        "selective_state_update --option tied --batch 8 --heads 24 --dim 64 --d-state 128",
        20,
    ),
    Run(
        "training",
        "Forward and backward",
        "selective_scan --training --provider ssmgen --provider torch --provider mambapy --provider jax",
        100,
    ),
    Run("length", "Against length, two threads", "selective_scan --sweep seqlen --threads 2", 95),
    Run(
        "length1",
        "Against length, one thread",
        "selective_scan --sweep seqlen --threads 1 --provider ssmgen",
        25,
    ),
    Run("dim", "Against channels", "selective_scan --sweep dim --seqlen 1024", 50),
    Run("d_state", "Against states", "selective_scan --sweep d_state --dim 256 --seqlen 1024", 45),
    Run(
        "threads",
        "Against threads",
        "selective_scan --sweep threads --provider ssmgen --provider torch --provider plain-c",
        20,
    ),
)


def record(run: Run) -> dict[str, Any]:
    """The data of a run; a sweep draws its picture too."""
    words = [*shlex.split(run.arguments), "--target", "cpu", "--budget", str(run.seconds), "--json"]
    if run.is_sweep:
        words += ["--plot", str(picture(run).relative_to(ROOT))]
    done = subprocess.run(
        [sys.executable, "-m", "ssmgen", "bench", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(
            f"{run.name}: ssmgen bench {shlex.join(words)} ended with {done.returncode}: {done.stdout}"
        )
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def picture(run: Run) -> Path:
    return PICTURES / f"bench_{run.name}.svg"


def page(data: dict[str, Any]) -> str:
    """The part of docs/bench.md that is recorded."""
    lines = [BEGIN, "", *_facts(next(iter(data["runs"].values()))["machine"]), ""]
    for run in RUNS:
        if run.name not in data["runs"]:
            continue
        found = data["runs"][run.name]
        lines += [f"### {run.title}", "", f"`{found['command']}`", ""]
        if run.is_sweep:
            lines += [f"![{run.title}](pictures/{picture(run).name})", "", *_growth(found)]
        else:
            for point in found["points"]:
                lines += _table(point)
    return "\n".join([*lines, END])


def _facts(machine: dict[str, Any]) -> list[str]:
    caches = ", ".join(f"{name} {size >> 10} KiB" for name, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['arch']}; {caches}; "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory. {machine['compiler']['version']}; "
        f"Python {machine['python']}; {versions}; commit {machine['commit']}."
    ]


def _table(point: dict[str, Any]) -> list[str]:
    sizes = ", ".join(f"{name} {size}" for name, size in point["dims"].items())
    lines = [
        f"**{point['op']}**, {point['mode']} ({sizes}), {point['dtype']}, {point['threads']} threads{_limit(point)}"
    ]
    lines += [
        "",
        "| provider | time | quartiles | vs torch | of limit | error | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in point["rows"]:
        if row["status"] == "skipped":
            continue
        if row["seconds"] is None:
            lines.append(f"| {row['provider']} | {row['status']}: {row['reason'][:120]} | | | | | |")
            continue
        low, high = (milliseconds(seconds) for seconds in row["quartiles"])
        errors = row["errors"].values()
        error = "not finite" if None in errors else f"{max(errors):.1e}"
        cells = [
            row["provider"],
            milliseconds(row["seconds"]),
            f"{low} to {high}",
            "-" if row["speedup"] is None else f"{row['speedup']:.3g}",
            "-" if row["fraction_of_limit"] is None else f"{100 * row['fraction_of_limit']:.2g}%",
            error,
            mebibytes(row["memory_bytes"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _limit(point: dict[str, Any]) -> str:
    limit = point["limit"]
    if limit is None:
        return ""
    memory = f"memory {milliseconds(limit['memory_seconds'])} at {limit['bytes_per_second'] / 1e9:.1f} GB/s"
    if limit["compute_seconds"] is None:
        return f"; {memory}"
    return f"; limit: arithmetic {milliseconds(limit['compute_seconds'])}, {memory}"


def _growth(data: dict[str, Any]) -> list[str]:
    """How each provider grows, and the fastest and slowest of what was measured."""
    lines = [
        "| provider | time grows with the power | memory | smallest | largest |",
        "|---|---|---|---|---|",
    ]
    fits = {fit["provider"]: fit for fit in data["fits"]}
    for name in [row["provider"] for row in data["points"][0]["rows"]]:
        done = [
            (point["value"], row["seconds"])
            for point in data["points"]
            for row in point["rows"]
            if row["provider"] == name and row["seconds"] is not None
        ]
        if not done:
            continue
        fit = fits.get(name, {"time": None, "memory": None})
        ends = [f"{milliseconds(seconds)} at {value:,}" for value, seconds in (done[0], done[-1])]
        lines.append(f"| {name} | {_power(fit['time'])} | {_power(fit['memory'])} | {ends[0]} | {ends[1]} |")
    return [*lines, ""]


def _power(fit: dict[str, Any] | None) -> str:
    return "-" if fit is None else f"{fit['exponent']:.2f} ± {fit['margin']:.2f}"


def write_page(data: dict[str, Any]) -> None:
    """Put what was recorded into docs/bench.md, between its two comments."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    write_atomically(PAGE, before + page(data) + rest.split(END)[1])


def main(
    only: Annotated[list[str] | None, typer.Option(help="run this one alone, and others given so")] = None,
    run: Annotated[
        bool, typer.Option(help="run, or only write the page from the data that are there")
    ] = True,
) -> None:
    """Run, keep, and write up."""
    cpu = target("cpu")
    path = RESULTS / f"{cpu.facts.slug}.json"
    data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    # Before the first run: what it writes would make the commit look changed.
    machine = machine_facts(cpu)
    for each in RUNS:
        if run and (not only or each.name in only):
            print(f"{each.name}: {each.seconds} s", file=sys.stderr, flush=True)
            data["runs"][each.name] = {**record(each), "machine": machine}
            write_atomically(path, json.dumps(data, indent=1, sort_keys=True) + "\n")
    write_page(data)


if __name__ == "__main__":
    typer.run(main)
