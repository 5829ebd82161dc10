"""Integrals of smooth functions to the last digits, for tests that hold something against its definition."""

from __future__ import annotations

import torch
from torch import Tensor


def gauss(count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1], from the eigenvalues of the Jacobi matrix (Golub and Welsch)."""
    n = torch.arange(1, count, dtype=torch.float64)
    off = n / torch.sqrt(4 * n * n - 1)
    values, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return (values + 1) / 2, vectors[0] ** 2
