"""Copy what is scattered among noise: Mamba learns to, and S4, whose convolution is blind to content, does not.

The task is selective copying (arXiv 2312.00752, section 4.1.1): tokens lie at random places among noise, and are to be
repeated in their order once the sequence is over. The paper has 16 tokens among 4096 steps; here 8 tokens of 16 kinds
lie among 32 to 128, a number drawn for each batch, so that two CPU cores train both models in minutes. Both are two
layers of as many parameters, trained alike. Afterwards they read sequences up to 16 times as long as any before.

`selective_copying.png`: the loss of both in training, and how many tokens they repeat rightly by the length.

    pip install '.[examples]'
    python examples/selective_copying.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from pictures import BLUE, GREY, ORANGE, label, plt, save
from torch import Tensor, nn
from training import GatedS4, Residual, fit, options, parsed, smooth, tell

from ssmgen.nn import Mamba

KINDS, TOKENS = 16, 8
# What stands between tokens, and what asks for one.
NOISE, ASK = KINDS, KINDS + 1
SHORTEST, LONGEST, FARTHEST = 32, 128, 2048
BATCH, RATE = 32, 8e-3

# The mixers, and widths with which models have as many parameters: 67856 and 70416.
MIXERS: dict[str, tuple[int, Callable[[int], nn.Module]]] = {
    "Mamba": (64, lambda d_model: Mamba(d_model, d_state=16)),
    "S4": (80, lambda d_model: GatedS4(d_model, d_state=64, l_max=LONGEST + TOKENS)),
}
COLOURS = {"Mamba": BLUE, "S4": ORANGE}


class Copier(nn.Module):
    """Two layers between an embedding and a classifier."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        d_model, mixer = MIXERS[kind]
        self.embedding = nn.Embedding(KINDS + 2, d_model)
        self.layers = nn.Sequential(*(Residual(d_model, mixer(d_model)) for _ in range(2)))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, KINDS)

    def forward(self, sequence: Tensor, tokens: int) -> Tensor:
        """(batch, length) -> (batch, tokens, KINDS), logits of the last steps."""
        x = self.layers(self.embedding(sequence))
        logits: Tensor = self.head(self.norm(x[:, -tokens:]))
        return logits


def draw(
    batch: int, length: int, tokens: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Sequences (batch, length + tokens), the last steps asking, and the tokens (batch, tokens) in their order."""
    wanted = torch.randint(KINDS, (batch, tokens), generator=generator)
    places = torch.rand(batch, length, generator=generator).topk(tokens).indices.sort().values
    sequences = torch.full((batch, length + tokens), NOISE).scatter(1, places, wanted)
    sequences[:, length:] = ASK
    return sequences, wanted


def accuracy(model: Copier, length: int, tokens: int, sequences: int) -> float:
    """The part of the tokens that is repeated rightly, of sequences that no training has seen."""
    generator = torch.Generator().manual_seed(2**40 + length)
    right = 0.0
    with torch.inference_mode():
        for _ in range(sequences // BATCH):
            x, wanted = draw(BATCH, length, tokens, generator)
            right += float((model(x, tokens).argmax(-1) == wanted).float().mean())
    return right / (sequences // BATCH)


def train(kind: str, seed: int, steps: int, longest: int, tokens: int) -> tuple[Copier, dict[str, Any]]:
    """A model, and what its training was like."""
    torch.manual_seed(seed)
    model = Copier(kind)

    def loss() -> Tensor:
        length = round(SHORTEST * (longest / SHORTEST) ** float(torch.rand(())))
        x, wanted = draw(BATCH, length, tokens)
        return F.cross_entropy(model(x, tokens).flatten(0, 1), wanted.flatten())

    curve = fit(f"{kind}, seed {seed}", model, loss, steps, RATE)
    parameters = sum(x.numel() for x in model.parameters())
    return model, {"parameters": parameters, "seconds": curve.seconds, "losses": curve.losses}


def picture(path: Path, runs: dict[str, list[dict[str, Any]]], longest: int) -> None:
    """Left the losses of all trainings, right what they led to."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for kind, trained in runs.items():
        for index, run in enumerate(trained):
            name, colour = None if index else kind, COLOURS[kind]
            left.plot(*smooth(run["losses"]), color=colour, label=name, linewidth=1.2)
            lengths, found = zip(*run["accuracy"].items(), strict=True)
            right.plot(lengths, found, "o-", color=colour, label=name, linewidth=1.2, markersize=3)
    left.axhline(torch.tensor(float(KINDS)).log(), color=GREY, linewidth=1, linestyle=":", label="guessing")
    right.axhline(1 / KINDS, color=GREY, linewidth=1, linestyle=":")
    right.axvspan(SHORTEST, longest, color=GREY, alpha=0.12, linewidth=0, label="lengths in training")
    right.set_xscale("log", base=2)
    right.set_xticks(lengths, lengths)
    right.set_ylim(0, 1.04)
    label(left, "Loss in training", "step", "nats for each token")
    label(right, "Tokens repeated rightly, on new sequences", "length", "accuracy")
    for axes in (left, right):
        axes.legend(fontsize=8)
    save(figure, path)


def main() -> None:
    given = parsed(options(__doc__, steps=2500))
    steps, longest, tokens, farthest = given.steps, LONGEST, TOKENS, FARTHEST
    if given.quick:
        steps, longest, tokens, farthest = 300, SHORTEST, 3, 2 * SHORTEST
    lengths = [2**k for k in range(SHORTEST.bit_length() - 1, farthest.bit_length())]
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in MIXERS}
    for kind, trained in runs.items():
        for seed in given.seeds:
            model, run = train(kind, seed, steps, longest, tokens)
            run["accuracy"] = {length: accuracy(model, length, tokens, 256) for length in lengths}
            trained.append(run)
    picture(given.folder / "selective_copying.png", runs, longest)
    lines = []
    for kind, trained in runs.items():
        for seed, run in zip(given.seeds, trained, strict=True):
            found = ", ".join(f"{part:.1%} at {length}" for length, part in run["accuracy"].items())
            lines.append(
                f"{kind}, seed {seed}: {found}; {run['parameters']} parameters, {run['seconds']:.0f} s"
            )
    tell(given, {"steps": steps, "runs": runs}, lines)


if __name__ == "__main__":
    main()
