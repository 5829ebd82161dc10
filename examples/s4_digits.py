"""Read handwritten digits pixel by pixel with S4.

Scikit-learn's digits, 8 x 8 pixels, become sequences of 64 numbers. Three S4 layers, each with norm, GLU and residual,
read them; a linear layer classifies the mean of what they say. Three quarters of the 1797 digits are for training, the
rest for the test: after about a minute on a CPU, 99.1% of those are classified right (98.2% and 98.9% with seeds 1 and
2).

    pip install 'ssmgen[examples]'
    python examples/s4_digits.py
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from ssmgen.errors import ReferenceWarning, UntunedWarning
from ssmgen.nn import S4

LENGTH, CLASSES = 64, 10


class Block(nn.Module):
    """Norm, S4 along time, a gated mixture of the features, and the residual."""

    def __init__(self, d_model: int, d_state: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.s4 = S4(d_model, d_state, LENGTH)
        self.mix = nn.Linear(d_model, 2 * d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model)."""
        y = self.dropout(F.gelu(self.s4(self.norm(x))))
        return x + F.glu(self.mix(y))


class Classifier(nn.Module):
    """From sequences of numbers to logits."""

    def __init__(self, d_model: int = 32, d_state: int = 64, layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, d_model)
        self.blocks = nn.Sequential(*(Block(d_model, d_state, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, length) -> (batch, classes)."""
        x = self.blocks(self.encoder(pixels[..., None]))
        logits: Tensor = self.decoder(self.norm(x.mean(dim=1)))
        return logits

    def groups(self, rate: float) -> list[dict[str, object]]:
        """The parameters for an optimiser: what shapes the memory learns slowly, and does not decay."""
        slow = [x for block in self.blocks for x in block.s4.dynamics()]
        others = [x for x in self.parameters() if all(x is not y for y in slow)]
        return [
            {"params": others, "lr": rate, "weight_decay": 0.05},
            {"params": slow, "lr": min(rate, 1e-3), "weight_decay": 0.0},
        ]


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


def accuracy(model: Classifier, pixels: Tensor, classes: Tensor) -> float:
    """The part that is classified right."""
    model.eval()
    with torch.inference_mode():
        return float((model(pixels).argmax(-1) == classes).float().mean())


def train_epoch(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    pixels: Tensor,
    classes: Tensor,
    batch: int,
) -> float:
    """The mean loss of one pass over the digits in random order."""
    model.train()
    total = 0.0
    for chosen in torch.randperm(len(pixels)).split(batch):
        loss = F.cross_entropy(model(pixels[chosen]), classes[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += float(loss.detach()) * len(chosen)
    return total / len(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40, help="passes over the digits (default: 40)")
    parser.add_argument("--batch", type=int, default=32, help="digits at once (default: 32)")
    parser.add_argument("--rate", type=float, default=8e-3, help="the greatest learning rate (default: 8e-3)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON at the end, and progress to stderr")
    given = parser.parse_args()
    if given.epochs < 1 or given.batch < 1:
        parser.error("--epochs and --batch must be at least 1")
    warnings.simplefilter("ignore", UntunedWarning)
    warnings.simplefilter("ignore", ReferenceWarning)

    progress = sys.stderr if given.json else sys.stdout
    pixels, classes, test_pixels, test_classes = digits()
    torch.manual_seed(given.seed)
    model = Classifier()
    optimiser = torch.optim.AdamW(model.groups(given.rate))
    steps = given.epochs * -(-len(pixels) // given.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], steps, pct_start=0.1
    )
    count = sum(x.numel() for x in model.parameters())
    print(
        f"{len(pixels)} digits for training, {len(test_pixels)} for the test; {count} parameters",
        file=progress,
    )
    start = time.perf_counter()
    losses = []
    for epoch in range(1, given.epochs + 1):
        losses.append(train_epoch(model, optimiser, schedule, pixels, classes, given.batch))
        spent = time.perf_counter() - start
        print(
            f"epoch {epoch}/{given.epochs}: loss {losses[-1]:.4f}, {spent:.0f} s", file=progress, flush=True
        )
    result = {
        "epochs": given.epochs,
        "seconds": time.perf_counter() - start,
        "losses": losses,
        "train_accuracy": accuracy(model, pixels, classes),
        "test_accuracy": accuracy(model, test_pixels, test_classes),
    }
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"accuracy: {result['train_accuracy']:.2%} in training, {result['test_accuracy']:.2%} in the test"
        )


if __name__ == "__main__":
    main()
