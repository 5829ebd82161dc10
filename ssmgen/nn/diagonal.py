"""Initialisations of diagonal models, A = diag(Lambda) (S4D, arXiv 2206.11893)."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor

from ssmgen.errors import InvalidInputError, unknown
from ssmgen.nn.checks import require_count
from ssmgen.nn.hippo import dplr

__all__ = ["INITS", "s4d"]

INITS = ("legs", "lin", "inv")


def s4d(init: str, N: int) -> tuple[Tensor, Tensor]:
    """Lambda and B of a diagonal model of N states, one of each conjugate pair.

    ====== ========================================================================================================
    lin    Lambda_n = -1/2 + i pi n, B = 1: the frequencies of a Fourier series (S4D-Lin).
    inv    Lambda_n = -1/2 + i (N / pi) (N / (2 n + 1) - 1), B = 1: close to those of legs (S4D-Inv).
    legs   HiPPO-LegS without its low rank part, which, for large N, halving B makes up for (S4D-LegS, theorem 3).
    ====== ========================================================================================================

    Returns:
        Lambda (N / 2,) and B (N / 2,), complex128.

    Raises:
        InvalidInputError: N is odd, or no integer of at least 1.
        UnknownNameError: There is no such initialisation.
    """
    if init not in INITS:
        raise unknown("initialisation", init, INITS)
    require_count("N", N)
    if N % 2:
        raise InvalidInputError(f"N is {N}, but states come in conjugate pairs: it must be even.")
    if init == "legs":
        system = dplr("legs", N, pairs=True)
        return system.Lambda, system.B / 2
    n = torch.arange(N // 2, dtype=torch.float64)
    imaginary = pi * n if init == "lin" else N / pi * (N / (2 * n + 1) - 1)
    return torch.complex(torch.full_like(n, -0.5), imaginary), torch.ones(N // 2, dtype=torch.complex128)
