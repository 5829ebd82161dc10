"""Record every config of some problems, and show what the tuner's search makes of a part of them.

    python -m benchmarks.sweep

takes ten minutes on a machine that does nothing else: it compiles and times every valid config of the problems below,
in one thread, and writes benchmarks/results/sweep_*.json; then it replays searches on them, writes
benchmarks/results/regret.json and docs/pictures/search_regret.png, and prints what docs/tuning.md says of them.
`--replay` does only the latter.
"""

from __future__ import annotations

import json
import sys
from math import ceil
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.recording import Recording, record
from benchmarks.replay import STRATEGIES, regrets
from ssmgen.codegen import write_atomically
from ssmgen.kernels import interface
from ssmgen.problem import Option, Problem
from ssmgen.targets import target

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results"
PICTURE = ROOT / "docs/pictures/search_regret.png"
SEEDS = 10
NEAR_ENOUGH = 0.03  # of the best of the whole sweep


def _problem(op: str, direction: str = "forward", dtype: str | None = None, **given: Option) -> Problem:
    face = interface(op)
    dims = {name: int(given.pop(name, size)) for name, size in face.dims.items()}
    options = {name: values[0] for name, values in face.options.items()} | given
    return Problem.of(op, dims, dtype or face.dtypes[0], options, direction)


# Small enough that a run takes a millisecond or two: what other processes do meanwhile spoils few of them.
SWEEPS = {
    "scan": _problem("selective_scan", dim=768, seqlen=1024),
    "scan_gradients": _problem("selective_scan", "backward", dim=256, seqlen=1024, saved=32),
    "cauchy": _problem("cauchy_mult", rows=128, nodes=2049),
    "vandermonde": _problem("log_vandermonde", rows=128),
    "vandermonde_transpose": _problem("log_vandermonde_transpose", rows=128),
    "dplr": _problem("dplr_kernel", dim=128, seqlen=2048),
}
# Recorded once the search was what it is: nothing in it was chosen by these.
HELD_OUT = {
    "scan_gated": _problem(
        "selective_scan", dtype="bf16", dim=512, seqlen=512, D=True, z=True, softplus=True
    ),
    "scan_states": _problem("selective_scan", dim=192, seqlen=512, d_state=64),
    "scan_gradients_gated": _problem(
        "selective_scan", "backward", dim=256, seqlen=512, saved=16, D=True, z=True, softplus=True
    ),
    "cauchy_imaginary": _problem("cauchy_mult", rows=128, nodes=2049, imaginary=True),
    "ssd": _problem("ssd", heads=4, seqlen=512),
}
ALL = {**SWEEPS, **HELD_OUT}


def path_of(name: str) -> Path:
    """Where a sweep is kept."""
    return RESULTS / f"sweep_{name}.json"


def replayed(recording: Recording) -> dict[str, Any]:
    """Of each strategy: regret after each config, up to half of the space, the mean and the worst of ten seeds."""
    half, quarter = ceil(len(recording.rounds) / 2), ceil(len(recording.rounds) / 4)
    found: dict[str, Any] = {"configs": len(recording.rounds), "quarter": quarter, "strategies": {}}
    for name, strategy in STRATEGIES.items():
        curves = [regrets(recording, strategy, seed, half) for seed in range(SEEDS)]
        found["strategies"][name] = {
            "mean": [round(mean(values), 4) for values in zip(*curves, strict=True)],
            "worst": [round(max(values), 4) for values in zip(*curves, strict=True)],
            "near_enough": sum(curve[quarter - 1] <= NEAR_ENOUGH for curve in curves),
        }
    return found


def table(found: dict[str, Any]) -> Table:
    """After a quarter of each space: seeds within 3% of the best, and the mean regret."""
    shown = Table("sweep", "configs", *STRATEGIES)
    for name, sweep in found.items():
        cells = [
            f"{one['near_enough']} of {SEEDS}, {100 * one['mean'][sweep['quarter'] - 1]:.1f}%"
            for one in sweep["strategies"].values()
        ]
        shown.add_row(name, str(sweep["configs"]), *cells, end_section=name == [*SWEEPS][-1])
    return shown


def draw(found: dict[str, Any]) -> None:
    """Mean regret against the part of the space that was measured, a panel for each sweep."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        3, ceil(len(found) / 3), figsize=(9, 7), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (name, sweep) in zip(axes.flat, found.items(), strict=False):
        for strategy, one in sweep["strategies"].items():
            parts = [(index + 1) / sweep["configs"] for index in range(len(one["mean"]))]
            axis.plot(parts, [100 * value for value in one["mean"]], label=strategy)
        axis.axvline(0.25, color="grey", linewidth=0.5)
        axis.axhline(100 * NEAR_ENOUGH, color="grey", linewidth=0.5)
        axis.set(title=f"{name.replace('_', ' ')}, {sweep['configs']} configs", ylim=(0, 40), xlim=(0, 0.5))
        axis.spines[["top", "right"]].set_visible(False)
    axes.flat[0].legend(frameon=False)
    figure.supxlabel("part of the valid configs that was measured")
    figure.supylabel("slower than the best, mean of ten seeds, %")
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="of the sweeps; default: all")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="only replay what was recorded")] = False,
) -> None:
    """Record every config of some problems, and replay searches on them."""
    torch.set_num_threads(1)
    console = Console()
    if not replay:
        for name in names or ALL:
            with console.status(name) as status:
                found = record(
                    target("cpu"),
                    ALL[name],
                    lambda what, name=name, status=status: status.update(f"{name}: {what}"),
                    " ".join(["python -m benchmarks.sweep", *sys.argv[1:]]),
                )
            found.write(path_of(name))
            console.print(f"{path_of(name).relative_to(ROOT)}: {len(found.rounds)} configs")
    with console.status("replaying"):
        found = {name: replayed(Recording.read(path_of(name))) for name in ALL if path_of(name).exists()}
    write_atomically(RESULTS / "regret.json", json.dumps(found, indent=1) + "\n")
    console.print(table(found))
    draw(found)


if __name__ == "__main__":
    typer.run(main)
