"""Mamba's and Mamba-2's blocks: mamba-ssm's names, and the formulas step by step in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook

from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from ssmgen.nn import Mamba, Mamba2, MambaState
from ssmgen.ops.pieces import PieceSize, in_pieces

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]
Block = Mamba | Mamba2
PARTS = {"batch": 2, "length": 11, "d_model": 12}


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(batch, length, channels), each by its own taps of itself and the steps before it."""
    width = weight.shape[-1]
    padded = F.pad(x, (0, 0, width - 1, 0))
    y = sum(padded[:, k : k + x.shape[1]] * weight[:, 0, k] for k in range(width))
    return F.silu(y if bias is None else y + bias)  # type: ignore[arg-type, operator]


def plain_mamba(p: dict[str, Tensor], u: Tensor) -> Tensor:
    x, z = (u @ p["in_proj.weight"].T + p.get("in_proj.bias", 0)).chunk(2, dim=-1)
    x = convolved(x, p["conv1d.weight"], p.get("conv1d.bias"))
    A = -p["A_log"].exp()
    rank = p["dt_proj.weight"].shape[1]
    low, B, C = (x @ p["x_proj.weight"].T).split([rank, A.shape[1], A.shape[1]], dim=-1)
    dt = F.softplus(low @ p["dt_proj.weight"].T + p["dt_proj.bias"])
    h = torch.zeros(*x[:, 0].shape, A.shape[1], dtype=u.dtype)
    ys = []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt * x)[:, t, :, None] * B[:, t, None]
        ys.append((h * C[:, t, None]).sum(-1) + p["D"] * x[:, t])
    y = torch.stack(ys, 1) * F.silu(z)
    return y @ p["out_proj.weight"].T + p.get("out_proj.bias", 0)


