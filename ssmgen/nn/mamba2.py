"""Mamba-2's block (arXiv 2405.21060, section 7) with the parameters of mamba-ssm's."""

from __future__ import annotations

import math
from typing import overload

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ssmgen.errors import InvalidInputError
from ssmgen.nn.checks import require_count
from ssmgen.nn.mamba import (
    MambaState,
    biases_of_steps,
    check_block_state,
    convolution,
    rates,
    taps,
    undecayed,
)
from ssmgen.ops import causal_conv1d, causal_conv1d_update, selective_state_update, ssd
from ssmgen.ops.op import require_shape, require_tensor

__all__ = ["Mamba2"]

_UNLIMITED = (0.0, math.inf)


class _GatedNorm(nn.Module):
    """Each group of features over its root mean square, times a weight; gated by silu before or after."""

    def __init__(
        self,
        features: int,
        groups: int,
        before_gate: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features, device=device, dtype=dtype))
        self.groups, self.before_gate, self.eps = groups, before_gate, 1e-5

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        wide = torch.float64 if y.dtype == torch.float64 else torch.float32
        x, gate = y.to(wide), F.silu(z.to(wide))
        x = x if self.before_gate else x * gate
        each = x.unflatten(-1, (self.groups, -1))
        x = (each * torch.rsqrt(each.square().mean(-1, keepdim=True) + self.eps)).flatten(-2) * self.weight
        normed: Tensor = (x * gate if self.before_gate else x).to(y.dtype)
        return normed


