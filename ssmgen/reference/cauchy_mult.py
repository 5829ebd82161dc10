"""The Cauchy product of S4 (arXiv 2111.00396) as a broadcast, over blocks of nodes so that memory stays linear."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen.reference.checkpointed import over_blocks

__all__ = ["BLOCK_ELEMENTS", "cauchy_mult"]

BLOCK_ELEMENTS = 1 << 22  # complex numbers in one broadcast: 64 MB in complex128


def cauchy_mult(
    v: Tensor, z: Tensor, w: Tensor, symmetric: bool = True, *, dtype: torch.dtype = torch.complex64
) -> Tensor:
    """out_l = sum_n v_n / (z_l - w_n), and with `symmetric` + conj(v_n) / (z_l - conj(w_n)).

    Args:
        v, w: (..., N), complex; leading dims broadcast.
        z: (..., L), complex; leading dims broadcast.
        symmetric: Whether v and w hold one of each conjugate pair.
        dtype: What everything is computed in.

    Returns:
        (..., L) in `dtype`.
    """
    v, z, w = v.to(dtype), z.to(dtype), w.to(dtype)
    rows = torch.broadcast_shapes(v.shape[:-1], z.shape[:-1], w.shape[:-1])
    block = max(1, BLOCK_ELEMENTS // max(1, rows.numel() * w.shape[-1]))

    def product(z: Tensor, v: Tensor, w: Tensor) -> Tensor:
        total = (v[..., None, :] / (z[..., :, None] - w[..., None, :])).sum(-1)
        if symmetric:
            total = total + (v.conj()[..., None, :] / (z[..., :, None] - w.conj()[..., None, :])).sum(-1)
        return total

    return torch.cat(over_blocks(product, z.split(block, dim=-1), v, w), dim=-1)
