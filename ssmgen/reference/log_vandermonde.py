"""The Vandermonde products of S4D (arXiv 2206.11893) as sums over poles or steps, in blocks of steps."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen.reference.cauchy_mult import BLOCK_ELEMENTS
from ssmgen.reference.checkpointed import over_blocks

__all__ = ["log_vandermonde", "log_vandermonde_transpose"]


def log_vandermonde(v: Tensor, x: Tensor, seqlen: int, *, dtype: torch.dtype = torch.complex64) -> Tensor:
    """out_l = 2 Re sum_n v_n exp(x_n l), for l = 0 ... seqlen - 1.

    Args:
        v, x: (..., N), complex; leading dims broadcast.
        seqlen: L.
        dtype: The complex dtype that everything is computed in.

    Returns:
        (..., L), real, in the precision of `dtype`.
    """
    v, x = v.to(dtype), x.to(dtype)

    def piece(steps: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return 2 * (v[..., :, None] * _powers(x, steps)).sum(-2).real

    return torch.cat(over_blocks(piece, _steps(v, x, seqlen), v, x), dim=-1)


def log_vandermonde_transpose(
    u: Tensor, v: Tensor, x: Tensor, seqlen: int, *, dtype: torch.dtype = torch.complex64
) -> Tensor:
    """out_n = v_n sum_l u_l exp(x_n l), for l = 0 ... seqlen - 1.

    Args:
        u: (..., L), real; leading dims broadcast.
        v, x: (..., N), complex.
        seqlen: L.
        dtype: The complex dtype that everything is computed in.

    Returns:
        (..., N) in `dtype`.
    """
    u, v, x = u.to(dtype), v.to(dtype), x.to(dtype)

    def piece(steps: Tensor, u: Tensor, x: Tensor) -> Tensor:
        inputs = u[..., int(steps[0]) : int(steps[0]) + steps.numel()]
        return (inputs[..., None, :] * _powers(x, steps)).sum(-1)

    sums = over_blocks(piece, _steps(u, x, seqlen), u, x)
    return v * torch.stack(sums).sum(0)


def _steps(like: Tensor, x: Tensor, seqlen: int) -> tuple[Tensor, ...]:
    """The steps in blocks, in float64."""
    rows = torch.broadcast_shapes(like.shape[:-1], x.shape[:-1]).numel()
    block = max(1, BLOCK_ELEMENTS // max(1, rows * x.shape[-1]))
    steps: Tensor = torch.arange(seqlen, dtype=torch.float64, device=x.device)
    return tuple(steps.split(block))


def _powers(x: Tensor, steps: Tensor) -> Tensor:
    """exp(x l), (..., N, L), whose phases may be many turns, which a product in x's precision would round.

    In float64 the half of Im(x) that holds its first 24 bits times l is exact, which leaves cos and sin their digits.
    """
    wide = x.to(torch.complex128)
    turns = wide.imag.detach().float().double()
    rest = torch.complex(wide.real, wide.imag - turns)
    phase = turns[..., None] * steps
    powers = torch.complex(phase.cos(), phase.sin()) * torch.exp(rest[..., None] * steps)
    return powers.to(x.dtype)
