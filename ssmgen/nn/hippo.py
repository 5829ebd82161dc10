"""HiPPO: linear ODEs whose state holds the coefficients of the input's past in an orthonormal basis.

From arXiv 2008.07669 (HiPPO), 2111.00396 (S4: normal plus low rank) and 2206.12037 (the measures as S4 uses them).
`ssmgen.nn.reconstruction` turns a state back into the past that it stands for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.errors import InvalidInputError, unknown
from ssmgen.nn.checks import require_count

__all__ = ["DPLR", "MEASURES", "dplr", "hippo", "low_rank"]

MEASURES = ("legs", "legt", "fourier")


class DPLR(NamedTuple):
    """A HiPPO system in the basis V, where A is diagonal plus low rank: A = V (diag(Lambda) - sum_r P_r P_r*) V*.

    Attributes:
        Lambda: (N,), complex128. The first N // 2 have an imaginary part >= 0, the next N // 2 are their conjugates
            in the same order, and a real one, where N is odd, comes last.
        P: (rank, N), complex128; its conjugate is what multiplies the state.
        B: (N,), complex128, V* B.
        V: (N, N), complex128, unitary: x = V x' takes a state back to the basis of `hippo`.
    """

    Lambda: Tensor
    P: Tensor
    B: Tensor
    V: Tensor


def hippo(measure: str, N: int) -> tuple[Tensor, Tensor]:
    """A and B of x' = A x + B u, stable, whose state x holds the past of u as `measure` weighs it.

    - legs: Legendre polynomials of e^-age, all of the past weighed by e^-age. With x' = (A x + B u) / t it holds u on
      [0, t] with equal weight, which is HiPPO-LegS itself (arXiv 2008.07669); S4 drops the 1 / t.
    - legt: Legendre polynomials on a window, u on [t - 1, t]. A longer window divides A and B by its length.
    - fourier: 1 and sqrt(2) cos, sqrt(2) sin of 2 pi k age on the same window. State 2 k is the cosine, 2 k + 1 the
      sine. State 1, the sine of frequency 0, is always 0, and keeps every frequency a pair.

    Args:
        measure: "legs", "legt" or "fourier".
        N: The number of states; even for "fourier".

    Returns:
        A (N, N) and B (N,), float64.

    Raises:
        InvalidInputError: N is no integer of at least 1, or odd where the measure wants pairs.
        UnknownNameError: There is no such measure.
    """
    _check(measure, N)
    if measure == "fourier":
        frequency = 2 * torch.pi * torch.arange(N // 2, dtype=torch.float64)
        A = torch.zeros(N, N, dtype=torch.float64)
        cosine, sine = torch.arange(0, N, 2), torch.arange(1, N, 2)
        A[cosine, sine], A[sine, cosine] = -frequency, frequency
        # u(t - 1) is fed back as 2 p x - u(t): a Fourier series takes the mean of both ends of its window there.
        p = _fourier_ends(N)
        return A - 2 * torch.outer(p, p), 2 * p
    n = torch.arange(N, dtype=torch.float64)
    B = torch.sqrt(2 * n + 1)
    below = torch.tril(torch.outer(B, B), -1)
    if measure == "legs":
        return -below - torch.diag(n + 1), B
    sign = 1 - 2 * ((n[:, None] + n) % 2)
    return -below - sign * (below.mT + torch.diag(2 * n + 1)), B


def low_rank(measure: str, N: int) -> Tensor:
    """P (rank, N), float64, with A + sum_r P_r P_r^T normal: of rank 1 for legs and fourier, and 2 for legt.

    Raises:
        InvalidInputError, UnknownNameError: As for `hippo`.
    """
    _check(measure, N)
    if measure == "fourier":
        return 2**0.5 * _fourier_ends(N)[None]
    n = torch.arange(N, dtype=torch.float64)
    if measure == "legs":
        return torch.sqrt(n + 0.5)[None]
    root = torch.sqrt(2 * n + 1)
    return torch.stack([torch.where(n % 2 == 0, root, 0), torch.where(n % 2 == 1, root, 0)])


def dplr(measure: str, N: int, *, pairs: bool = False) -> DPLR:
    """The diagonal plus low rank form of `hippo(measure, N)`.

    A + P P* is a multiple of the identity plus a skew matrix S. So V comes from the Hermitian -i S, and is unitary;
    the real parts are not computed but known: all -1/2 (legs) or 0 (legt, fourier). What is diagonal, or is divided by
    z - Lambda, wants those a little below 0.

    Args:
        measure: "legs", "legt" or "fourier".
        N: The number of states.
        pairs: Whether to keep one of each conjugate pair, that with the imaginary part >= 0: Lambda (N / 2,),
            P (rank, N / 2), B (N / 2,) and V (N, N / 2). A state in the basis of `hippo` is then 2 Re V x'.

    Returns:
        Lambda (N,), P (rank, N), B (N,) and V (N, N), complex128; of rank 1 for legs and fourier, and 2 for legt.

    Raises:
        InvalidInputError: N is no integer of at least 1, or is odd with `pairs` or for "fourier".
        UnknownNameError: There is no such measure.
    """
    _check(measure, N)
    if pairs and N % 2:
        raise InvalidInputError(
            f"N, the number of states (d_state of a layer), is {N}: of an odd number one has a real pole, which has "
            "no pair. Take an even one, or call with pairs=False, which layers cannot."
        )
    _, b = hippo(measure, N)
    imaginary, V = _half_fourier(N) if measure == "fourier" else _half_skew(measure, N)
    real = torch.full_like(imaginary, -0.5 if measure == "legs" else 0.0)
    Lambda = torch.complex(real, imaginary)
    if not pairs:
        count = N // 2
        Lambda = torch.cat([Lambda[:count], Lambda[:count].conj(), Lambda[count:]])
        V = torch.cat([V[:, :count], V[:, :count].conj(), V[:, count:]], dim=1)
    P = low_rank(measure, N).to(V) @ V.conj()
    return DPLR(Lambda, P, b.to(V) @ V.conj(), V.resolve_conj())


def _half_skew(measure: str, N: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues >= 0 of -i S, ascending but for a last 0 of an odd N, and their eigenvectors.

    The others are conjugates of these, and are made by conjugation: what eigh finds for them only nearly is.
    """
    A, _ = hippo(measure, N)
    P = low_rank(measure, N)
    S = torch.tril(A + P.mT @ P, -1)
    values, vectors = torch.linalg.eigh(torch.complex(torch.zeros_like(S), S.mT - S))
    upper = N - N // 2
    values, vectors = values[N // 2 :], vectors[:, N // 2 :]
    if N % 2:
        order = [*range(1, upper), 0]
        values, vectors = values[order].clone(), vectors[:, order]
        values[-1] = 0.0
    return values, vectors


def _half_fourier(N: int) -> tuple[Tensor, Tensor]:
    """The same for the Fourier basis, whose pole 0 is double: eigh would mix its two states at will."""
    V = torch.zeros(N, N // 2, dtype=torch.complex128)
    index = torch.arange(N // 2)
    V[2 * index, index], V[2 * index + 1, index] = 0.5**0.5, -1j * 0.5**0.5
    return 2 * torch.pi * index.double(), V


def _fourier_ends(N: int) -> Tensor:
    """The Fourier basis at either end of its window."""
    p = torch.zeros(N, dtype=torch.float64)
    p[0::2] = 2**0.5
    p[0] = 1.0
    return p


def _check(measure: str, N: int) -> None:
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    require_count("N", N)
    if measure == "fourier" and N % 2:
        raise InvalidInputError(f"N is {N}; 'fourier' has a sine for each cosine, so N must be even.")
