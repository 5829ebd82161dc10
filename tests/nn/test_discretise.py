"""Discretisation: the rules against each other, against an ODE solved finely, and where they could break."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssmgen.nn import dplr, hippo
from ssmgen.nn.discretise import (
    bilinear,
    bilinear_diagonal,
    bilinear_exponent,
    euler,
    euler_diagonal,
    expm1_over,
    zoh,
    zoh_diagonal,
)
from tests.nn.quadrature import gauss

Rule = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
PAIRS = [(euler, euler_diagonal), (bilinear, bilinear_diagonal), (zoh, zoh_diagonal)]


def close(found: Tensor, wanted: Tensor, limit: float = 1e-12) -> None:
    assert float((found - wanted).abs().max()) <= limit * float(wanted.abs().max())


@pytest.mark.parametrize(("dense", "diagonal"), PAIRS)
@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 2**31))
def test_diagonal_rules_are_the_dense_ones(dense: Rule, diagonal: Rule, rows: int, N: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    Lambda, B = torch.randn(2, rows, N, dtype=torch.complex128, generator=random)
    Lambda[..., 0] = 0.0
    step = torch.rand(rows, dtype=torch.float64, generator=random) + 1e-3
    A, b = dense(torch.diag_embed(Lambda), B, step)
    a, b_diagonal = diagonal(Lambda, B, step)
    close(A, torch.diag_embed(a))
    close(b_diagonal, b)


@pytest.mark.parametrize(("rule", "order"), [(euler, 1), (bilinear, 2)])
def test_rules_converge_to_zero_order_hold_at_their_order(rule: Rule, order: int) -> None:
    A, B = hippo("legt", 6)

    def error(steps: int) -> float:
        step = torch.tensor(0.5 / steps, dtype=torch.float64)
        x, exact = torch.zeros(2, 6, dtype=torch.float64)
        Abar, Bbar = rule(A, B, step)
        E, F = zoh(A, B, step)
        for _ in range(steps):
            x, exact = Abar @ x + Bbar, E @ exact + F
        return float((x - exact).abs().max())

    assert error(400) / error(800) == pytest.approx(2**order, rel=0.1)


def test_zero_order_hold_is_exact_for_a_constant() -> None:
    # x(t) = A^-1 (exp(A t) - 1) B from a state of zeros, whatever the number of steps on the way.
    A, B = hippo("legs", 8)
    Abar, Bbar = zoh(A, B, torch.tensor(0.01, dtype=torch.float64))
    x = torch.zeros_like(B)
    for _ in range(300):
        x = Abar @ x + Bbar
    wanted = torch.linalg.solve(A, (torch.linalg.matrix_exp(3 * A) - torch.eye(8)) @ B)
    close(x, wanted, 1e-10)


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_bilinear_keeps_a_stable_system_stable_at_any_step(measure: str) -> None:
    A, B = hippo(measure, 16)
    for step in (1e-4, 0.1, 10.0, 1e4):
        Abar, _ = bilinear(A, B, torch.tensor(step, dtype=torch.float64))
        assert float(torch.linalg.eigvals(Abar).abs().max()) < 1


@settings(max_examples=30)
@given(st.floats(-50, 0), st.floats(-500, 500), st.floats(1e-5, 1.0))
def test_the_exponent_of_the_bilinear_rule(real: float, imag: float, step: float) -> None:
    Lambda = torch.tensor([complex(real, imag)], dtype=torch.complex128)
    h = torch.tensor(step, dtype=torch.float64)
    Abar, _ = bilinear_diagonal(Lambda, Lambda, h)
    close(torch.exp(bilinear_exponent(Lambda, h)), Abar, 1e-11)


def test_exponents_of_slow_modes_keep_their_digits_in_float32() -> None:
    Lambda, step = torch.tensor([-1e-3 + 2e-3j]), torch.tensor(1e-4)
    wanted = bilinear_exponent(Lambda.to(torch.complex128), step.double())
    close(bilinear_exponent(Lambda, step).to(torch.complex128), wanted, 1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1e-6, 0.0999, 0.1001, 1.0, 30.0])
@pytest.mark.parametrize("angle", [-1.0, 1j, -0.6 + 0.8j])
def test_expm1_over_z_and_its_gradient(size: float, angle: complex) -> None:
    z = torch.tensor(size * angle, dtype=torch.complex128, requires_grad=True)
    value = expm1_over(z)
    (gradient,) = torch.autograd.grad(value.real, z)
    # int_0^1 e^{tz} dt, and its derivative int_0^1 t e^{tz} dt, whose conjugate PyTorch calls the gradient.
    nodes, weights = gauss(40)
    waves = weights * torch.exp(nodes * z.detach())
    assert abs(complex(value.detach() - waves.sum())) < 1e-13
    assert abs(complex(gradient.conj() - (nodes * waves).sum())) < 1e-13


def test_gradients_of_the_diagonal_rules() -> None:
    _, _, B, _ = dplr("legs", 4, pairs=True)
    Lambda = torch.tensor([0.0, -0.5 + 3j], dtype=torch.complex128)
    step = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    inputs = (Lambda.requires_grad_(), B.requires_grad_(), step)
    assert torch.autograd.gradcheck(zoh_diagonal, inputs)
    assert torch.autograd.gradcheck(bilinear_diagonal, inputs)
    assert torch.autograd.gradcheck(bilinear_exponent, (Lambda, step))
