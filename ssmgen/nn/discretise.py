"""From the continuous model x' = A x + B u to steps x_k = Abar x_{k-1} + Bbar u_k of size `step`.

Three rules, each for a dense A (..., N, N) and for a diagonal one, Lambda (..., N). B is (..., N) and step (...) real.
All return (Abar, Bbar), of the shapes of A and B, and are differentiable.
"""

from __future__ import annotations

from math import factorial

import torch
from torch import Tensor

__all__ = [
    "bilinear",
    "bilinear_diagonal",
    "bilinear_exponent",
    "euler",
    "euler_diagonal",
    "expm1_over",
    "zoh",
    "zoh_diagonal",
]

# Below this size a series gives expm1(z) / z: its quotient rule would lose the gradient's digits. Ten terms leave less
# than float64 resolves.
_SMALL = 0.1
_COEFFICIENTS = [1 / factorial(n + 1) for n in reversed(range(10))]


def euler(A: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences, Abar = 1 + step A, Bbar = step B: stable only for steps that are small beside 1 / |A|."""
    return _one(A) + step[..., None, None] * A, step[..., None] * B


def bilinear(A: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Tustin's: Abar = (1 - step/2 A)^-1 (1 + step/2 A), Bbar = (1 - step/2 A)^-1 step B; S4's: stable if A is."""
    half = step[..., None, None] / 2 * A
    right = torch.cat([_one(A) + half, (step[..., None] * B)[..., None]], dim=-1)
    solved = torch.linalg.solve(_one(A) - half, right)
    return solved[..., :-1], solved[..., -1]


def zoh(A: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Zero-order hold, Abar = exp(step A), Bbar = int_0^step exp(t A) B dt: exact if u is constant over each step.

    Both stand in the exponential of [[A, B], [0, 0]] step, which asks no inverse of A.
    """
    top = step[..., None, None] * torch.cat([A, B[..., None]], dim=-1)
    flow = torch.linalg.matrix_exp(torch.cat([top, torch.zeros_like(top[..., :1, :])], dim=-2))
    return flow[..., :-1, :-1], flow[..., :-1, -1]


def euler_diagonal(Lambda: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """`euler` for A = diag(Lambda)."""
    return 1 + step[..., None] * Lambda, step[..., None] * B


def bilinear_diagonal(Lambda: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """`bilinear` for A = diag(Lambda)."""
    half = step[..., None] / 2 * Lambda
    return (1 + half) / (1 - half), step[..., None] * B / (1 - half)


def zoh_diagonal(Lambda: Tensor, B: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """`zoh` for A = diag(Lambda); Lambda may be 0."""
    z = step[..., None] * Lambda
    return torch.exp(z), step[..., None] * expm1_over(z) * B


def bilinear_exponent(Lambda: Tensor, step: Tensor) -> Tensor:
    """Log of the Abar of `bilinear_diagonal`, without first rounding it to near 1: the exponents of its powers.

    Args:
        Lambda: (..., N), complex.
        step: (...), real.
    """
    half = step[..., None] / 2 * Lambda
    real, imag = half.real, half.imag
    size = torch.log1p(4 * real / ((1 - real) ** 2 + imag**2)) / 2
    return torch.complex(size, torch.atan2(imag, 1 + real) + torch.atan2(imag, 1 - real))


def expm1_over(z: Tensor) -> Tensor:
    """(e^z - 1) / z, 1 at z = 0, with gradients that are as exact as it is."""
    is_small = z.abs() < _SMALL
    near = torch.where(is_small, z, 0)
    series = torch.full_like(z, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        series = series * near + coefficient
    far = torch.where(is_small, 1, z)
    return torch.where(is_small, series, torch.expm1(far) / far)


def _one(A: Tensor) -> Tensor:
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
