"""Learn to write like Python's documentation, a byte at a time, with two Mamba blocks.

The text is that of `help()`'s topics, which ships with Python. Every tenth topic is held out, and of paragraphs that
several topics have only the first is kept, so that nothing is in both parts. What the model needs for a byte of the
held-out topics, in bits, stands beside what three others need: the frequencies of bytes, xz, and xz that has read the
other topics. The model reads as it is trained, all bytes at once; it writes step by step, with the blocks' states, and
the script compares the two.

`mamba_text.png`: bits for each byte, of what is trained on and of what is held out.

    pip install '.[examples]'
    python examples/mamba_text.py
"""

from __future__ import annotations

import lzma
from math import log
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from pictures import BLUE, GREY, ORANGE, label, plt, save
from torch import Tensor, nn
from training import Residual, fit, options, parsed, smooth, tell

from ssmgen.nn import Mamba

D_MODEL, LAYERS, DROPOUT = 128, 2, 0.2
BATCH, WINDOW, RATE, DECAY = 8, 256, 8e-3, 0.1
# The held-out text is read in pieces of so many bytes, which the state goes across.
PIECE = 4096
PROMPT = b"The "


class Reader(nn.Module):
    """Mamba blocks between an embedding of bytes and the logits of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, D_MODEL)
        self.layers = nn.ModuleList(Residual(D_MODEL, Mamba(D_MODEL), DROPOUT) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(D_MODEL)
        self.head = nn.Linear(D_MODEL, 256)

    def default_states(self, batch: int) -> list[Any]:
        """The blocks' states before anything was read."""
        return [layer.mixer.default_state(batch) for layer in self.layers]

    def forward(self, text: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        """(batch, length) -> (batch, length, 256), logits of the next bytes, and the states after the text."""
        x, after = self.embedding(text), []
        for layer, before in zip(self.layers, states, strict=True):
            x, state = layer(x, before)
            after.append(state)
        return self.head(self.norm(x)), after

    def step(self, byte: Tensor, states: list[Any]) -> Tensor:
        """(batch,) -> (batch, 256); the states are changed in place."""
        x = self.embedding(byte)
        for layer, state in zip(self.layers, states, strict=True):
            x, _ = layer.step(x, state)
        logits: Tensor = self.head(self.norm(x))
        return logits


def documentation() -> tuple[bytes, bytes]:
    """Of the topics that a model learns from, and of every tenth, which it does not."""
    seen: set[str] = set()
    parts: tuple[list[str], list[str]] = [], []
    for index, name in enumerate(sorted(topics)):
        for paragraph in topics[name].split("\n\n"):
            if paragraph not in seen:
                seen.add(paragraph)
                parts[index % 10 == 0].append(paragraph)
    learnt, held_out = ("\n\n".join(part).encode() for part in parts)
    return learnt, held_out


def unigram_bits(known: bytes, text: bytes) -> float:
    """Bits for each byte by the frequencies in what is known, each byte having been seen once more."""
    counts = torch.bincount(torch.tensor(list(known)), minlength=256).double() + 1
    return float(-(counts / counts.sum()).log2()[torch.tensor(list(text))].mean())


def xz_bits(text: bytes, known: bytes = b"") -> float:
    """Bits that xz adds for each byte of a text which comes after what is known."""

    def size(data: bytes) -> int:
        best = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
        return len(lzma.compress(data, lzma.FORMAT_RAW, filters=best))

    return 8 * (size(known + text) - (size(known) if known else 0)) / len(text)


def bits(model: Reader, text: Tensor) -> float:
    """Bits for each byte after the first, each predicted from all before it."""
    states, total = model.default_states(1), 0.0
    for piece, following in zip(text[:-1].split(PIECE), text[1:].split(PIECE), strict=True):
        logits, states = model(piece[None], states)
        total += float(F.cross_entropy(logits[0], following, reduction="sum"))
    return total / log(2) / (len(text) - 1)


@torch.inference_mode()
def difference(model: Reader, text: Tensor) -> float:
    """How far the logits of steps are from those of the whole text at once, as a part of the largest."""
    whole, _ = model(text[None], model.default_states(1))
    states = model.default_states(1)
    steps = torch.stack([model.step(byte[None], states) for byte in text], dim=1)
    return float((steps - whole).abs().max() / whole.abs().max())


@torch.inference_mode()
def write(model: Reader, length: int, temperature: float = 0.7) -> str:
    """A text that the model makes up, byte by byte."""
    generator = torch.Generator().manual_seed(0)
    written = list(PROMPT)
    logits, states = model(torch.tensor([written]), model.default_states(1))
    following = logits[:, -1]
    while len(written) < length:
        byte = torch.multinomial((following / temperature).softmax(-1), 1, generator=generator)[:, 0]
        written.append(int(byte))
        following = model.step(byte, states)
    return bytes(written).decode(errors="replace")


def train(seed: int, steps: int, times: int, known: bytes, held_out: bytes) -> dict[str, Any]:
    """What a training was like, and what came of it."""
    torch.manual_seed(seed)
    model, text, unseen = Reader(), torch.tensor(list(known)), torch.tensor(list(held_out))

    def loss() -> Tensor:
        starts = torch.randint(len(text) - WINDOW, (BATCH, 1))
        windows = text[starts + torch.arange(WINDOW + 1)]
        logits, _ = model(windows[:, :-1], model.default_states(BATCH))
        return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())

    curve = fit(f"seed {seed}", model, loss, steps, RATE, DECAY, lambda: bits(model, unseen), times)
    return {
        "parameters": sum(x.numel() for x in model.parameters()),
        "seconds": curve.seconds,
        "bits": curve.watched[steps],
        "bits_in_training": [x / log(2) for x in curve.losses],
        "bits_held_out": curve.watched,
        "difference": difference(model, unseen[:1000]),
        "sample": write(model, 600),
    }


