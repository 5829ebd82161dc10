"""Draw what the number of configs is worth: the worst loss over a group's shapes, a panel for each group."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

__all__ = ["PICTURE", "draw"]

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "few_configs.png"
_COLUMNS = 3


def draw(curves: Mapping[str, Mapping[str, Any]], picture: Path = PICTURE) -> None:
    """Draw the curves of `benchmarks/results/few.json`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = ceil(len(curves) / _COLUMNS)
    figure, axes = pyplot.subplots(
        rows, _COLUMNS, figsize=(9, 2.1 * rows), sharex=True, sharey=True, layout="constrained"
    )
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    for axis, (name, devices) in zip(axes.flat, curves.items(), strict=False):
        for device, item in devices.items():
            counts = [len(choice["configs"]) for choice in item["choices"]]
            losses = [100 * choice["worst"] for choice in item["choices"]]
            axis.plot(counts, losses, marker="o", markersize=3, label=device)
        shapes = next(iter(devices.values()))["shapes"]
        axis.axhline(5, color="grey", linewidth=0.5)
        # What all groups share need not stand above each.
        shown = name.replace(" bf16", "").replace(" c64", "").replace(" layout=time", "")
        axis.set_title(f"{shown}, {shapes} shapes", fontsize=7)
        axis.set_yscale("symlog", linthresh=5)
        axis.set_yticks([0, 5, 20, 100, 1000], ["0", "5", "20", "100", "1000"])
        axis.set(ylim=(-0.5, 4000))
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel("configs kept")
    figure.supylabel("slower than the shape's best, at worst, %")
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