def plain_mamba2(
    p: dict[str, Tensor],
    u: Tensor,
    d_state: int,
    headdim: int,
    ngroups: int = 1,
    d_ssm: int | None = None,
    norm_before_gate: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    **_: Any,
) -> Tensor:
    inner, heads, rows = p["out_proj.weight"].shape[1], len(p["A_log"]), ngroups * d_state
    width = d_ssm or inner
    gate, value, z, xBC, dt = (u @ p["in_proj.weight"].T + p.get("in_proj.bias", 0)).split(
        [inner - width, inner - width, width, width + 2 * rows, heads], dim=-1
    )
    x, B, C = convolved(xBC, p["conv1d.weight"], p.get("conv1d.bias")).split([width, rows, rows], dim=-1)
    x = x.unflatten(-1, (heads, headdim))
    B, C = (y.unflatten(-1, (ngroups, d_state)).repeat_interleave(heads // ngroups, dim=2) for y in (B, C))
    dt = F.softplus(dt + p["dt_bias"]).clamp(*dt_limit)
    D = p["D"][:, None] if len(p["D"]) == heads else p["D"].view(heads, headdim)
    h = torch.zeros(len(u), heads, headdim, d_state, dtype=u.dtype)
    ys = []
    for t in range(u.shape[1]):
        a = torch.exp(-dt[:, t] * p["A_log"].exp())[..., None, None]
        h = a * h + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
        ys.append((h * C[:, t, :, None]).sum(-1) + D * x[:, t])
    y, opened = torch.stack(ys, 1).flatten(2), F.silu(z)
    if "norm.weight" in p:
        y = y if norm_before_gate else y * opened
        each = y.unflatten(-1, (ngroups, -1))
        y = (each / (each.square().mean(-1, keepdim=True) + 1e-5).sqrt()).flatten(-2) * p["norm.weight"]
        y = y * opened if norm_before_gate else y
    else:
        y = y * opened
    return torch.cat([F.silu(gate) * value, y], -1) @ p["out_proj.weight"].T + p.get("out_proj.bias", 0)


SMALL = {"d_state": 5, "headdim": 4}
CASES: dict[str, tuple[type[Block], dict[str, Any]]] = {
    "mamba": (Mamba, {"d_state": 5}),
    "mamba, biases": (Mamba, {"d_state": 3, "d_conv": 3, "dt_rank": 2, "bias": True, "conv_bias": False}),
    "mamba-2": (Mamba2, SMALL),
    "mamba-2, groups": (Mamba2, {**SMALL, "ngroups": 2, "norm_before_gate": True, "bias": True}),
    "mamba-2, no norm": (Mamba2, {**SMALL, "rmsnorm": False, "D_has_hdim": True, "conv_bias": False}),
    "mamba-2, narrow": (Mamba2, {**SMALL, "d_ssm": 8, "dt_limit": (0.01, 0.05)}),
}


def make(name: str, **factory: Any) -> tuple[Block, Callable[[dict[str, Tensor], Tensor], Tensor]]:
    """A block whose parameters are all random, and the same as a function of them."""
    torch.manual_seed(0)
    kind, options = CASES[name]
    block = kind(PARTS["d_model"], **options, **factory)
    with torch.no_grad():
        for x in block.parameters():
            x.add_(0.1 * torch.randn_like(x))
    if kind is Mamba:
        return block, plain_mamba
    return block, lambda p, u: plain_mamba2(p, u, **options)


def draw(dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(*PARTS.values(), dtype=dtype)


def parameters_of(block: Block) -> dict[str, Tensor]:
    return {name: x.detach().double() for name, x in block.named_parameters()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_agrees_with_the_formula_and_its_gradients(name: str, dtype: torch.dtype) -> None:
    block, formula = make(name, dtype=dtype)
    u = draw(dtype).requires_grad_()
    leaves = {key: x.requires_grad_() for key, x in parameters_of(block).items()}
    exact = u.detach().double().requires_grad_()
    y, wanted = block(u), formula(leaves, exact)
    limit = 1e-12 if dtype == torch.float64 else 5e-6
    assert y.dtype == dtype
    assert relative_error(y.detach(), wanted.detach()) <= limit
    weights = torch.randn_like(wanted)
    mine = torch.autograd.grad(y, [u, *block.parameters()], weights.to(dtype))
    theirs = torch.autograd.grad(wanted, [exact, *leaves.values()], weights)
    for key, x, x_wanted in zip(["u", *leaves], mine, theirs, strict=True):
        assert relative_error(x, x_wanted) <= 10 * limit, key


@pytest.mark.parametrize("name", CASES)
def test_pieces_and_steps_are_the_whole(name: str) -> None:
    block, formula = make(name)
    u = draw()
    wanted = formula(parameters_of(block), u.double())
    with torch.no_grad():
        first, state = block(u[:, :2], block.default_state(2))
        second, state = block(u[:, 2:7], state)
        kept = MambaState(*(x.clone() for x in state))
        ys = []
        for t in range(7, u.shape[1]):
            y, state = block.step(u[:, t], state)
            ys.append(y)
        rest, last = block(u[:, 7:], kept)
    assert relative_error(torch.cat([first, second, torch.stack(ys, 1)], 1), wanted) <= 5e-6
    assert relative_error(rest, wanted[:, 7:]) <= 5e-6
    for x, y in zip(state, last, strict=True):
        assert relative_error(x, y) <= 5e-6


@pytest.mark.parametrize("name", ["mamba", "mamba, biases"])
def test_long_sequences_go_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block, formula = make(name)
    u = draw()
    wanted = formula(parameters_of(block), u.double())
    sizes: list[PieceSize] = []

    def walked(*arguments: Any) -> tuple[Tensor, ...]:
        sizes.append(arguments[1])
        return in_pieces(*arguments)

    monkeypatch.setattr(PieceSize, "of", lambda x, cores: PieceSize(1, 4))
    monkeypatch.setattr("ssmgen.ops.inner_path.in_pieces", walked)
    with torch.no_grad():
        assert relative_error(block(u), wanted) <= 5e-6
        first, state = block(u[:, :6], block.default_state(2))
        rest, _ = block(u[:, 6:], state)
        assert relative_error(torch.cat([first, rest], 1), wanted) <= 5e-6
        assert len(sizes) == 3
        # A hook may change what the projection gives: it is called, with all of the sequence.
        block.x_proj.register_forward_hook(lambda module, inputs, output: output)
        assert relative_error(block(u), wanted) <= 5e-6
    assert len(sizes) == 3


@pytest.mark.parametrize("where", ["one module", "all modules"])
def test_a_projection_that_is_more_than_its_weight_is_called(where: str) -> None:
    """As `step` calls it: what replaces a module's forward, or watches all modules, may change what it gives."""
    block, _ = make("mamba")
    if where == "one module":
        plain = block.x_proj.forward
        block.x_proj.forward = lambda x: 0 * plain(x)
        y = block(draw())
    else:
        with register_module_forward_hook(lambda module, _, y: 0 * y if module is block.x_proj else y):
            y = block(draw())
    with torch.no_grad():
        block.x_proj = make("mamba")[0].x_proj
        block.x_proj.weight.zero_()
    assert relative_error(y.detach(), block(draw()).detach().double()) <= 1e-6


@pytest.mark.parametrize("name", ["mamba", "mamba-2"])
def test_gradients_reach_the_state(name: str) -> None:
    block, _ = make(name, dtype=torch.float64)
    u = draw(torch.float64)
    state = tuple(torch.randn_like(x).requires_grad_() for x in block.default_state(2))

    def run(*state: Tensor) -> tuple[Tensor, ...]:
        y, last = block(u[:, :4], MambaState(*state))
        return (y, *last)

    assert torch.autograd.gradcheck(run, state, fast_mode=True)


def test_several_sequences_in_a_row() -> None:
    block, formula = make("mamba-2")
    u = draw()
    numbers = torch.tensor([[0] * 4 + [1] * 7] * 2)
    wanted = [formula(parameters_of(block), piece.double()) for piece in (u[:, :4], u[:, 4:])]
    assert relative_error(block(u, seq_idx=numbers).detach(), torch.cat(wanted, 1)) <= 5e-6


def test_half_precision_keeps_what_must_be_wide() -> None:
    for name in ("mamba", "mamba-2"):
        block, formula = make(name, dtype=torch.bfloat16)
        assert block.D.dtype == torch.float32
        y = block(draw().bfloat16())
        assert y.dtype == torch.bfloat16
        wanted = formula(parameters_of(block), draw().bfloat16().double())
        assert relative_error(y.detach(), wanted) <= 3e-2


# What mamba-ssm's blocks have, by name.
SHAPES = {
    "mamba": {
        "A_log": (1536, 16),
        "D": (1536,),
        "in_proj.weight": (3072, 768),
        "conv1d.weight": (1536, 1, 4),
        "conv1d.bias": (1536,),
        "x_proj.weight": (80, 1536),
        "dt_proj.weight": (1536, 48),
        "dt_proj.bias": (1536,),
        "out_proj.weight": (768, 1536),
    },
    "mamba-2": {
        "dt_bias": (24,),
        "A_log": (24,),
        "D": (24,),
        "in_proj.weight": (3352, 768),
        "conv1d.weight": (1792, 1, 4),
        "conv1d.bias": (1792,),
        "norm.weight": (1536,),
        "out_proj.weight": (768, 1536),
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_published_state_dict_loads_unchanged(name: str) -> None:
    block: Block = {"mamba": Mamba, "mamba-2": Mamba2}[name](768, device="meta")  # type: ignore[assignment]
    assert {key: tuple(x.shape) for key, x in block.state_dict().items()} == SHAPES[name]


def test_what_must_not_decay_is_marked_as_in_mamba_ssm() -> None:
    for block, marked in ((Mamba(8), {"A_log", "D"}), (Mamba2(8, headdim=8), {"A_log", "D", "dt_bias"})):
        block.to(torch.float64)
        assert {
            name for name, x in block.named_parameters() if getattr(x, "_no_weight_decay", False)
        } == marked


def test_steps_are_as_long_as_asked_for_at_first() -> None:
    for bias in (Mamba(256).dt_proj.bias, Mamba2(256, headdim=2).dt_bias):
        steps = F.softplus(bias.detach().double())
        assert 0.99e-3 <= float(steps.min()) < 2e-3
        assert 0.05 < float(steps.max()) <= 0.101


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mamba(0), "d_model must be an integer"),
        (lambda: Mamba(8, d_conv=1), "d_conv must be at least 2"),
        (lambda: Mamba(8, dt_init="zero"), "dt_init must be random or constant"),
        (lambda: Mamba2(8, headdim=5), "d_ssm=16 must be a multiple of headdim=5"),
        (lambda: Mamba2(8, headdim=8, ngroups=3), "ngroups=3"),
        (lambda: Mamba2(8, headdim=8, A_init_range=(0, 1)), "A_init_range must be positive"),
        (lambda: Mamba(8)(torch.zeros(2, 3, 9)), "d_model"),
        (lambda: Mamba(8).step(torch.zeros(3, 8), Mamba(8).default_state(2)), "state.conv"),
        (lambda: Mamba2(8, headdim=8).step(torch.zeros(2, 9), Mamba(8).default_state(2)), "d_model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_said(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()
