"""The layers that tests run over, and what they hold them against."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ssmgen.nn import S4, S4D
from ssmgen.nn.layer import StateSpaceLayer

Make = Callable[..., StateSpaceLayer]


def s4(measure: str) -> Make:
    """With an l_max that most tests exceed."""
    return lambda *sizes, l_max=32, **options: S4(*sizes, l_max=l_max, measure=measure, **options)


def s4d(init: str, discretisation: str = "zoh") -> Make:
    """Of any length."""
    return lambda *sizes, l_max=0, **options: S4D(*sizes, init=init, discretisation=discretisation, **options)


MAKES = {
    "s4-legs": s4("legs"),
    "s4-legt": s4("legt"),
    "s4-fourier": s4("fourier"),
    "s4d-legs": s4d("legs"),
    "s4d-lin": s4d("lin"),
    "s4d-inv-bilinear": s4d("inv", "bilinear"),
}
every_layer = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
one_of_each = pytest.mark.parametrize("make", [s4("legt"), s4d("legs")], ids=["s4", "s4d"])


def close(found: Tensor, wanted: Tensor, limit: float) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= limit * float(wanted.abs().max())


def walk(layer: StateSpaceLayer, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """By the recurrence."""
    state = layer.default_state(u.shape[0]) if state is None else state
    outputs = []
    for u_k in u.unbind(1):
        y, state = layer.step(u_k, state)
        outputs.append(y)
    return torch.stack(outputs, dim=1), state


class Stepped(torch.nn.Module):
    """The step as a module's forward, for `functional_call`."""

    def __init__(self, layer: StateSpaceLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer.step(u[:, 0], state)
