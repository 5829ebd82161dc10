"""The formulas that mamba-ssm's functions stand for, step by step in float64, sharing nothing with ours."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _rows(x: Tensor, A: Tensor, dim: int, length: int) -> Tensor:
    """B or C as (batch or 1, dim, d_state, length)."""
    if x.ndim == 2:
        return wide(x)[None, :, :, None].expand(1, dim, -1, length)
    if x.ndim == 3:
        x = x[:, None]
    x = x.repeat_interleave(dim // x.shape[1], dim=1)
    if A.is_complex() and not x.is_complex():
        x = torch.complex(wide(x[..., 0::2]), wide(x[..., 1::2]))
    return wide(x)


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    u, delta = wide(u), wide(delta)
    if delta_bias is not None:
        delta = delta + wide(delta_bias)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    _, dim, length = u.shape
    B, C = _rows(B, A, dim, length), _rows(C, A, dim, length)
    h = wide(A).new_zeros(u.shape[0], *A.shape)
    steps = []
    for t in range(length):
        step = delta[:, :, t, None]
        h = torch.exp(step * wide(A)) * h + step * B[..., t] * u[:, :, t, None]
        y = (C[..., t] * h).sum(-1)
        steps.append(2 * y.real if A.is_complex() else y)
    out = torch.stack(steps, dim=-1)
    if D is not None:
        out = out + wide(D)[:, None] * u
    return out if z is None else out * F.silu(wide(z)), h


def norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    return x if weight is None else F.rms_norm(x, x.shape[-1:], wide(weight), eps)


def block(
    xz: Tensor,
    conv1d_weight: Tensor,
    conv1d_bias: Tensor | None,
    x_proj_weight: Tensor,
    delta_proj_weight: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    A: Tensor,
    B: Tensor | None = None,
    C: Tensor | None = None,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    B_proj_bias: Tensor | None = None,
    C_proj_bias: Tensor | None = None,
    delta_softplus: bool = True,
    b_rms_weight: Tensor | None = None,
    c_rms_weight: Tensor | None = None,
    dt_rms_weight: Tensor | None = None,
    b_c_dt_rms_eps: float = 1e-6,
) -> Tensor:
    """With features last, (batch, seqlen, features), as the paper writes it."""
    dim, _, width = conv1d_weight.shape
    x, z = wide(xz)[:, :dim], wide(xz)[:, dim:]
    past = F.pad(x, (width - 1, 0))
    x = torch.stack(
        [
            (past[:, :, t : t + width] * wide(conv1d_weight)[:, 0]).sum(-1)
            + (0.0 if conv1d_bias is None else wide(conv1d_bias))
            for t in range(xz.shape[2])
        ],
        dim=-1,
    )
    u = F.silu(x)
    rank, states = delta_proj_weight.shape[1], A.shape[1] * (2 if A.is_complex() else 1)
    parts = torch.einsum("bdl,rd->blr", u, wide(x_proj_weight))
    delta = norm(parts[..., :rank] @ wide(delta_proj_weight).T, dt_rms_weight, b_c_dt_rms_eps)

    def rows(start: int, bias: Tensor | None, weight: Tensor | None) -> Tensor:
        found = parts[..., start : start + states] + (0.0 if bias is None else wide(bias))
        if A.is_complex():
            found = torch.complex(found[..., 0::2], found[..., 1::2])
        return norm(found, weight, b_c_dt_rms_eps).mT

    if B is None:
        B = rows(rank, B_proj_bias, b_rms_weight)
    if C is None:
        C = rows(parts.shape[-1] - states, C_proj_bias, c_rms_weight)
    y, _ = scan(u, delta.mT, A, B, C, D, z, delta_bias, delta_softplus)
    return F.linear(y.mT, wide(out_proj_weight), None if out_proj_bias is None else wide(out_proj_bias))
