"""The convolution kernel of a DPLR state-space model (S4, arXiv 2111.00396) from its truncated generating function."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssmgen.reference.cauchy_mult import BLOCK_ELEMENTS
from ssmgen.reference.checkpointed import over_blocks

__all__ = ["dplr_spectrum"]


def dplr_spectrum(
    Lambda: Tensor,
    P: Tensor,
    Q: Tensor,
    B: Tensor,
    C: Tensor,
    step: Tensor,
    seqlen: int,
    *,
    pairs: bool = False,
    dtype: torch.dtype = torch.complex64,
) -> Tensor:
    """The truncated generating function of A = diag(Lambda) - P Q*, bilinear, at exp(-2 pi i k / L), k = 0 ... L // 2.

    With phi = pi k / L and R_XY = sum_n conj(X_n) Y_n / (2 i sin(phi) / step - Lambda_n cos(phi)) it is
    e^{i phi} (R_CB - cos(phi) R_CP (1 + cos(phi) R_QP)^-1 R_QB): Woodbury's identity, times cos(phi), so that the
    frequency of Nyquist, where S4's z is infinite, is a node like any other.

    Args:
        Lambda, B: (H, N), complex.
        P, Q: (H, rank, N), complex.
        C: (channels, H, N), complex: the truncated C.
        step: (H,), real.
        seqlen: L.
        pairs: Whether N counts one of each conjugate pair.
        dtype: The complex dtype that everything is computed in.

    Returns:
        (channels, H, L // 2 + 1) in `dtype`.
    """
    Lambda, P, Q, B, C = (x.to(dtype) for x in (Lambda, P, Q, B, C))
    rate = 2 / step.to(dtype.to_real())
    channels, rank = C.shape[0], P.shape[1]
    left = torch.cat([C, Q.transpose(0, 1)]).conj()
    right = torch.cat([B[None], P.transpose(0, 1)])
    v = left[:, None] * right  # (channels + rank, 1 + rank, H, N)
    one = torch.eye(rank, dtype=dtype, device=v.device)

    def piece(nodes: Tensor, v: Tensor, Lambda: Tensor, rate: Tensor) -> Tensor:
        sine, cosine = nodes.to(rate.dtype)
        i_s = torch.complex(torch.zeros_like(sine), sine) * rate[:, None]
        R = torch.einsum("xyhn,hkn->xyhk", v, 1 / (i_s[..., None] - Lambda[:, None] * cosine[:, None]))
        if pairs:
            mirrored = 1 / (i_s[..., None] - Lambda.conj()[:, None] * cosine[:, None])
            R = R + torch.einsum("xyhn,hkn->xyhk", v.conj(), mirrored)
        inner = one + (cosine * R[channels:, 1:]).permute(2, 3, 0, 1)
        solved = torch.linalg.solve(inner, R[channels:, 0].permute(1, 2, 0)[..., None])[..., 0]
        woodbury = torch.einsum("crhk,hkr->chk", R[:channels, 1:], solved)
        found: Tensor = torch.complex(cosine, sine) * (R[:channels, 0] - cosine * woodbury)
        return found

    elements = Lambda.numel() * (channels + rank) * (1 + rank)
    blocks = _nodes(seqlen, v.device).split(max(1, BLOCK_ELEMENTS // elements), dim=-1)
    return torch.cat(over_blocks(piece, blocks, v, Lambda, rate), dim=-1)


def _nodes(seqlen: int, device: torch.device) -> Tensor:
    """sin(phi) and cos(phi), (2, L // 2 + 1), in float64: both by sines of small angles, which keep their digits."""
    k = torch.arange(seqlen // 2 + 1, dtype=torch.float64, device=device)
    return torch.stack(
        [torch.sin(math.pi * k / seqlen), torch.sin(math.pi * (seqlen - 2 * k) / (2 * seqlen))]
    )
