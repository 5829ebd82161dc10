"""What the examples that train share: blocks, what an optimiser does with their parameters, the loop, the options."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from ssmgen.errors import ReferenceWarning, UntunedWarning
from ssmgen.nn import S4

__all__ = ["Curve", "GatedS4", "Residual", "fit", "options", "parsed", "smooth", "tell"]


class GatedS4(nn.Module):
    """S4 along time, then a gated mixture of the features of each step: what Mamba's block has inside it."""

    def __init__(self, d_model: int, d_state: int, l_max: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.s4 = S4(d_model, d_state, l_max)
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(d_model, 2 * d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model)."""
        return F.glu(self.mix(self.dropout(F.gelu(self.s4(x)))))


class Residual(nn.Module):
    """x + mixer(norm(x)), the layer that models are stacks of."""

    def __init__(self, d_model: int, mixer: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.mixer, self.dropout = nn.LayerNorm(d_model), mixer, nn.Dropout(dropout)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """(batch, length, d_model) -> (batch, length, d_model); with a state, (this, the state after it)."""
        if state is None:
            return x + self.dropout(self.mixer(self.norm(x)))
        y, state = self.mixer(self.norm(x), state)
        return x + self.dropout(y), state

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(batch, d_model) and a state -> the same, a step later."""
        y, state = self.mixer.step(self.norm(x), state)
        return x + y, state


def groups(model: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """The parameters for an optimiser: what shapes a memory does not decay, and that of S4 learns slowly too."""
    dynamics = {x for layer in model.modules() if isinstance(layer, S4) for x in layer.dynamics()}
    others = [x for x in model.parameters() if x not in dynamics]
    kept = {x for x in others if x.ndim < 2 or getattr(x, "_no_weight_decay", False)}
    return [
        {"params": [x for x in others if x not in kept], "lr": rate, "weight_decay": decay},
        {"params": [x for x in others if x in kept], "lr": rate, "weight_decay": 0.0},
        {
            "params": [x for x in model.parameters() if x in dynamics],
            "lr": min(rate, 1e-3),
            "weight_decay": 0.0,
        },
    ]


@dataclass
class Curve:
    """What training was like.

    Attributes:
        losses: Of each step, in training.
        watched: By step, what else was measured.
        seconds: How long it took, with what was measured.
    """

    losses: list[float] = field(default_factory=list)
    watched: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0


def fit(
    name: str,
    model: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    rate: float,
    decay: float = 0.0,
    watch: Callable[[], float] | None = None,
    times: int = 20,
) -> Curve:
    """Train with AdamW, at a learning rate that rises for a tenth of the steps and then falls to nothing.

    Args:
        name: Of the progress bar, on a terminal.
        model: What is trained.
        loss: Draws a batch and gives its mean loss.
        steps: How many.
        rate: The greatest learning rate.
        decay: The weight decay of matrices.
        watch: Measured in evaluation mode, without gradients.
        times: How often that is.
    """
    optimiser = torch.optim.AdamW(groups(model, rate, decay))
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps, pct_start=0.1)
    measured_after = {-(-steps * k // times) for k in range(1, times + 1)} if watch else set()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    curve, start = Curve(), time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=steps)
        for step in range(1, steps + 1):
            optimiser.zero_grad()
            value = loss()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            curve.losses.append(value.item())
            if watch and step in measured_after:
                model.eval()
                with torch.inference_mode():
                    curve.watched[step] = watch()
                model.train()
            progress.update(task, advance=1, description=f"{name}: loss {curve.losses[-1]:.3f}")
    curve.seconds = time.perf_counter() - start
    model.eval()
    return curve


def smooth(losses: list[float], points: int = 60) -> tuple[list[float], list[float]]:
    """Steps, and the mean loss about each: noise would hide the curve, and make the picture large."""
    width = max(1, len(losses) // points)
    parts = [losses[k : k + width] for k in range(0, len(losses), width)]
    return [k * width + (len(part) + 1) / 2 for k, part in enumerate(parts)], [
        sum(part) / len(part) for part in parts
    ]


def options(what: str, steps: int) -> argparse.ArgumentParser:
    """The options that every training has."""
    parser = argparse.ArgumentParser(
        description=what, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--steps", type=int, default=steps, help=f"steps of training (default: {steps})")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a training for each (default: 0)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the picture goes (default: here)")
    parser.add_argument("--quick", action="store_true", help="seconds of training, for a test")
    parser.add_argument("--json", action="store_true", help="print everything measured as JSON")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says, and the folder is there."""
    given = parser.parse_args()
    if given.steps < 20:
        parser.error("--steps must be at least 20.")
    given.folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", UntunedWarning)
    warnings.simplefilter("ignore", ReferenceWarning)
    return given


def tell(given: argparse.Namespace, result: dict[str, Any], lines: Iterable[str]) -> None:
    """Print what was measured: as JSON with the seeds, where that is asked for, or as lines."""
    print(json.dumps({"seeds": given.seeds} | result, indent=2) if given.json else "\n".join(lines))
