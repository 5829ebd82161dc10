"""The DPLR kernel in complex64 against the recurrence in complex128, for HiPPO, and where nodes meet poles."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen import nn
from ssmgen.nn.dplr import bilinear_dplr, dense

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")

N = 64


def models(measure: str, step: Tensor) -> dict[str, Tensor]:
    """The same model with several steps, one of each conjugate pair of poles, and a random C."""
    found = nn.dplr(measure, N, pairs=True)
    generator = torch.Generator().manual_seed(0)
    given = {name: getattr(found, name).expand(len(step), *getattr(found, name).shape) for name in "PB"}
    return {
        "Lambda": found.Lambda.expand(len(step), -1),
        **given,
        "C": torch.randn(len(step), N // 2, dtype=torch.complex128, generator=generator),
        "step": step,
    }


def by_recurrence(model: dict[str, Tensor], L: int) -> Tensor:
    """C* Abar^l Bbar, one step after the other."""
    Lambda, P, B, C = (
        torch.cat([model[name], model[name].conj()], dim=-1) for name in ("Lambda", "P", "B", "C")
    )
    step = model["step"]
    Abar = bilinear_dplr(model["Lambda"], model["P"], model["P"], step, pairs=True)
    left = torch.eye(N, dtype=Abar.dtype) - step[:, None, None] / 2 * dense(Lambda, P, P)
    state = torch.linalg.solve(left, step[:, None] * B)
    kernel = []
    for _ in range(L):
        kernel.append((C.conj() * state).sum(-1).real)
        state = (Abar @ state[..., None])[..., 0]
    return torch.stack(kernel, dim=-1)


def error(model: dict[str, Tensor], L: int, complex_dtype: torch.dtype, target: str = "cpu") -> float:
    """The largest error of the op over the largest value, the worst of all steps."""
    Lambda, P, B, C, step = (model[name] for name in ("Lambda", "P", "B", "C", "step"))
    C = nn.truncated(Lambda, P, P, C, step, L, pairs=True)
    given = [x.to(complex_dtype) for x in (Lambda, P, P, B, C)]
    found = ssmgen.dplr_kernel(*given, step.to(complex_dtype.to_real()), L, pairs=True, target=target)
    wanted = by_recurrence(model, L)
    return float(((found - wanted).abs().amax(-1) / wanted.abs().amax(-1)).max())


LENGTHS = [16, 17, 255, 256, 1000, 1023]
LONG = [63, 64, 4096, 4097, 16383, 16384]


@pytest.mark.parametrize("measure", ["legs", "legt"])
@pytest.mark.parametrize("L", [*LENGTHS, *(pytest.param(L, marks=pytest.mark.slow) for L in LONG)])
def test_kernels_of_hippo(measure: str, L: int) -> None:
    step = torch.exp(torch.linspace(math.log(1e-3), math.log(1e-1), 6, dtype=torch.float64))
    model = models(measure, step)
    assert error(model, L, torch.complex64) <= 5e-6
    assert error(model, L, torch.complex128) <= 1e-12


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_nodes_on_poles(measure: str) -> None:
    """LegT's poles lie on the axis of the nodes: a step can be such that a node is one of them, or next to it."""
    L = 64
    poles = nn.dplr(measure, N, pairs=True).Lambda.imag[4:12]
    k = torch.arange(5, 5 + len(poles), dtype=torch.float64)
    step = 2 * torch.tan(math.pi * k / L) / poles
    for nudge in (0.0, 1e-12, 1e-9, -1e-7, 1e-5):
        model = models(measure, step * (1 + nudge))
        assert error(model, L, torch.complex64) <= 5e-6, nudge
        assert error(model, L, torch.complex128) <= 1e-11, nudge


@pytest.mark.parametrize("measure", ["legs", "legt"])
@pytest.mark.parametrize("L", [16, 17])
def test_kernels_of_hippo_in_triton(measure: str, L: int) -> None:
    pytest.importorskip("triton")
    on_a_pole = 2 * math.tan(math.pi * 5 / L) / nn.dplr(measure, N, pairs=True).Lambda.imag[6]
    model = models(measure, torch.stack([torch.tensor(1e-2, dtype=torch.float64), on_a_pole]))
    assert error(model, L, torch.complex64, "interpret") <= 5e-6
