"""The scan of Mamba-2 (arXiv 2405.21060): step by step, and in chunks that are matrix products."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.reference.checkpointed import scan_in_segments

__all__ = ["ssd", "ssd_by_steps"]

# Steps of a chunk where nobody says; products inside and between chunks then cost about the same at 128 states.
_CHUNK = 64


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    softplus: bool = False,
    *,
    limit: Tensor | None = None,
    initial_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T, y_t = h_t C_t + D x_t, out = y * silu(z), in chunks of steps.

    Inside a chunk `y = (M * C B^T) (dt x)` with M the decays between two steps of it; what came before a chunk reaches
    its steps by the state that the chunk starts from. Differentiable, twice too.

    Args:
        x, z: (batch, seqlen, heads, dim).
        dt: (batch, seqlen, heads).
        A: (heads,).
        B, C: (batch, seqlen, groups, d_state), where groups divides heads.
        D: (heads, dim), or with 1 in the place of dim.
        dt_bias: (heads,).
        softplus: Whether dt passes through softplus, after its bias.
        limit: (2,), the least and the largest that dt may be, after softplus; None for no limits.
        initial_state: (batch, heads, dim, d_state), or of packed sequences (sequences, ...); zero when None.
        seq_idx: (batch, seqlen): the state starts from zero wherever the number changes.
        cu_seqlens: (sequences + 1,): packed sequences, as in `ssmgen.ssd`.
        chunk: Steps of a chunk. None is 64, but in float64, with which other results are compared: that is the
            recurrence itself.
        dtype: What everything is computed in.

    Returns:
        out (batch, seqlen, heads, dim) and the last state (batch or sequences, heads, dim, d_state), in `dtype`.
    """
    return _scan(
        _step_scan if chunk is None and dtype == torch.float64 else _chunk_scan(chunk or _CHUNK),
        x,
        dt,
        A,
        B,
        C,
        D,
        z,
        dt_bias,
        softplus,
        limit,
        initial_state,
        seq_idx,
        cu_seqlens,
        dtype,
    )


def ssd_by_steps(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    softplus: bool = False,
    *,
    limit: Tensor | None = None,
    initial_state: Tensor | None = None,
    seq_idx: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """The same as the recurrence that it is, one step of time after another; see `ssd`."""
    return _scan(
        _step_scan,
        x,
        dt,
        A,
        B,
        C,
        D,
        z,
        dt_bias,
        softplus,
        limit,
        initial_state,
        seq_idx,
        cu_seqlens,
        dtype,
    )


# From exponents of decays, dt x, B, C, the state and where it starts anew to C . h and the last state.
_Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def _scan(
    scan: _Scan,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    softplus: bool,
    limit: Tensor | None,
    initial_state: Tensor | None,
    seq_idx: Tensor | None,
    cu_seqlens: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    x, dt, A, B, C = (tensor.to(dtype) for tensor in (x, dt, A, B, C))
    if dt_bias is not None:
        dt = dt + dt_bias.to(dtype)
    if softplus:
        dt = F.softplus(dt)
    if limit is not None:
        dt = dt.clamp(limit[0].to(dtype), limit[1].to(dtype))
    heads, groups = x.shape[2], B.shape[2]
    B, C = (rows.repeat_interleave(heads // groups, dim=2) for rows in (B, C))
    if initial_state is None:
        rows = x.shape[0] if cu_seqlens is None else cu_seqlens.numel() - 1
        initial_state = x.new_zeros(rows, heads, x.shape[3], B.shape[3])
    state = initial_state.to(dtype)
    starts = None
    if seq_idx is not None:
        # The first step goes on from the initial state whatever its number.
        starts = F.pad(seq_idx[:, 1:] != seq_idx[:, :-1], (1, 0))
    exponents, dx = dt * A, dt[..., None] * x
    if cu_seqlens is None:
        y, last = scan(exponents, dx, B, C, state, starts)
    else:
        ys, states = [], []
        for index, (start, end) in enumerate(itertools.pairwise(cu_seqlens.tolist())):
            one = state[index : index + 1]
            if start < end:
                piece = (tensor[:, start:end] for tensor in (exponents, dx, B, C))
                y, one = scan(*piece, one, None)  # type: ignore[call-arg]
                ys.append(y)
            states.append(one)
        y, last = torch.cat(ys, dim=1), torch.cat(states)
    if D is not None:
        y = y + D.to(dtype) * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y, last


def _step_scan(
    exponents: Tensor, dx: Tensor, B: Tensor, C: Tensor, state: Tensor, starts: Tensor | None
) -> tuple[Tensor, Tensor]:
    decays = exponents.exp()
    if starts is not None:
        decays = decays.masked_fill(starts[..., None], 0)

    def segment(h: Tensor, decays: Tensor, dx: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        ys = []
        for a, dx_t, B_t, C_t in zip(decays.unbind(0), dx.unbind(0), B.unbind(0), C.unbind(0), strict=True):
            h = a[..., None, None] * h + dx_t[..., None] * B_t[:, :, None]
            ys.append((h * C_t[:, :, None]).sum(-1))
        return h, torch.stack(ys)

    steps = tuple(tensor.movedim(1, 0) for tensor in (decays, dx, B, C))
    last, y = scan_in_segments(segment, state, steps)
    return y.movedim(0, 1), last


def _chunk_scan(chunk: int) -> _Scan:
    def scan(
        exponents: Tensor, dx: Tensor, B: Tensor, C: Tensor, state: Tensor, starts: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ys = []
        numbers = None if starts is None else starts.cumsum(1)
        for first in range(0, exponents.shape[1], chunk):
            steps = slice(first, first + chunk)
            # To (batch, heads, steps, ...): the exponent of each step's decay since the chunk began, itself included.
            # In float64, so that differences between neighbours keep their digits where they have decayed by much.
            since = exponents[:, steps].double().cumsum(1).transpose(1, 2)
            dx_c, B_c, C_c = (tensor[:, steps].transpose(1, 2) for tensor in (dx, B, C))
            length = since.shape[-1]
            reaches = torch.ones(length, length, dtype=torch.bool, device=dx.device).tril()
            from_state, to_state = (
                exponent.to(dx.dtype).exp() for exponent in (since, since[..., -1:] - since)
            )
            whole = from_state[..., -1]
            if starts is not None and numbers is not None:
                number = numbers[:, None, steps]
                before = number[..., :1] - starts[:, None, first : first + 1].long()
                reaches = reaches & (number[..., :, None] == number[..., None, :])
                from_state = from_state.masked_fill(number != before, 0)
                to_state = to_state.masked_fill(number != number[..., -1:], 0)
                whole = from_state[..., -1]
            # Masked before the exponential, which could be infinite where it does not count.
            between = (since[..., :, None] - since[..., None, :]).to(dx.dtype)
            between = between.masked_fill(~reaches, -torch.inf).exp()
            inside = (between * (C_c @ B_c.mT)) @ dx_c
            ys.append((inside + from_state[..., None] * (C_c @ state.mT)).transpose(1, 2))
            state = whole[..., None, None] * state + dx_c.mT @ (to_state[..., None] * B_c)
        return torch.cat(ys, dim=1), state

    return scan
