"""Steps of a selective scan from a state that is kept between calls: decoding."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["is_padding", "replaced", "selective_state_update"]


def selective_state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    indices: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Of each token, h = exp(dt A) h + dt B x, y = C . h + D x, out = y * silu(z); differentiable.

    Args:
        state: (batch or, with indices, any number, heads, dim, d_state), the states before the first token; they are
            not changed.
        x, z: (batch, tokens, heads, dim).
        dt: (batch, tokens, heads, dim), or with 1 in the place of dim.
        A: (heads, dim, d_state), or with 1 in the place of both.
        B, C: (batch, tokens, groups, d_state), where groups divides heads.
        D, dt_bias: (heads, dim), or with 1 in the place of dim.
        dt_softplus: Whether dt passes through softplus, after its bias.
        indices: (batch,), which row of state is whose; one that does not exist marks padding.
        dtype: What everything is computed in.

    Returns:
        out (batch, tokens, heads, dim), 0 for padding, and the states after each token (batch, tokens, heads, dim,
        d_state), which mean nothing there.
    """
    if indices is not None:
        padding = is_padding(indices, state)
        state = state[indices.masked_fill(padding, 0)]
    h, x, dt, A, B, C = (tensor.to(dtype) for tensor in (state, x, dt, A, B, C))
    if dt_bias is not None:
        dt = dt + dt_bias.to(dtype)
    if dt_softplus:
        dt = F.softplus(dt)
    B, C = (rows.repeat_interleave(x.shape[2] // rows.shape[2], dim=2) for rows in (B, C))
    states, ys = [], []
    for x_t, dt_t, B_t, C_t in zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * x_t)[..., None] * B_t[:, :, None]
        states.append(h)
        ys.append((h * C_t[:, :, None]).sum(-1))
    y = torch.stack(ys, dim=1)
    if D is not None:
        y = y + D.to(dtype) * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    if indices is not None:
        y = y.masked_fill(padding[:, None, None, None], 0)
    return y, torch.stack(states, dim=1)


def is_padding(indices: Tensor, state: Tensor) -> Tensor:
    """(batch,), which indices name no row of state."""
    return (indices < 0) | (indices >= state.shape[0])


def replaced(state: Tensor, indices: Tensor | None, new: Tensor) -> Tensor:
    """The state with the new rows (batch, ...) in it, of its dtype; without asking the device which rows those are."""
    if indices is None:
        return new
    slots = state.shape[0]
    # Which sequence owns a row; all padding owns one more.
    owners = torch.full((slots + 1,), -1, device=state.device)
    order = torch.arange(indices.numel(), device=state.device)
    rows = indices.long().masked_fill(is_padding(indices, state), slots)
    owners = owners.scatter(0, rows, order)[:slots]
    is_new = (owners >= 0).view(-1, *[1] * (state.ndim - 1))
    return torch.where(is_new, new[owners.clamp(min=0)], state)
