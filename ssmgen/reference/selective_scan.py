"""The selective scan of Mamba (arXiv 2312.00752) as its recurrence, one step of time after another."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen.reference.checkpointed import scan_in_segments

__all__ = ["selective_scan"]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    initial_state: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, y_t = C_t . h_t + D u_t, out = y * silu(z).

    Shapes as in `ssmgen.selective_scan`. Differentiable, twice too. Where A is complex, y_t = 2 Re(C_t . h_t) + D u_t.

    Args:
        u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, cu_seqlens: As in `ssmgen.selective_scan`;
            complex B and C as complex tensors.
        dtype: What everything is computed in, a real dtype; complex numbers are pairs of it.

    Returns:
        out (batch, dim, seqlen) and the last state (batch, dim, d_state), both of that precision.
    """
    u = u.to(dtype)
    delta = delta.to(dtype)
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    weights = dtype.to_complex() if A.is_complex() else dtype
    A, B, C = (x.to(weights) for x in (A, B, C))
    if initial_state is None:
        sequences = u.shape[0] if cu_seqlens is None else cu_seqlens.numel() - 1
        initial_state = A.new_zeros(sequences, *A.shape)
    initial_state = initial_state.to(weights)
    if cu_seqlens is None:
        y, last_state = _scan(u, delta, A, B, C, initial_state)
    else:
        y, last_state = _scan_packed(u, delta, A, B, C, initial_state, cu_seqlens)
    if D is not None:
        y = y + D.to(dtype)[:, None] * u
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y, last_state


def _scan_packed(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, cu_seqlens: Tensor
) -> tuple[Tensor, Tensor]:
    """Each sequence by itself."""
    ys, states = [], []
    bounds = [int(bound) for bound in cu_seqlens]
    for index, (start, end) in enumerate(itertools.pairwise(bounds)):
        if start == end:
            states.append(state[index : index + 1])
            continue
        B_s, C_s = (x if x.ndim == 2 else x[..., start:end] for x in (B, C))
        y, last = _scan(u[..., start:end], delta[..., start:end], A, B_s, C_s, state[index : index + 1])
        ys.append(y)
        states.append(last)
    return torch.cat(ys, dim=-1), torch.cat(states)


def _scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """C . h, before the skip and the gate, and the last state."""
    dim = u.shape[1]
    B_t, C_t = _over_time(B, dim), _over_time(C, dim)
    # A and constant B and C are the same at every step: the segment closes over them.
    varying = [x for x in (B_t, C_t) if x.ndim == 4]

    def segment(h: Tensor, delta: Tensor, delta_u: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        steps, rest = delta.shape[0], iter(rows)
        Bs = next(rest).unbind(0) if B_t.ndim == 4 else (B_t,) * steps
        Cs = next(rest).unbind(0) if C_t.ndim == 4 else (C_t,) * steps
        ys = []
        for delta_i, delta_u_i, B_i, C_i in zip(delta.unbind(0), delta_u.unbind(0), Bs, Cs, strict=True):
            h = torch.exp(delta_i[..., None] * A) * h + delta_u_i[..., None] * B_i
            y = (h * C_i).sum(-1)
            ys.append(2 * y.real if y.is_complex() else y)
        return h, torch.stack(ys)

    delta_t, delta_u_t = delta.movedim(-1, 0), (delta * u).movedim(-1, 0)
    last_state, y = scan_in_segments(segment, state, (delta_t, delta_u_t, *varying), (A, B_t, C_t))
    return y.movedim(0, -1), last_state


def _over_time(rows: Tensor, dim: int) -> Tensor:
    """Constant (dim, N) as it is; (batch, N, L) or (batch, G, N, L) as (L, batch, dim or 1, N)."""
    if rows.ndim == 2:
        return rows
    if rows.ndim == 3:
        rows = rows[:, None]
    groups = rows.shape[1]
    if groups > 1:
        rows = rows.repeat_interleave(dim // groups, dim=1)
    return rows.permute(3, 0, 1, 2)
