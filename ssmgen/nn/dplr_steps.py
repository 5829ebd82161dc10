"""The recurrence of A = diag(Lambda) - P P*, of one of each conjugate pair: one step, and where many lead."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.nn.dplr import bilinear_dplr

__all__ = ["Steps", "last_state", "one_step", "steps_of"]

# Steps whose effect on the state is one matrix. With fewer than states, products with powers of Abar would prevail.
_BLOCK = 128


class Steps(NamedTuple):
    """What a step needs, from a model of H features, (H, N) each: the bilinear rule in O(N rank) products.

    With s = 2 / step it is (s - A) x_k = (s + A) x_{k-1} + 2 B u_k, so the state moves by (s - A)^-1 (2 A x + 2 B u).
    Added as such, the motion of slow modes keeps the digits that Abar would lose beside 1. Woodbury's identity inverts
    s - A, with D = 1 / (s - Lambda).

    Attributes:
        pull: (H, N), 2 Lambda.
        P: (H, rank, N).
        push: (H, N), 2 B.
        D: (H, N).
        back: (H, rank, N), D P (1 + P* D P)^-1.
        C: (channels, H, N), conjugated, and not truncated.
    """

    pull: Tensor
    P: Tensor
    push: Tensor
    D: Tensor
    back: Tensor
    C: Tensor


def steps_of(Lambda: Tensor, P: Tensor, B: Tensor, C: Tensor, step: Tensor) -> Steps:
    """Computed in complex128, and kept in Lambda's dtype.

    Args:
        Lambda, B: (H, N), one of each pair.
        P: (H, rank, N).
        C: (channels, H, N), not truncated.
        step: (H,).
    """
    kind = Lambda.dtype
    Lambda, P, B, C = (x.to(torch.complex128) for x in (Lambda, P, B, C))
    D = 1 / (2 / step.double()[:, None] - Lambda)
    inner = 2 * ((P.conj() * D[:, None]) @ P.mT).real
    one = torch.eye(P.shape[1], dtype=inner.dtype, device=inner.device)
    back = torch.linalg.solve((one + inner).mT.to(P.dtype), D[:, None] * P)
    return Steps(*(x.to(kind).resolve_conj() for x in (2 * Lambda, P, 2 * B, D, back, C.conj())))


def one_step(model: Steps, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Y (batch, channels, H) = 2 Re C* x_k, and x_k (batch, H, N), of u (batch, H) and x_{k-1}."""
    moved = model.pull * x - 2 * _spread(model.P, _gathered(model.P, x)) + model.push * u[..., None]
    moved = model.D * moved
    x = x + (moved - _spread(model.back, _gathered(model.P, moved)))
    return 2 * (model.C * x[:, None]).sum(-1).real, x


def last_state(Lambda: Tensor, P: Tensor, B: Tensor, step: Tensor, u: Tensor, x: Tensor) -> Tensor:
    """The state after u (batch, H, L), from x (batch, H, N) before: block by block, of 128 steps each.

    A block takes x to Abar^m x + sum_l Abar^(m-1-l) Bbar u_l. The columns Abar^l Bbar, and the powers of Abar by which
    their number doubles, are made once, in complex128.

    Args:
        Lambda, B: (H, N), one of each pair.
        P: (H, rank, N).
        step: (H,).
    """
    kind, N, length = x.dtype, Lambda.shape[-1], u.shape[-1]
    Abar = bilinear_dplr(Lambda, P, P, step, pairs=True)
    # Bbar = (1 - step/2 A)^-1 step B = step/2 (Abar + 1) B.
    wide = _both(B.to(Abar.dtype))
    Bbar = step.double()[:, None] / 2 * ((Abar @ wide[..., None])[..., 0] + wide)
    columns, powers = Bbar[..., None], [Abar]
    while columns.shape[-1] < min(_BLOCK, length):
        columns = torch.cat([powers[-1] @ columns, columns], dim=-1)
        powers.append(powers[-1] @ powers[-1])
    reach, effect, halves = columns.shape[-1], columns[:, :N].to(kind), [M[:, :N].to(kind) for M in powers]
    for u_i in u.split(reach, dim=-1):
        taken = u_i.shape[-1]
        x = _advanced(halves, x, taken)
        x = x + torch.einsum("hnl,bhl->bhn", effect[..., reach - taken :], u_i.to(kind))
    return x


def _advanced(halves: list[Tensor], x: Tensor, count: int) -> Tensor:
    """Abar^count x, from the upper rows of Abar^1, Abar^2, Abar^4, ...; count is at most the last exponent."""
    for bit, M in enumerate(halves):
        if count >> bit & 1:
            x = torch.einsum("hnm,bhm->bhn", M, _both(x))
    return x


def _both(x: Tensor) -> Tensor:
    return torch.cat([x, x.conj()], dim=-1)


def _gathered(P: Tensor, x: Tensor) -> Tensor:
    """P* x over both of each pair: (batch, H, rank), real."""
    return 2 * torch.einsum("hrn,bhn->bhr", P.conj(), x).real


def _spread(P: Tensor, low: Tensor) -> Tensor:
    return torch.einsum("hrn,bhr->bhn", P, low.to(P.dtype))