class Mamba2(nn.Module):
    """Mamba-2's block: one projection, a short convolution, the scan of heads, a gated norm, a projection.

    Parameters, with E for d_inner = expand d_model, S for d_ssm, N for d_state, G for ngroups, H for the heads
    S / headdim and P for S + 2 G N: in_proj (2 E + 2 G N + H, d_model), conv1d (P, 1, d_conv) and its bias, dt_bias,
    A_log and D (H,), or D (S,), norm.weight (S,) and out_proj (d_model, E). Names, shapes and initialisation are those
    of mamba-ssm's `Mamba2`: a state dict of one loads into the other.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 128,
        d_conv: int = 4,
        conv_init: float | None = None,
        expand: int = 2,
        headdim: int = 64,
        d_ssm: int | None = None,
        ngroups: int = 1,
        A_init_range: tuple[float, float] = (1, 16),
        D_has_hdim: bool = False,
        rmsnorm: bool = True,
        norm_before_gate: bool = False,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        dt_limit: tuple[float, float] = _UNLIMITED,
        bias: bool = False,
        conv_bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make a block.

        Args:
            d_model: Features of the input and of the output.
            d_state: States of each channel.
            d_conv: Taps of the convolution, at least 2; kernels serve 2, 3 and 4.
            conv_init: The largest tap at initialisation; None for PyTorch's own.
            expand: Channels, in d_model.
            headdim: Channels of a head.
            d_ssm: Channels of the scan, a multiple of headdim; the others are a gated feed-forward network. None for
                all.
            ngroups: Groups of heads that share B and C.
            A_init_range: Between which -A is drawn.
            D_has_hdim: Whether D has a number for each channel, not for each head.
            rmsnorm: Whether there is a gated norm after the scan, not a gate alone.
            norm_before_gate: Whether it comes before the gate.
            dt_min: The least step size at initialisation.
            dt_max: The largest.
            dt_init_floor: No step size is smaller at initialisation.
            dt_limit: The least and the largest step size, always.
            bias: Whether in_proj and out_proj have a bias.
            conv_bias: Whether the convolution has.
            device: Where parameters are.
            dtype: Their dtype; D is float32 at least.

        Raises:
            InvalidInputError: A size is not positive, or sizes do not divide one another.
        """
        super().__init__()
        sizes = {
            "d_model": d_model,
            "d_state": d_state,
            "d_conv": d_conv,
            "expand": expand,
            "headdim": headdim,
        }
        for name, size in {**sizes, "ngroups": ngroups}.items():
            require_count(name, size)
        self.d_model, self.d_state, self.d_conv = d_model, d_state, d_conv
        self.d_inner, self.headdim, self.ngroups = expand * d_model, headdim, ngroups
        self.d_ssm = self.d_inner if d_ssm is None else d_ssm
        self.nheads, rest = divmod(self.d_ssm, headdim)
        if rest or not 0 < self.d_ssm <= self.d_inner or self.nheads % ngroups:
            raise InvalidInputError(
                f"d_ssm={self.d_ssm} must be a multiple of headdim={headdim}, at most expand * d_model={self.d_inner} "
                f"(which it is where it is not given), and the number of heads, d_ssm / headdim, one of "
                f"ngroups={ngroups}."
            )
        low, high = A_init_range
        if not 0 < low <= high:
            raise InvalidInputError(f"A_init_range must be positive and in order; it is {A_init_range}.")
        self.dt_limit = (float(dt_limit[0]), float(dt_limit[1]))
        rows = ngroups * d_state
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.in_proj = nn.Linear(
            d_model, 2 * (self.d_inner + rows) + self.nheads, bias=bias, device=device, dtype=dtype
        )
        self.conv1d = convolution(self.d_ssm + 2 * rows, d_conv, conv_bias, device, dtype)
        if conv_init is not None:
            nn.init.uniform_(self.conv1d.weight, -conv_init, conv_init)
        self.dt_bias = nn.Parameter(
            biases_of_steps(self.nheads, dt_min, dt_max, dt_init_floor, device, dtype)
        )
        A = torch.empty(self.nheads, device=device, dtype=wide).uniform_(low, high)
        self.A_log = nn.Parameter(A.log().to(self.dt_bias.dtype))
        self.D = nn.Parameter(
            torch.ones(self.d_ssm if D_has_hdim else self.nheads, device=device, dtype=wide)
        )
        undecayed(self.dt_bias, self.A_log, self.D)
        groups = self.ngroups
        self.norm = _GatedNorm(self.d_ssm, groups, norm_before_gate, device, dtype) if rmsnorm else None
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias, device=device, dtype=dtype)

    @overload
    def forward(self, u: Tensor, state: None = None, *, seq_idx: Tensor | None = ...) -> Tensor: ...

    @overload
    def forward(
        self, u: Tensor, state: MambaState, *, seq_idx: Tensor | None = ...
    ) -> tuple[Tensor, MambaState]: ...

    def forward(
        self, u: Tensor, state: MambaState | None = None, *, seq_idx: Tensor | None = None
    ) -> Tensor | tuple[Tensor, MambaState]:
        """The outputs of a sequence; differentiable in everything, states included.

        Args:
            u: (batch, length, d_model).
            state: What came before, from `default_state`, a call with a state, or `step`; not changed. None for
                nothing.
            seq_idx: (batch, length), for several sequences in one row, without a state; see `ssmgen.ssd`.

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
            if seq_idx is not None:
                raise InvalidInputError("a state is of one sequence: give seq_idx or state, not both.")
        feed, z, xBC, dt = self._projected(u)
        convolved = causal_conv1d(
            xBC.mT,
            taps(self.conv1d),
            self.conv1d.bias,
            seq_idx,
            initial_states=None if state is None else state[0],
            return_final_states=state is not None,
            activation="silu",
        )
        xBC, conv = convolved if isinstance(convolved, tuple) else (convolved, None)
        x, B, C = self._split(xBC.mT)
        scanned = ssd(
            x,
            dt,
            rates(self.A_log),
            B,
            C,
            D=self._skip(),
            z=None if self.norm is not None else self._of_heads(z),
            dt_bias=self.dt_bias,
            initial_states=None if state is None else state[1],
            seq_idx=seq_idx,
            dt_softplus=True,
            dt_limit=self.dt_limit,
            return_final_states=state is not None,
        )
        y, ssm = scanned if isinstance(scanned, tuple) else (scanned, None)
        y = self._finished(y.flatten(-2), z, feed)
        return y if conv is None or ssm is None else (y, MambaState(conv, ssm))

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
        feed, z, xBC, dt = self._projected(u)
        xBC = causal_conv1d_update(xBC, state[0], taps(self.conv1d), self.conv1d.bias, "silu")
        x, B, C = self._split(xBC)
        skip, is_limited = self._skip(), self.dt_limit != _UNLIMITED
        if is_limited:
            dt = F.softplus(dt + self.dt_bias).clamp(*self.dt_limit)
        sizes = (self.nheads, self.headdim)
        y = selective_state_update(
            state[1],
            x,
            dt[..., None].expand(-1, *sizes),
            rates(self.A_log)[:, None, None].expand(*sizes, self.d_state),
            B,
            C,
            skip if skip.ndim == 2 else skip[:, None].expand(sizes),
            None if self.norm is not None else self._of_heads(z),
            None if is_limited else self.dt_bias[:, None].expand(sizes),
            dt_softplus=not is_limited,
        )
        return self._finished(y.flatten(-2), z, feed), state

    def default_state(self, batch: int) -> MambaState:
        """The state before anything was read: zeros.

        The inputs of the convolution are in the dtype of its weights, the scan's state in that of D.
        """
        require_count("batch", batch)
        conv = self.conv1d.weight.new_zeros(batch, self.conv1d.in_channels, self.d_conv - 1)
        return MambaState(conv, self.D.new_zeros(batch, self.nheads, self.headdim, self.d_state))

    def _projected(self, u: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """What passes the scan by, the gate, what is convolved, and step sizes."""
        past = self.d_inner - self.d_ssm
        sizes = [past, past, self.d_ssm, self.conv1d.in_channels, self.nheads]
        gate, value, z, xBC, dt = self.in_proj(u).split(sizes, dim=-1)
        return (F.silu(gate) * value if past else None), z, xBC, dt

    def _split(self, xBC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.ngroups * self.d_state
        x, B, C = xBC.split([self.d_ssm, rows, rows], dim=-1)
        B, C = (each.unflatten(-1, (self.ngroups, self.d_state)) for each in (B, C))
        return self._of_heads(x), B, C

    def _of_heads(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.nheads, self.headdim))
        return heads

    def _skip(self) -> Tensor:
        """D: (heads,) or (heads, headdim)."""
        return self.D if len(self.D) == self.nheads else self._of_heads(self.D)

    def _finished(self, y: Tensor, z: Tensor, feed: Tensor | None) -> Tensor:
        if self.norm is not None:
            y = self.norm(y, z)
        result: Tensor = self.out_proj(y if feed is None else torch.cat([feed, y], dim=-1))
        return result

    def _check_state(self, state: MambaState, batch: int) -> None:
        check_block_state(
            state,
            (batch, self.conv1d.in_channels, self.d_conv - 1),
            (batch, self.nheads, self.headdim, self.d_state),
        )
