"""Draw which variant of the selective scan should be the fastest on a GPU, by channels and length; needs no GPU.

    python -m benchmarks.crossovers --device h100 --out docs/pictures/crossovers_h100.png
    python -m benchmarks.crossovers --device h100 --backward --out docs/pictures/crossovers_back_h100.png

Each point takes the best of a few configs of each variant, by the time that is predicted from its machine code. Batch
times channels goes from 64 to half a million, the length from 1 to a million steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from benchmarks.limits import problem
from ssmgen.config import Config
from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space
from ssmgen.model import kernel_cost
from ssmgen.problem import Problem
from ssmgen.targets import target
from ssmgen.targets.devices import DEVICES
from ssmgen.targets.gpu import GpuTarget

# Batch and channels; their products are 64, 512, ..., 64 x 8192.
_SIZES = ((1, 64), (1, 512), (1, 1536), (4, 1536), (8, 4096), (16, 8192), (64, 8192))
_LENGTHS = (1, 16, 256, 2048, 16384, 131072, 1048576)
# What moves the crossovers: how wide a block is, and how long a chunk.
_VARIED = ("block_d", "chunk", "block_l", "segment")
_COLOURS = {
    "sequential": "#4477aa",
    "chunked": "#ee6677",
    "states": "#228833",
    "associative": "#ccbb44",
    "looped": "#66ccee",
    "segmented": "#aa3377",
}
_SAVED = 32  # gradients recompute states from every so many steps that forward saved


def problem_of(batch: int, dim: int, seqlen: int, d_state: int, *, backward: bool) -> Problem:
    """A bare scan in bf16 with time innermost, or its gradients."""
    sizes = {"batch": batch, "dim": dim, "seqlen": seqlen, "d_state": d_state}
    if backward:
        return problem("selective_scan", "bf16", sizes, "backward", saved=_SAVED)
    return problem("selective_scan", "bf16", sizes)


def candidates(space: Space) -> list[Config]:
    """The default of each variant, and the configs that differ from it in what moves the crossovers."""
    found: list[Config] = []
    for variant in space.variants:
        default = variant.default(space.problem, space.facts)
        same = {name: value for name, value in default.params if name not in _VARIED}
        found += [
            config
            for config in space.configs[variant.name]
            if all(config[name] == value for name, value in same.items())
        ]
    return found


def best_times(place: GpuTarget, wanted: Problem, name: str) -> dict[str, float]:
    """Predicted seconds of each variant's best candidate."""
    times: dict[str, float] = {}
    for config in candidates(place.space(wanted)):
        try:
            seconds = kernel_cost(place, wanted, config).seconds(DEVICES[name])
        except SsmgenError:
            continue
        times[config.variant] = min(seconds, times.get(config.variant, seconds))
    return times


def draw(rows: Sequence[dict[str, Any]], what: str, out: Path) -> None:
    """One square for each point: the fastest variant's colour, its time, and by how much it leads."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    figure, axes = plt.subplots(figsize=(9, 6))
    seen: dict[str, str] = {}
    for row in rows:
        x, y = _LENGTHS.index(row["seqlen"]), _SIZES.index((row["batch"], row["dim"]))
        ranked = sorted(row["seconds"].items(), key=lambda item: item[1])
        variant, seconds = ranked[0]
        lead = ranked[1][1] / seconds if len(ranked) > 1 else None
        seen[variant] = _COLOURS.get(variant, "#bbbbbb")
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=seen[variant], alpha=0.75, edgecolor="white")
        )
        text = f"{1e6 * seconds:.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms"
        axes.text(x, y + 0.12, text, ha="center", va="center", fontsize=9)
        if lead is not None:
            axes.text(x, y - 0.22, f"{lead:.1f}x", ha="center", va="center", fontsize=7, color="#333333")
    axes.set_xlim(-0.5, len(_LENGTHS) - 0.5)
    axes.set_ylim(-0.5, len(_SIZES) - 0.5)
    axes.set_xticks(range(len(_LENGTHS)), [f"{length:,}" for length in _LENGTHS])
    axes.set_yticks(range(len(_SIZES)), [f"{batch} x {dim:,}" for batch, dim in _SIZES])
    axes.set_xlabel("length")
    axes.set_ylabel("batch x channels")
    axes.set_title(
        f"{what}: the fastest variant as predicted,\n"
        "its time, and how much longer the second takes. No GPU has confirmed it.",
        fontsize=10,
    )
    axes.legend(
        handles=[Patch(facecolor=colour, alpha=0.75, label=variant) for variant, colour in seen.items()],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=len(seen),
        frameon=False,
    )
    figure.tight_layout()
    figure.savefig(out, dpi=120)


def main(
    device: Annotated[str, typer.Option(help="a GPU that need not be here")] = "h100",
    d_state: Annotated[int, typer.Option(help="states")] = 16,
    backward: Annotated[bool, typer.Option("--backward", help="gradients")] = False,
    out: Annotated[Path | None, typer.Option(help="PNG file of the picture")] = None,
) -> None:
    """Predict every point; draw them, or print them as JSON."""
    place = target(device)
    assert isinstance(place, GpuTarget)
    points = [(batch, dim, seqlen) for batch, dim in _SIZES for seqlen in _LENGTHS]
    rows = []
    for batch, dim, seqlen in track(points, description="points"):
        times = best_times(place, problem_of(batch, dim, seqlen, d_state, backward=backward), device)
        rows.append({"batch": batch, "dim": dim, "seqlen": seqlen, "seconds": times})
    if out is None:
        print(json.dumps(rows, indent=2))
    else:
        scan = "Gradients of the selective scan" if backward else "Selective scan"
        draw(rows, f"{scan}, bf16, {d_state} states, {DEVICES[device].name}", out)


if __name__ == "__main__":
    typer.run(main)
