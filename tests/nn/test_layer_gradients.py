"""Gradients of the layers, by convolution, by recurrence and through the states between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from tests.nn.layers import MAKES, Make, Stepped, every_layer, walk

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.ReferenceWarning", "ignore::ssmgen.UntunedWarning")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@every_layer
def test_gradients_reach_every_parameter(make: Make) -> None:
    layer = make(2, 8)
    u = torch.randn(2, 20, 2)
    y, state = layer(u, layer.default_state(2))
    y_steps, _ = walk(layer, u[:, :3], state)
    for outputs in (layer(u), y, y_steps):
        layer.zero_grad()
        outputs.square().sum().backward(retain_graph=True)
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("name", ["s4-legt", "s4d-legs", "s4d-inv-bilinear"])
def test_gradcheck_of_a_sequence_and_a_step_after_it(name: str) -> None:
    length = 5  # longer than l_max
    tiny = MAKES[name](1, 4, l_max=4, dtype=torch.float64)
    names = [name for name, _ in tiny.named_parameters()]
    u = torch.randn(1, length, 1, dtype=torch.float64, requires_grad=True)
    state = torch.randn(1, 1, 2, dtype=torch.complex128, requires_grad=True)

    def run(u: Tensor, state: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(names, parameters, strict=True))
        y, last = functional_call(tiny, given, (u, state))
        y_step, last = functional_call(Stepped(tiny), {f"layer.{k}": v for k, v in given.items()}, (u, last))
        return torch.cat([y, y_step[:, None]], dim=1), last

    assert torch.autograd.gradcheck(run, (u, state, *tiny.parameters()))
