"""The pictures of docs/how/scan.md: the rounds of a parallel scan, and what one layer of Mamba-130M moves.

python -m docs.how.scan_pictures --folder docs/pictures
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from docs.how.drawing import folder
from examples.pictures import BLUE, GREY, ORANGE, plt, save

STEPS = 8
# One sequence of 2048 steps through a layer of Mamba-130M, float32.
DIM, SEQLEN, D_STATE, BYTES = 1536, 2048, 16, 4


def draw_rounds(axes: Axes) -> None:
    """Pair t after each round holds the product of the last 2, 4, 8 pairs up to t."""
    rounds = STEPS.bit_length() - 1
    for level in range(rounds + 1):
        apart = 1 << level
        for t in range(STEPS):
            first = max(0, t - apart + 1)
            is_done = first == 0
            text = f"{t + 1}" if first == t else f"{first + 1}–{t + 1}"
            box = {"boxstyle": "round,pad=0.25", "fc": "#dbe8f6" if is_done else "white", "ec": BLUE}
            axes.text(t, -level, text, ha="center", va="center", fontsize=11, bbox=box)
            if level < rounds:
                straight = {"arrowstyle": "-", "color": GREY, "lw": 1, "shrinkA": 10, "shrinkB": 10}
                axes.annotate("", (t, -level - 1), (t, -level), arrowprops=straight)
                if t >= apart:
                    slanted = {"arrowstyle": "-|>", "color": ORANGE, "lw": 1.3, "shrinkA": 14, "shrinkB": 14}
                    axes.annotate("", (t, -level - 1), (t - apart, -level), arrowprops=slanted)
        axes.text(-0.75, -level, f"round {level}" if level else "steps", ha="right", va="center", fontsize=11)
    axes.set_xlim(-2.2, STEPS - 0.5)
    axes.set_ylim(-rounds - 0.4, 0.4)
    axes.axis("off")


def draw_traffic(axes: Axes) -> None:
    sequence = DIM * SEQLEN * BYTES / 1e6
    row = D_STATE * SEQLEN * BYTES / 1e6
    moved = {
        "a, b and h as tensors,\nwritten and read": 6 * sequence * D_STATE,
        "state in registers:\nu, delta, out, B, C": 3 * sequence + 2 * row,
    }
    bars = axes.barh(list(moved), list(moved.values()), color=[ORANGE, BLUE], height=0.55)
    axes.bar_label(bars, [f"{value:.0f} MB" for value in moved.values()], padding=4, fontsize=11)
    axes.set_xlim(0, 1550)
    axes.set_axisbelow(True)
    axes.set_xlabel("MB moved by one layer of Mamba-130M, 2048 steps")
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()


def main() -> None:
    pictures: Path = folder(__doc__)
    figure, axes = plt.subplots(figsize=(5.4, 3.0))
    draw_rounds(axes)
    save(figure, pictures / "how_scan_rounds.png")
    figure, axes = plt.subplots(figsize=(5.4, 1.9))
    draw_traffic(axes)
    save(figure, pictures / "how_scan_traffic.png")


if __name__ == "__main__":
    main()
