"""What becomes of a layer after it was made: loaded, trained, changed in place, compiled."""

from __future__ import annotations

import io

import pytest
import torch

from ssmgen.nn import S4
from tests.nn.layers import Make, close, one_of_each, walk

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.ReferenceWarning", "ignore::ssmgen.UntunedWarning")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("assign", [False, True])
@torch.no_grad()
def test_a_loaded_layer_has_the_l_max_that_its_c_is_for(assign: bool) -> None:
    layer, other = S4(2, 8, l_max=24), S4(2, 8, l_max=100)
    u = torch.randn(1, 40, 2)
    walk(other, u)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), assign=assign)
    assert other.l_max == 24
    assert torch.equal(other.kernel(40), layer.kernel(40))
    assert torch.equal(walk(other, u)[0], walk(layer, u)[0])
    with pytest.raises(AttributeError):
        other.l_max = 100


@one_of_each
@torch.inference_mode()
def test_steps_follow_what_is_loaded_where_no_version_is_counted(make: Make) -> None:
    layer, other = make(2, 8), make(2, 8)
    u = torch.randn(1, 5, 2)
    walk(other, u)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(walk(other, u)[0], walk(layer, u)[0])


@one_of_each
@pytest.mark.parametrize("trains_by", ["forward", "step"])
def test_steps_follow_a_fused_optimizer(make: Make, trains_by: str) -> None:
    layer = make(2, 8)
    u = torch.randn(1, 20, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2, fused=True)
    for _ in range(2):
        with torch.no_grad():
            before, _ = walk(layer, u)
        y = layer(u) if trains_by == "forward" else walk(layer, u)[0]
        y.square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            after, _ = walk(layer, u)
            close(after, layer(u), 1e-5)
        assert not torch.allclose(before, after)


@one_of_each
def test_steps_follow_changes_under_inference_mode_from_eval_on(make: Make) -> None:
    layer = make(2, 8)
    u = torch.randn(1, 20, 2)
    with torch.inference_mode():
        before, _ = walk(layer, u)
        layer.log_step.add_(1.0)
        layer.eval()
        after, _ = walk(layer, u)
        close(after, layer(u), 1e-5)
    assert not torch.allclose(before, after)


@one_of_each
@pytest.mark.parametrize("gradients", [False, True])
def test_a_step_is_one_graph(make: Make, gradients: bool) -> None:
    layer = make(2, 8)
    u = torch.randn(1, 5, 2)
    compiled = torch.compile(layer.step, fullgraph=True, backend="eager")
    with torch.set_grad_enabled(gradients):
        wanted, _ = walk(layer, u)  # which keeps, or drops, the discretised model
        state = layer.default_state(1)
        for k in range(5):
            y, state = compiled(u[:, k], state)
            close(y.detach(), wanted[:, k].detach(), 1e-5)
        with torch.no_grad():
            layer.log_step.add_(1.0)
        wanted = layer.step(u[:, 0], state)[0]
        close(compiled(u[:, 0], state)[0].detach(), wanted.detach(), 1e-5)