def picture(path: Path, runs: list[dict[str, Any]], others: dict[str, float]) -> None:
    """The curves of all trainings, and what others need."""
    figure, axes = plt.subplots(figsize=(6.5, 3.4))
    for index, run in enumerate(runs):
        axes.plot(*smooth(run["bits_in_training"]), color=ORANGE, label=None if index else "in training")
        axes.plot(
            *zip(*run["bits_held_out"].items(), strict=True),
            color=BLUE,
            label=None if index else "held out",
        )
    for name, needed in others.items():
        axes.axhline(needed, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            f"{name}: {needed:.2f}", (len(runs[0]["bits_in_training"]), needed - 0.04), ha="right", va="top"
        )
    axes.set_ylim(1, 5)
    label(axes, "Python's documentation, read by two Mamba blocks", "step", "bits for each byte")
    axes.legend(loc="center right")
    save(figure, path)


def main() -> None:
    given = parsed(options(__doc__, steps=1200))
    steps, times = (60, 2) if given.quick else (given.steps, 20)
    known, held_out = documentation()
    others = {
        "frequencies of bytes": unigram_bits(known, held_out),
        "xz": xz_bits(held_out),
        "xz, after the others": xz_bits(held_out, known),
    }
    runs = [train(seed, steps, times, known, held_out) for seed in given.seeds]
    picture(given.folder / "mamba_text.png", runs, others)
    lines = [f"{len(known)} bytes to learn from, {len(held_out)} held out; bits for each of these:"]
    lines += [f"{name}: {needed:.3f}" for name, needed in others.items()]
    lines += [
        f"Mamba, seed {seed}: {run['bits']:.3f}; {run['parameters']} parameters, {run['seconds']:.0f} s"
        for seed, run in zip(given.seeds, runs, strict=True)
    ]
    first = runs[0]
    lines.append(f"step by step and at once, logits differ by {first['difference']:.1e} of the largest")
    lines.append(f"seed {given.seeds[0]} writes:\n{first['sample']}")
    sizes = {"known": len(known), "held_out": len(held_out)}
    tell(given, {"steps": steps, "bytes": sizes, "others": others, "runs": runs}, lines)


if __name__ == "__main__":
    main()
