"""DPLR models A = diag(Lambda) - P Q* as matrices: their bilinear step, and what truncation makes of C (S4).

Everything is computed in complex128: powers of Abar to the length of a sequence would lose float32's digits. Dense
matrices (..., N, N) arise, so these are for once per model, and not for once per sequence.

Shapes: Lambda (..., N), P and Q (..., rank, N) or (..., N), C (..., N), step (...), real; leading dims broadcast. With
`pairs` N counts one of each conjugate pair, and the other is understood.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bilinear_dplr", "dense", "doubled", "truncated", "untruncated"]


def dense(Lambda: Tensor, P: Tensor, Q: Tensor) -> Tensor:
    """A = diag(Lambda) - sum_r P_r Q_r*, (..., N, N)."""
    P, Q = _with_rank(Lambda, P), _with_rank(Lambda, Q)
    A: Tensor = torch.diag_embed(Lambda) - P.mT @ Q.conj()
    return A


def bilinear_dplr(Lambda: Tensor, P: Tensor, Q: Tensor, step: Tensor, *, pairs: bool = False) -> Tensor:
    """Abar = (1 - step/2 A)^-1 (1 + step/2 A), complex128: (..., N, N), or (..., 2 N, 2 N) with `pairs`.

    It is 2 s (s - A)^-1 - 1 with s = 2 / step, and Woodbury's identity inverts s - A. With `pairs` the conjugates
    come after what is given, in the same order.
    """
    P, Q = _with_rank(Lambda, P), _with_rank(Lambda, Q)
    Lambda, P, Q = (_wide(x, pairs) for x in (Lambda, P, Q))
    s = (2 / step.double())[..., None]
    D = 1 / (s - Lambda)
    left, right = D[..., None, :] * P, Q.conj() * D[..., None, :]
    inner = torch.eye(P.shape[-2], dtype=P.dtype, device=P.device) + right @ P.mT
    low_rank: Tensor = left.mT @ torch.linalg.solve(inner, right)
    return torch.diag_embed(2 * s * D - 1) - 2 * s[..., None] * low_rank


def truncated(
    Lambda: Tensor, P: Tensor, Q: Tensor, C: Tensor, step: Tensor, L: int, *, pairs: bool = False
) -> Tensor:
    """C~ = (1 - Abar^L)* C, whose untruncated generating function is that of the kernel's first L terms.

    `sum_{l < L} C* Abar^l Bbar omega^l = C~* (1 - Abar omega)^-1 Bbar` wherever omega^L = 1: what `dplr_kernel` takes
    as C.

    Args:
        Lambda: (..., N), the poles.
        P, Q: (..., rank, N), or (..., N) for rank 1.
        C: (..., N), or (channels, ..., N).
        step: (...), real.
        L: The length, at least 1.
        pairs: Whether N counts one of each conjugate pair.

    Returns:
        C~, complex128, of the shape of C.
    """
    return C - _powered(bilinear_dplr(Lambda, P, Q, step, pairs=pairs), C, L, pairs)


def doubled(
    Lambda: Tensor, P: Tensor, Q: Tensor, C: Tensor, step: Tensor, L: int, *, pairs: bool = False
) -> Tensor:
    """The C~ of twice the length, (1 + Abar^L)* C~, from that of length L.

    Args:
        Lambda, P, Q, step, pairs: As for `truncated`.
        C: C~ of length L, of the shape of C there.
        L: The length, at least 1.

    Returns:
        C~ of length 2 L, complex128, of the shape of C.
    """
    return C + _powered(bilinear_dplr(Lambda, P, Q, step, pairs=pairs), C, L, pairs)


def untruncated(
    Lambda: Tensor, P: Tensor, Q: Tensor, C: Tensor, step: Tensor, L: int, *, pairs: bool = False
) -> Tensor:
    """C = (1 - Abar^L)^-* C~, the inverse of `truncated`: what the recurrence multiplies its state with.

    As exact as the slowest mode lets it be: errors of C~ along one with Abar^L = 1 - e are errors 1 / e as large of C.

    Args:
        Lambda, P, Q, step, pairs: As for `truncated`.
        C: C~ of length L, of the shape of C there.
        L: The length, at least 1.

    Returns:
        C, complex128, of the shape of C~.
    """
    Abar = bilinear_dplr(Lambda, P, Q, step, pairs=pairs)
    one = torch.eye(Abar.shape[-1], dtype=Abar.dtype, device=Abar.device)
    M: Tensor = (one - torch.linalg.matrix_power(Abar, L)).mH
    solved: Tensor = torch.linalg.solve(M, _wide(C, pairs)[..., None])[..., 0]
    return solved[..., : C.shape[-1]]


def _powered(Abar: Tensor, C: Tensor, L: int, pairs: bool) -> Tensor:
    """(Abar^L)* C."""
    product: Tensor = torch.linalg.matrix_power(Abar, L).mH @ _wide(C, pairs)[..., None]
    return product[..., : C.shape[-1], 0]


def _wide(x: Tensor, pairs: bool) -> Tensor:
    """In complex128, and with the conjugates that `pairs` leaves out."""
    x = x.to(torch.complex128)
    return torch.cat([x, x.conj()], dim=-1) if pairs else x


def _with_rank(Lambda: Tensor, P: Tensor) -> Tensor:
    return P if P.ndim > Lambda.ndim else P[..., None, :]
