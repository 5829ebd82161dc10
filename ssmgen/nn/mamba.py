"""Mamba's block (arXiv 2312.00752, figure 3) with the parameters of mamba-ssm's; and what both blocks share."""

from __future__ import annotations

import math
from typing import NamedTuple, overload

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from ssmgen.errors import InvalidInputError
from ssmgen.nn.checks import require_count, require_steps
from ssmgen.ops import causal_conv1d_update, selective_state_update
from ssmgen.ops.inner_path import InnerPath
from ssmgen.ops.op import require_shape, require_tensor

__all__ = [
    "Mamba",
    "MambaState",
    "biases_of_steps",
    "check_block_state",
    "convolution",
    "rates",
    "taps",
    "undecayed",
]


class MambaState(NamedTuple):
    """What a block keeps of the steps that it has read.

    Attributes:
        conv: (batch, channels of the convolution, d_conv - 1), its last inputs, the latest last.
        ssm: The state of the scan: of Mamba (batch, d_inner, d_state), of Mamba-2 (batch, heads, headdim, d_state).
    """

    conv: Tensor
    ssm: Tensor


def convolution(
    channels: int, d_conv: int, bias: bool, device: torch.device | str | None, dtype: torch.dtype | None
) -> nn.Conv1d:
    """The parameters of a block's convolution; what it computes is `causal_conv1d`."""
    if d_conv < 2:
        raise InvalidInputError(
            f"d_conv must be at least 2, not {d_conv}: with one tap there is no convolution."
        )
    return nn.Conv1d(
        channels, channels, d_conv, groups=channels, padding=d_conv - 1, bias=bias, device=device, dtype=dtype
    )


def taps(conv: nn.Conv1d) -> Tensor:
    """The taps of a block's convolution: (channels, d_conv)."""
    return conv.weight[:, 0]


