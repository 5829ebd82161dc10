"""S4's derivation: each step against the one before, in complex128."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import ssmgen
from ssmgen.nn import derivation as s4
from ssmgen.nn import dplr, hippo, truncated, untruncated
from ssmgen.nn.discretise import bilinear, bilinear_diagonal
from ssmgen.nn.dplr import bilinear_dplr, dense, doubled

STEP = torch.tensor(0.02, dtype=torch.float64)


def close(found: Tensor, wanted: Tensor, limit: float = 1e-10) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= limit * float(wanted.abs().max())


class Model(NamedTuple):
    Lambda: Tensor
    P: Tensor
    Q: Tensor
    B: Tensor
    C: Tensor
    A: Tensor
    Abar: Tensor
    Bbar: Tensor


def model(rank: int, N: int = 6, seed: int = 0) -> Model:
    """Stable and random, with Q near P, and no conjugates: nothing of it is real."""
    random = torch.Generator().manual_seed(seed)
    draws = torch.randn(2 * rank + 3, N, dtype=torch.complex128, generator=random)
    Lambda = -0.5 - draws[0].abs() + 10j * draws[0].imag
    P, Q = draws[3 : 3 + rank], draws[3 : 3 + rank] + 0.1 * draws[3 + rank :]
    A = dense(Lambda, P, Q)
    return Model(Lambda, P, Q, draws[1], draws[2], A, *bilinear(A, draws[1], STEP))


@pytest.fixture(params=[1, 2, 3], ids=lambda rank: f"rank{rank}")
def m(request: pytest.FixtureRequest) -> Model:
    return model(request.param)


def signal(length: int, seed: int = 1) -> Tensor:
    return torch.randn(length, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("L", [1, 2, 37, 64])
def test_the_recurrence_is_a_convolution(m: Model, L: int) -> None:
    u = signal(L)
    y = s4.recurrence(m.Abar, m.Bbar, m.C, u)
    K = s4.kernel_by_powers(m.Abar, m.Bbar, m.C, L)
    close(s4.convolve_directly(u, K), y)
    close(s4.convolve_by_fft(u, K), y)


@pytest.mark.parametrize("L", [1, 2, 37, 64])
def test_the_generating_function_holds_the_kernel(m: Model, L: int) -> None:
    K = s4.kernel_by_powers(m.Abar, m.Bbar, m.C, L)
    omega = s4.roots_of_unity(L)
    close(omega**L, torch.ones_like(omega))
    close(s4.kernel_from(s4.generating_function(K, omega)), K)


@pytest.mark.parametrize("L", [1, 2, 37, 64])
def test_truncation_turns_powers_into_a_resolvent(m: Model, L: int) -> None:
    omega = s4.roots_of_unity(L)
    wanted = s4.generating_function(s4.kernel_by_powers(m.Abar, m.Bbar, m.C, L), omega)
    C_tilde = truncated(m.Lambda, m.P, m.Q, m.C, STEP, L)
    close(C_tilde, m.C - torch.linalg.matrix_power(m.Abar, L).mH @ m.C)
    close(s4.truncated_resolvent(m.Abar, m.Bbar, C_tilde, omega), wanted)


@pytest.mark.parametrize("L", [1, 37])
def test_the_bilinear_rule_brings_the_continuous_model_back(m: Model, L: int) -> None:
    omega, C_tilde = s4.roots_of_unity(L), truncated(m.Lambda, m.P, m.Q, m.C, STEP, L)
    wanted = s4.truncated_resolvent(m.Abar, m.Bbar, C_tilde, omega)
    close(s4.continuous_resolvent(m.A, m.B, C_tilde, STEP, omega), wanted)


def test_of_a_diagonal_model_the_resolvent_is_a_cauchy_product(m: Model) -> None:
    omega = s4.roots_of_unity(37)
    wanted = s4.continuous_resolvent(torch.diag(m.Lambda), m.B, m.C, STEP, omega)
    close(s4.diagonal_form(m.Lambda, m.B, m.C, STEP, omega), wanted)


def test_a_low_rank_correction_is_four_cauchy_products(m: Model) -> None:
    omega = s4.roots_of_unity(37)
    wanted = s4.continuous_resolvent(m.A, m.B, m.C, STEP, omega)
    close(s4.dplr_form(m.Lambda, m.P, m.Q, m.B, m.C, STEP, omega), wanted)


@pytest.mark.parametrize("L", [1, 2, 37, 64])
def test_the_finite_form_holds_at_the_node_of_nyquist_too(m: Model, L: int) -> None:
    phi, omega = s4.half_angles(L), s4.roots_of_unity(L)
    C_tilde = truncated(m.Lambda, m.P, m.Q, m.C, STEP, L)
    found = s4.dplr_form_finite(m.Lambda, m.P, m.Q, m.B, C_tilde, STEP, phi)
    close(found, s4.truncated_resolvent(m.Abar, m.Bbar, C_tilde, omega))
    others = torch.arange(L) * 2 != L
    close(found[others], s4.dplr_form(m.Lambda, m.P, m.Q, m.B, C_tilde, STEP, omega[others]))
    close(s4.kernel_from(found), s4.kernel_by_powers(m.Abar, m.Bbar, m.C, L))


@pytest.mark.parametrize("measure", ["legs", "legt", "fourier"])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("L", [1, 63, 64])
def test_the_op_computes_the_kernel_of_hippo(measure: str, pairs: bool, L: int) -> None:
    A, B = hippo(measure, 8)
    A = A - 0.1 * torch.eye(8, dtype=A.dtype)  # the pole 0 of "fourier" would lie on the node z = 0
    C = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = s4.kernel_by_powers(*bilinear(A, B, STEP), C, L)
    Lambda, P, b, V = dplr(measure, 8, pairs=pairs)
    Lambda = Lambda - 0.1
    c = V.mH @ C.to(V)
    C_tilde = truncated(Lambda, P, P, c, STEP, L, pairs=pairs)
    found = ssmgen.dplr_kernel(
        Lambda[None], P[None], P[None], b[None], C_tilde[None], STEP[None], L, pairs=pairs, target="reference"
    )
    close(found[0], wanted)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 70), st.booleans(), st.integers(0, 2**31))
def test_truncation_has_an_inverse_and_a_double(rank: int, L: int, pairs: bool, seed: int) -> None:
    x = model(rank, N=4, seed=seed)
    arguments = (x.Lambda, x.P, x.Q)
    channels = torch.stack([x.C, 2j * x.B])
    once = truncated(*arguments, channels, STEP, L, pairs=pairs)
    close(untruncated(*arguments, once, STEP, L, pairs=pairs), channels, 1e-8)
    twice = truncated(*arguments, channels, STEP, 2 * L, pairs=pairs)
    close(doubled(*arguments, once, STEP, L, pairs=pairs), twice)


def test_matrices_of_many_models_at_once() -> None:
    models = [model(2, seed=seed) for seed in range(3)]
    Lambda, P, Q, B, C = (torch.stack(x) for x in list(zip(*models, strict=True))[:5])
    step = torch.tensor([0.01, 0.02, 0.3], dtype=torch.float64)
    Abar = bilinear_dplr(Lambda, P, Q, step)
    close(Abar, bilinear(dense(Lambda, P, Q), B, step)[0])
    found = truncated(Lambda, P, Q, torch.stack([C, B]), step, 9)
    for channel, x in enumerate((C, B)):
        for row in range(3):
            alone = truncated(Lambda[row], P[row], Q[row], x[row], step[row], 9)
            close(found[channel, row], alone)


def test_rank_one_needs_no_axis_of_its_own() -> None:
    x = model(1)
    close(truncated(x.Lambda, x.P[0], x.Q[0], x.C, STEP, 5), truncated(x.Lambda, x.P, x.Q, x.C, STEP, 5))


def test_pairs_stand_for_both() -> None:
    x = model(2)
    whole = [torch.cat([y, y.conj()], dim=-1) for y in (x.Lambda, x.P, x.Q)]
    close(bilinear_dplr(x.Lambda, x.P, x.Q, STEP, pairs=True), bilinear(dense(*whole), whole[0], STEP)[0])


def test_without_rank_the_matrix_is_diagonal() -> None:
    x = model(1)
    Abar = bilinear_dplr(x.Lambda, 0 * x.P, x.Q, STEP)
    close(Abar, torch.diag(bilinear_diagonal(x.Lambda, x.B, STEP)[0]))
