"""What the examples' pictures share: colours, sizes, and how they are saved."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no screen is needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["BLUE", "GREY", "ORANGE", "RAMP", "label", "plt", "save"]

BLUE, ORANGE, GREY = "#2563a8", "#d9601a", "#7a7f87"
# From dark to light, for functions of one family.
RAMP = ("#123b66", "#2563a8", "#4f8fcc", "#8db9e2", "#2a9d6f")

plt.rcParams.update(
    {
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e8eb",
        "legend.frameon": False,
        "lines.linewidth": 1.6,
    }
)


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and names of both axes."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def save(figure: Figure, path: Path) -> None:
    """As a PNG that is sharp on a page and, of few colours, small."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=150)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path}", file=sys.stderr, flush=True)
