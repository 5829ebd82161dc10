"""Read handwritten digits pixel by pixel with S4.

Scikit-learn's digits, 8 x 8 pixels, become sequences of 64 numbers. Three S4 layers, each with norm, GLU and residual,
read them; a linear layer classifies the mean of what they say. Three quarters of the 1797 digits are for training, the
rest for the test.

`s4_digits.png`: the loss in training, and the part of the test that is classified wrong.

    pip install '.[examples]'
    python examples/s4_digits.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from pictures import BLUE, ORANGE, label, plt, save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from training import GatedS4, Residual, fit, options, parsed, smooth, tell

LENGTH, CLASSES = 64, 10
D_MODEL, D_STATE, LAYERS, DROPOUT = 32, 64, 3, 0.1
BATCH, RATE, DECAY = 32, 8e-3, 0.05


class Classifier(nn.Module):
    """From sequences of numbers to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, D_MODEL)
        mixers = (GatedS4(D_MODEL, D_STATE, LENGTH, DROPOUT) for _ in range(LAYERS))
        self.layers = nn.Sequential(*(Residual(D_MODEL, mixer) for mixer in mixers))
        self.norm = nn.LayerNorm(D_MODEL)
        self.decoder = nn.Linear(D_MODEL, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, length) -> (batch, classes)."""
        x = self.layers(self.encoder(pixels[..., None]))
        logits: Tensor = self.decoder(self.norm(x.mean(dim=1)))
        return logits


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels (digits, 64), standardised by those for training, and classes: for training, and for the test."""
    data = load_digits()
    pixels, test_pixels, classes, test_classes = (
        torch.as_tensor(x)
        for x in train_test_split(
            data.data, data.target, test_size=0.25, stratify=data.target, random_state=0
        )
    )
    mean, deviation = pixels.mean(), pixels.std()
    return (
        ((pixels - mean) / deviation).float(),
        classes,
        ((test_pixels - mean) / deviation).float(),
        test_classes,
    )


def orders(count: int) -> Iterator[Tensor]:
    """Batches of numbers below the count, each once in a random order, again and again."""
    while True:
        yield from torch.randperm(count).split(BATCH)


def train(seed: int, steps: int) -> dict[str, Any]:
    """What a training was like, and what came of it."""
    pixels, classes, test_pixels, test_classes = digits()
    torch.manual_seed(seed)
    model, batches = Classifier(), orders(len(pixels))

    def loss() -> Tensor:
        chosen = next(batches)
        return F.cross_entropy(model(pixels[chosen]), classes[chosen])

    def mistaken() -> float:
        return float((model(test_pixels).argmax(-1) != test_classes).float().mean())

    curve = fit(f"seed {seed}", model, loss, steps, RATE, DECAY, mistaken)
    return {
        "parameters": sum(x.numel() for x in model.parameters()),
        "seconds": curve.seconds,
        "losses": curve.losses,
        "errors": curve.watched,
        "accuracy": 1 - curve.watched[steps],
    }


def picture(path: Path, runs: list[dict[str, Any]]) -> None:
    """The curves of all trainings."""
    figure, axes = plt.subplots(figsize=(6.5, 3.4))
    for index, run in enumerate(runs):
        axes.semilogy(
            *smooth(run["losses"]), color=ORANGE, label=None if index else "loss in training, in nats"
        )
        steps, errors = zip(*run["errors"].items(), strict=True)
        axes.plot(steps, errors, color=BLUE, label=None if index else "error rate in the test")
    label(axes, "Digits read pixel by pixel by three S4 layers", "step", "")
    axes.legend()
    save(figure, path)


def main() -> None:
    given = parsed(options(__doc__, steps=1720))
    steps = 130 if given.quick else given.steps
    runs = [train(seed, steps) for seed in given.seeds]
    picture(given.folder / "s4_digits.png", runs)
    lines = (
        f"seed {seed}: {run['accuracy']:.1%} of the test's digits; "
        f"{run['parameters']} parameters, {run['seconds']:.0f} s"
        for seed, run in zip(given.seeds, runs, strict=True)
    )
    tell(given, {"steps": steps, "runs": runs}, lines)


if __name__ == "__main__":
    main()
