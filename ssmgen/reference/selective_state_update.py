"""Steps of a selective scan from a state that is kept between calls: decoding."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["selective_state_update"]


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
    *,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Of each token, h = exp(dt A) h + dt B x, y = C . h + D x, out = y * silu(z); differentiable.

    Args:
        state: (batch, heads, dim, d_state), the state before the first token; it is not changed.
        x, z: (batch, tokens, heads, dim).
        dt: (batch, tokens, heads, dim), or with 1 in the place of dim.
        A: (heads, dim, d_state), or with 1 in the place of both.
        B, C: (batch, tokens, groups, d_state), where groups divides heads.
        D, dt_bias: (heads, dim), or with 1 in the place of dim.
        dt_softplus: Whether dt passes through softplus, after its bias.
        dtype: What everything is computed in.

    Returns:
        out (batch, tokens, heads, dim) and the states after each token (batch, tokens, heads, dim, d_state).
    """
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
    return y, torch.stack(states, dim=1)
