"""Why HiPPO: what the state of a random A has forgotten, and that of HiPPO has not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssmgen.nn import hippo, reconstruct
from ssmgen.nn.discretise import zoh

N, WINDOW = 32, 256


def signals(count: int, seed: int) -> Tensor:
    """Sums of 16 waves of random phases, and of up to 6 turns in a window, over 3 windows: (count, 3 WINDOW)."""
    random = torch.Generator().manual_seed(seed)
    time = (torch.arange(3 * WINDOW, dtype=torch.float64) + 0.5) / WINDOW
    turns = 6 * torch.rand(count, 16, 1, dtype=torch.float64, generator=random)
    weights = torch.randn(count, 16, 2, dtype=torch.float64, generator=random) / 4
    angle = 2 * torch.pi * turns * time
    return (weights[..., :1] * angle.cos() + weights[..., 1:] * angle.sin()).sum(1)


def last_states(A: Tensor, B: Tensor, u: Tensor) -> Tensor:
    Abar, Bbar = zoh(A, B, torch.tensor(1 / WINDOW, dtype=torch.float64))
    x = torch.zeros(u.shape[0], N, dtype=torch.float64)
    for u_k in u.unbind(-1):
        x = x @ Abar.mT + u_k[:, None] * Bbar
    return x


def random_system(scale: float, seed: int) -> tuple[Tensor, Tensor]:
    """Normal entries of variance 1 / N, shifted until the slowest mode decays as e^(-0.1 t), and then sped up."""
    random = torch.Generator().manual_seed(seed)
    A = torch.randn(N, N, dtype=torch.float64, generator=random) / N**0.5
    A = A - (torch.linalg.eigvals(A).real.max() + 0.1) * torch.eye(N, dtype=torch.float64)
    return scale * A, torch.randn(N, dtype=torch.float64, generator=random)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float(torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted))


def error_of_legt(kept: torch.dtype) -> float:
    """Of reading the last window off the Legendre basis, from states that were kept in a dtype."""
    u = signals(100, seed=2)
    age = (torch.arange(WINDOW).flip(0) + 0.5) / WINDOW
    state = last_states(*hippo("legt", N), u).to(kept)
    return relative(reconstruct("legt", state, age), u[:, -WINDOW:])


def error_of_random(kept: torch.dtype, scale: float, seed: int) -> float:
    """The same with the best that can be done: a linear decoder fitted to the states of 400 other signals."""
    A, B = random_system(scale, seed)
    seen, new = signals(400, seed=1), signals(100, seed=2)
    of_seen, of_new = (last_states(A, B, u).to(kept).double() for u in (seen, new))
    decoder = torch.linalg.lstsq(of_seen, seen[:, -WINDOW:]).solution
    return relative(of_new @ decoder, new[:, -WINDOW:])


@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_hippo_remembers_a_window_that_a_random_system_has_lost(kept: torch.dtype) -> None:
    legt = error_of_legt(kept)
    assert legt < 3e-3
    best = min(error_of_random(kept, scale, seed=3) for scale in (1.0, 4.0, 16.0, 64.0))
    assert best > 50 * legt