def biases_of_steps(
    count: int,
    dt_min: float,
    dt_max: float,
    floor: float,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """Biases (count,) that softplus takes to log-uniform step sizes."""
    require_steps(dt_min, dt_max)
    drawn = torch.rand(count, device=device, dtype=torch.float64) * math.log(dt_max / dt_min)
    steps = (drawn.exp() * dt_min).clamp(min=floor)
    return torch.log(torch.expm1(steps)).to(dtype or torch.get_default_dtype())


def undecayed(*parameters: nn.Parameter) -> None:
    """Mark them as mamba-ssm does, for training code that looks which parameters are to have no weight decay."""
    for parameter in parameters:
        parameter._no_weight_decay = True  # type: ignore[attr-defined]


def rates(A_log: Tensor) -> Tensor:
    """A = -exp(A_log), in float32 at least: in half precision it may overflow."""
    return -torch.exp(A_log if A_log.dtype == torch.float64 else A_log.float())


def check_block_state(state: MambaState, conv: tuple[int, ...], ssm: tuple[int, ...]) -> None:
    """Raise an `InvalidInputError` unless both parts of a state have these shapes."""
    names = {"state.conv": (state[0], conv), "state.ssm": (state[1], ssm)}
    for name, (tensor, shape) in names.items():
        axes = ("batch", *(f"axis {k}" for k in range(1, len(shape))))
        require_shape(name, require_tensor(name, tensor), axes, shape)


def _selected(rows: Tensor, dt_proj: Tensor) -> tuple[Tensor, ...]:
    """Step sizes, B and C, with features last, of what x_proj gives."""
    rank = dt_proj.shape[1]
    states = (rows.shape[-1] - rank) // 2
    low, B, C = rows.split([rank, states, states], dim=-1)
    return low @ dt_proj.T, B, C


def _select(u: Tensor, x_proj: Tensor, dt_proj: Tensor) -> tuple[Tensor, ...]:
    """What `InnerPath` selects: step sizes, B and C of u (batch, d_inner, length), by the projections' weights."""
    return tuple(x.mT for x in _selected(F.linear(u.mT, x_proj), dt_proj))


def _is_plain(linear: nn.Linear) -> bool:
    """Whether a projection is its weight and no more: no adapter, no quantisation, no hook, no forward of its own."""
    hooks = (
        linear._forward_hooks,
        linear._forward_pre_hooks,
        linear._backward_hooks,
        linear._backward_pre_hooks,
    )
    has_bias = any(name != "weight" for name, _ in linear.named_parameters())
    is_linear = type(linear) is nn.Linear and "forward" not in linear.__dict__
    return is_linear and not has_bias and not any(hooks) and not _has_any_global_hook()


class Mamba(nn.Module):
    """Mamba's block: a projection, a short convolution, the selective scan, a gate, a projection.

    Parameters, with E for d_inner = expand d_model, N for d_state and R for dt_rank: in_proj (2 E, d_model),
    conv1d (E, 1, d_conv) and its bias, x_proj (R + 2 N, E), dt_proj (E, R) and its bias, A_log (E, N), D (E,),
    out_proj (d_model, E). Names, shapes and initialisation are those of mamba-ssm's `Mamba`: a state dict of one loads
    into the other. A_log and D are float32, or float64 where `dtype` is, and marked as mamba-ssm marks them:
    `_no_weight_decay`.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init: str = "random",
        dt_scale: float = 1.0,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make a block.

        Args:
            d_model: Features of the input and of the output.
            d_state: States of each channel.
            d_conv: Taps of the convolution, at least 2; kernels serve 2, 3 and 4.
            expand: Channels of the scan, in d_model.
            dt_rank: Rank of the projection that gives step sizes; `auto` for d_model / 16, rounded up.
            dt_min: The least step size at initialisation.
            dt_max: The largest.
            dt_init: `random` or `constant`, the weights of dt_proj.
            dt_scale: The size of these weights, times dt_rank^(-1/2).
            dt_init_floor: No step size is smaller at initialisation.
            conv_bias: Whether the convolution has a bias.
            bias: Whether in_proj and out_proj have.
            device: Where parameters are.
            dtype: Their dtype, but for A_log and D.

        Raises:
            InvalidInputError: A size is not positive, or a choice does not exist.
        """
        super().__init__()
        sizes = {"d_model": d_model, "d_state": d_state, "d_conv": d_conv, "expand": expand}
        for name, size in sizes.items():
            require_count(name, size)
        if dt_rank != "auto":
            require_count("dt_rank", dt_rank)
        if dt_init not in ("random", "constant"):
            raise InvalidInputError(f"dt_init must be random or constant, not {dt_init!r}.")
        self.d_model, self.d_state, self.d_conv = d_model, d_state, d_conv
        self.d_inner = expand * d_model
        self.dt_rank = -(-d_model // 16) if dt_rank == "auto" else int(dt_rank)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=bias, device=device, dtype=dtype)
        self.conv1d = convolution(self.d_inner, d_conv, conv_bias, device, dtype)
        self.x_proj = nn.Linear(
            self.d_inner, self.dt_rank + 2 * d_state, bias=False, device=device, dtype=dtype
        )
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner, device=device, dtype=dtype)
        size = dt_scale * self.dt_rank**-0.5
        with torch.no_grad():
            if dt_init == "constant":
                self.dt_proj.weight.fill_(size)
            else:
                self.dt_proj.weight.uniform_(-size, size)
            self.dt_proj.bias.copy_(
                biases_of_steps(self.d_inner, dt_min, dt_max, dt_init_floor, device, dtype)
            )
        decays = torch.arange(1, d_state + 1, device=device, dtype=wide).log()
        self.A_log = nn.Parameter(decays.repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner, device=device, dtype=wide))
        undecayed(self.A_log, self.D)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias, device=device, dtype=dtype)

    @overload
    def forward(self, u: Tensor, state: None = None) -> Tensor: ...

    @overload
    def forward(self, u: Tensor, state: MambaState) -> tuple[Tensor, MambaState]: ...

    def forward(self, u: Tensor, state: MambaState | None = None) -> Tensor | tuple[Tensor, MambaState]:
        """The outputs of a sequence; differentiable in everything, states included.

        Args:
            u: (batch, length, d_model).
            state: What came before, from `default_state`, a call with a state, or `step`; not changed. None for
                nothing.

        Returns:
            y (batch, length, d_model); with a state, (y, the state after the sequence), for the next piece of it.

        Raises:
            InvalidInputError: Shapes or dtypes do not fit.
        """
        require_shape(
            "u", require_tensor("u", u), ("batch", "length", "d_model"), (*u.shape[:2], self.d_model)
        )
        if state is not None:
            self._check_state(state, u.shape[0])
        is_plain = _is_plain(self.x_proj)
        path = InnerPath(
            taps(self.conv1d),
            self.conv1d.bias,
            rates(self.A_log),
            self.D,
            self.dt_proj.bias,
            _select if is_plain else self._select,
            (self.x_proj.weight if is_plain else None, self.dt_proj.weight),
            is_split=is_plain,
        )
        y, after = path.run(self.in_proj(u).mT, None if state is None else (state[0], state[1]))
        y = self.out_proj(y.mT)
        return y if after is None else (y, MambaState(*after))

    @torch.no_grad()
    def step(self, u: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """One token of decoding, without gradients.

        Args:
            u: (batch, d_model).
            state: From `default_state`, a call with a state, or the step before; updated in place.

        Returns:
            y (batch, d_model), and the state.

        Raises:
            InvalidInputError: Shapes or dtypes do not fit.
        """
        require_shape("u", require_tensor("u", u), ("batch", "d_model"), (u.shape[0], self.d_model))
        self._check_state(state, u.shape[0])
        x, z = self.in_proj(u).chunk(2, dim=-1)
        x = causal_conv1d_update(x, state[0], taps(self.conv1d), self.conv1d.bias, "silu")
        steps, B, C = _selected(self.x_proj(x), self.dt_proj.weight)
        y = selective_state_update(
            state[1],
            x,
            steps,
            rates(self.A_log),
            B,
            C,
            self.D,
            z,
            self.dt_proj.bias,
            dt_softplus=True,
        )
        return self.out_proj(y), state

    def default_state(self, batch: int) -> MambaState:
        """The state before anything was read: zeros.

        The inputs of the convolution are in the dtype of its weights, the scan's state in that of A_log.
        """
        require_count("batch", batch)
        conv = self.conv1d.weight.new_zeros(batch, self.d_inner, self.d_conv - 1)
        return MambaState(conv, self.A_log.new_zeros(batch, self.d_inner, self.d_state))

    def _select(self, u: Tensor, _: None, dt_proj: Tensor) -> tuple[Tensor, ...]:
        """As `_select`, where the first projection is more than its weight."""
        return tuple(x.mT for x in _selected(self.x_proj(u.mT), dt_proj))

    def _check_state(self, state: MambaState, batch: int) -> None:
        sizes = (batch, self.d_inner)
        check_block_state(state, (*sizes, self.d_conv - 1), (*sizes, self.d_state))
