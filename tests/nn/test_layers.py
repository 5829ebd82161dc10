"""The layers: both ways they run against each other and against dense float64, pieces, lengths, gradients, upkeep."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from ssmgen.errors import InvalidInputError
from ssmgen.nn import S4, S4D, dplr, truncated, untruncated
from ssmgen.nn.derivation import kernel_by_powers
from ssmgen.nn.discretise import bilinear, zoh
from ssmgen.nn.dplr import dense
from ssmgen.nn.layer import StateSpaceLayer
from tests.nn.layers import MAKES, Make, Stepped, close, every_layer, one_of_each, walk

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.ReferenceWarning", "ignore::ssmgen.UntunedWarning")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def dense_kernel(layer: StateSpaceLayer, length: int) -> Tensor:
    """(channels, d_model, length), by powers of dense matrices in complex128."""
    layer = copy.deepcopy(layer).double().requires_grad_(False)
    Lambda = torch.complex(-layer.log_A_real.exp(), layer.A_imag)
    B, C, step = torch.view_as_complex(layer.B), torch.view_as_complex(layer.C), layer.log_step.exp()
    P = 0 * Lambda[:, None]
    if isinstance(layer, S4):
        P = torch.view_as_complex(layer.P)
        C = untruncated(Lambda, P, P, C, step, layer.l_max, pairs=True)
    rule = bilinear if isinstance(layer, S4) or layer.discretisation == "bilinear" else zoh
    whole = [torch.cat([x, x.conj()], dim=-1) for x in (Lambda, P, B, C)]
    Abar, Bbar = rule(dense(whole[0], whole[1], whole[1]), whole[2], step)
    rows = [
        [kernel_by_powers(Abar[h], Bbar[h], C_h, length).real for h, C_h in enumerate(C)] for C in whole[3]
    ]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("name", ["s4-legs", "s4-legt", "s4d-legs"])
@torch.no_grad()
def test_recurrence_and_convolution_agree_over_4096_steps_in_float32(name: str) -> None:
    layer = MAKES[name](4, l_max=4096)
    u = torch.randn(1, 4096, 4)
    y, state = layer(u, layer.default_state(1))
    stepped, last = walk(layer, u)
    close(stepped, y, 1e-4)
    close(state, last, 2e-4)


@every_layer
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 150])
@torch.no_grad()
def test_the_kernel_is_that_of_dense_matrices(make: Make, length: int) -> None:
    layer = make(2, 8, channels=2, dtype=torch.float64)
    close(layer.kernel(length), dense_kernel(layer, length), 1e-8)


@every_layer
@torch.no_grad()
def test_outputs_are_convolutions_plus_the_skip(make: Make) -> None:
    layer = make(3, 8, channels=2, dtype=torch.float64)
    u = torch.randn(2, 40, 3, dtype=torch.float64)
    K = dense_kernel(layer, 40)
    y = torch.stack(
        [torch.einsum("chl,blh->bch", K[..., : k + 1].flip(-1), u[:, : k + 1]) for k in range(40)], dim=1
    )
    wanted = (y + layer.D * u[:, :, None]).flatten(2)
    close(layer(u), wanted, 1e-8)
    close(walk(layer, u)[0], wanted, 1e-8)


@every_layer
@settings(max_examples=8)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=4), st.integers(1, 2))
@torch.no_grad()
def test_pieces_that_hand_on_their_state_are_one_pass(make: Make, lengths: list[int], channels: int) -> None:
    layer = make(2, 6, channels=channels, dtype=torch.float64)
    u = torch.randn(2, sum(lengths), 2, dtype=torch.float64)
    state, pieces = layer.default_state(2), []
    for piece in u.split(lengths, dim=1):
        y, state = layer(piece, state)
        pieces.append(y)
    close(torch.cat(pieces, dim=1), layer(u), 1e-8)
    close(state, walk(layer, u)[1], 1e-8)


@every_layer
@torch.no_grad()
def test_steps_go_on_where_a_convolution_ended(make: Make) -> None:
    layer = make(2, 8)
    u = torch.randn(3, 300, 2)
    head, state = layer(u[:, :290], layer.default_state(3))
    tail, _ = walk(layer, u[:, 290:], state)
    close(torch.cat([head, tail], dim=1), layer(u), 1e-4)


@every_layer
def test_a_saved_layer_is_the_same_when_loaded(make: Make) -> None:
    layer, other = make(2, 8), make(2, 8)
    u = torch.randn(1, 40, 2)
    with torch.no_grad():
        before, _ = walk(other, u)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file))
        assert torch.equal(other(u), layer(u))
        after, _ = walk(other, u)
        assert torch.equal(after, walk(layer, u)[0])
        assert not torch.allclose(before, after)
        assert torch.equal(walk(copy.deepcopy(layer), u)[0], after)


@one_of_each
def test_steps_follow_what_becomes_of_the_parameters(make: Make) -> None:
    layer = make(2, 8)
    u = torch.randn(1, 20, 2)

    def agree() -> None:
        with torch.no_grad():
            close(walk(layer, u)[0], layer(u), 1e-5)

    agree()
    layer(u).sum().backward()
    torch.optim.SGD(layer.parameters(), lr=1e-3).step()
    agree()
    layer.log_step.data += 1.0
    layer.eval()
    agree()
    layer.log_step = torch.nn.Parameter(layer.log_step.detach() - 2.0)
    agree()
    given = {"C": torch.randn_like(layer.C)}
    with torch.no_grad():
        y, _ = functional_call(
            Stepped(layer), {f"layer.{k}": v for k, v in given.items()}, (u, layer.default_state(1))
        )
        layer.C.copy_(given["C"])
        close(y, layer(u)[:, 0], 1e-5)
    with torch.inference_mode():
        walk(layer, u)
    agree()


@one_of_each
def test_the_discretised_model_is_made_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, made = make(2, 8), []
    discretise = layer._discretise
    monkeypatch.setattr(layer, "_discretise", lambda: made.append(1) or discretise())
    with torch.inference_mode():
        walk(layer, torch.randn(1, 5, 2))
    with torch.no_grad():
        walk(layer, torch.randn(1, 5, 2))
    assert len(made) == 1
    # What inference left serves what has gradients.
    layer.requires_grad_(False)
    u = torch.randn(1, 2, requires_grad=True)
    layer.step(u, layer.default_state(1))[0].sum().backward()
    assert u.grad is not None
    assert len(made) == 1


@one_of_each
@torch.no_grad()
def test_narrow_inputs_meet_parameters_that_stay_wide(make: Make) -> None:
    layer = make(2, 8)
    u = torch.randn(2, 50, 2).bfloat16()
    wanted = layer(u.float()).bfloat16()
    narrow = copy.deepcopy(layer).to(torch.bfloat16)
    assert {x.dtype for x in narrow.parameters()} == {torch.float32}
    assert {x.dtype for x in make(2, 8, dtype=torch.bfloat16).parameters()} == {torch.float32}
    assert torch.equal(narrow(u), wanted)
    assert torch.equal(copy.deepcopy(layer).half()(u), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(u), wanted)
        close(layer(u.float()), wanted.float(), 1e-2)
        stepped, state = walk(layer, u)
    assert stepped.dtype == torch.bfloat16
    assert state.dtype == torch.complex64
    close(stepped.float(), wanted.float(), 1e-2)
    assert copy.deepcopy(layer).double()(u.double()).dtype == torch.float64


@one_of_each
@torch.no_grad()
def test_a_bidirectional_layer_adds_what_a_second_kernel_reads_of_the_future(make: Make) -> None:
    layer = make(2, 8, channels=2, bidirectional=True)
    u = torch.randn(1, 30, 2)
    y = layer(u)
    assert y.shape == (1, 30, 4)
    forth, back = make(2, 8, channels=2), make(2, 8, channels=2)
    shared = {name: x for name, x in layer.state_dict().items() if name != "C"}
    forth.load_state_dict({**shared, "C": layer.C[:2]})
    back.load_state_dict({**shared, "C": layer.C[2:], "D": torch.zeros(2, 2)})
    future = back(u.flip(1)).flip(1)[:, 1:]
    close(y, forth(u) + torch.nn.functional.pad(future, (0, 0, 0, 1)), 1e-5)
    state = forth.default_state(1)
    for use in (
        lambda: layer(u, state),
        lambda: layer.step(u[:, 0], state),
        lambda: layer.default_state(1),
    ):
        with pytest.raises(InvalidInputError, match="bidirectional"):
            use()


@every_layer
def test_layers_begin_within_their_bounds(make: Make) -> None:
    layer = make(500, 8, dt_min=0.01, dt_max=0.05)
    step = layer.log_step.detach().exp()
    assert 0.01 <= float(step.min()) < 0.011
    assert 0.045 < float(step.max()) <= 0.0501
    assert float(layer.log_A_real.detach().exp().min()) >= 0.99e-2
    assert {id(x) for x in layer.dynamics()} < {id(x) for x in layer.parameters()}
    assert len(layer.dynamics()) == (5 if isinstance(layer, S4) else 4)


def test_the_diagonal_of_legs_approaches_legs() -> None:
    # Theorem 3 of arXiv 2206.11893 is about the limit of many states: the first coefficients of basis functions.
    def error(N: int) -> float:
        torch.manual_seed(0)
        whole, diagonal = S4(1, N, l_max=512, dtype=torch.float64), S4D(1, N, dtype=torch.float64)
        with torch.no_grad():
            for layer in (whole, diagonal):
                layer.log_step.fill_(-4.0)
            readout = torch.zeros(N, dtype=torch.complex128)
            readout[0] = 1.0
            Lambda, P, _, V = (x[None] for x in dplr("legs", N, pairs=True))
            C = (V.mH @ readout)[None]
            diagonal.C.copy_(torch.view_as_real(C))
            C = truncated(Lambda, P, P, C, whole.log_step.exp(), 512, pairs=True)
            whole.C.copy_(torch.view_as_real(C))
            K, D = whole.kernel(512), diagonal.kernel(512)
        return float(torch.linalg.vector_norm(K - D) / torch.linalg.vector_norm(K))

    assert error(256) < error(64) < error(16)
    assert error(256) < 0.1
