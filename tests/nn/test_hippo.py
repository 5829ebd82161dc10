"""HiPPO's matrices, their diagonal plus low rank form, and the past that a state holds."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssmgen.errors import InvalidInputError, UnknownNameError
from ssmgen.nn import basis, dplr, hippo, reconstruct, remember
from ssmgen.nn.hippo import MEASURES, low_rank
from tests.nn.quadrature import gauss

SIZES = [(m, N) for m in MEASURES for N in (1, 2, 3, 16, 64, 65, 128) if m != "fourier" or N % 2 == 0]


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def signal(length: int, waves: int, seed: int = 0) -> Tensor:
    """Band-limited: as many sines and cosines over its length, of random weights."""
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(waves, 2, dtype=torch.float64, generator=random) / waves**0.5
    angle = 2 * torch.pi * torch.arange(1, waves + 1)[:, None] * middles(length)
    return (weights[:, :1] * angle.cos() + weights[:, 1:] * angle.sin()).sum(0)


def middles(length: int) -> Tensor:
    """The middle of each step, as a part of the whole length."""
    return (torch.arange(length, dtype=torch.float64) + 0.5) / length


@pytest.mark.parametrize("measure", MEASURES)
def test_the_ode_follows_the_coefficients_of_a_known_signal(measure: str) -> None:
    # States are integrals against the basis, and their derivatives are differences of such: the definition alone. The
    # inputs lie in the span of the basis, so that what the ODE takes for the lost end of a window is the truth.
    N = 6
    A, B = hippo(measure, N)
    nodes, weights = gauss(200)
    age = -torch.log(nodes) if measure == "legs" else nodes  # d(e^-age) is the weight of legs
    functions = basis(measure, N, age) * weights[:, None]
    for n in range(N):

        def past(shift: float, n: int = n) -> Tensor:
            """The coefficients a time `shift` on, of an input that is basis function n of the age."""
            return (smooth(measure, N, age - shift)[:, n, None] * functions).sum(0)

        derivative = (past(1e-4) - past(-1e-4)) / 2e-4
        state, now = past(0.0), smooth(measure, N, torch.zeros(1, dtype=torch.float64))[0, n]
        assert relative(A @ state + B * now, derivative) < 1e-5 or float(derivative.abs().max()) < 1e-9
        assert relative(state, torch.eye(N, dtype=torch.float64)[n]) < 1e-12 or (measure, n) == ("fourier", 1)


def smooth(measure: str, N: int, age: Tensor) -> Tensor:
    """The basis as polynomials or waves, which go on where ages end."""
    if measure == "fourier":
        return basis(measure, N, age % 1)
    x = 2 * torch.exp(-age) - 1 if measure == "legs" else 1 - 2 * age
    values = [torch.ones_like(x), x]
    for n in range(1, N - 1):
        values.append(((2 * n + 1) * x * values[n] - n * values[n - 1]) / (n + 1))
    return torch.stack([math.sqrt(2 * n + 1) * values[n] for n in range(N)], dim=-1)


@pytest.mark.parametrize(("measure", "N"), SIZES)
def test_the_dplr_form_is_the_same_system(measure: str, N: int) -> None:
    A, B = hippo(measure, N)
    Lambda, P, b, V = dplr(measure, N)
    assert relative(V @ (torch.diag(Lambda) - P.mT @ P.conj()) @ V.mH, A.to(V)) < 1e-10
    assert relative(V @ b, B.to(V)) < 1e-10
    assert relative(V.mH @ V, torch.eye(N).to(V)) < 1e-10
    assert P.shape == (2 if measure == "legt" else 1, N)
    assert set(Lambda.real.tolist()) == {-0.5 if measure == "legs" else 0.0}


@pytest.mark.parametrize(("measure", "N"), SIZES)
def test_low_rank_leaves_a_normal_matrix(measure: str, N: int) -> None:
    A, _ = hippo(measure, N)
    P = low_rank(measure, N)
    normal = A + P.mT @ P
    twice_real = torch.eye(N, dtype=A.dtype) * (-1.0 if measure == "legs" else 0.0)
    assert float((normal + normal.mT - twice_real).abs().max()) <= 1e-15 * float(A.abs().max())
    assert float((normal @ normal.mT - normal.mT @ normal).abs().max()) < 1e-12 * float(A.abs().max()) ** 2


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("N", [2, 16, 64])
def test_pairs_hold_the_whole_system(measure: str, N: int) -> None:
    A, B = hippo(measure, N)
    Lambda, P, b, V = dplr(measure, N, pairs=True)
    assert Lambda.shape == b.shape == (N // 2,)
    assert P.shape[1:] == (N // 2,)
    assert V.shape == (N, N // 2)
    assert bool((Lambda.imag >= 0).all())
    assert bool((Lambda.imag.diff() > 0).all())
    assert relative(2 * (V @ b).real, B) < 1e-10
    x = torch.randn(N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pair = V.mH @ x.to(V)
    rank = 2 * (P.conj() @ pair).real
    assert relative(2 * (V @ (Lambda * pair - rank.to(P) @ P)).real, A @ x) < 1e-10


@pytest.mark.parametrize("measure", MEASURES)
def test_the_other_half_are_exact_conjugates(measure: str) -> None:
    Lambda, P, b, V = dplr(measure, 8)
    for x in (Lambda, P, b, V):
        assert torch.equal(x[..., :4].conj(), x[..., 4:])


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_an_odd_number_of_states_has_a_real_pole_last(measure: str) -> None:
    assert dplr(measure, 9).Lambda[-1].imag == 0
    with pytest.raises(InvalidInputError, match="real pole"):
        dplr(measure, 9, pairs=True)


@settings(max_examples=20)
@given(st.sampled_from(MEASURES), st.integers(1, 24), st.integers(0, 2**31))
def test_every_system_is_stable(measure: str, half: int, seed: int) -> None:
    # Along every direction x the energy x* x does not grow, which the normal part plus -P P* makes evident.
    A, _ = hippo(measure, 2 * half)
    x = torch.randn(2 * half, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert float(x @ A @ x) <= 1e-12 * float(x @ x) * float(A.abs().max())


@pytest.mark.parametrize("measure", MEASURES)
def test_the_basis_is_orthonormal(measure: str) -> None:
    nodes, weights = gauss(200)
    values = basis(measure, 16, -torch.log(nodes) if measure == "legs" else nodes)
    gram = (values * weights[:, None]).mT @ values
    wanted = torch.eye(16, dtype=torch.float64)
    if measure == "fourier":
        wanted[1, 1] = 0.0
    assert relative(gram, wanted) < 1e-12


@pytest.mark.parametrize(("N", "limit"), [(32, 1e-3), (64, 2e-4)])
def test_legs_remembers_all_of_the_past(N: int, limit: float) -> None:
    u = signal(1000, 8)
    state = remember("legs", u, N)[-1]
    found = reconstruct("legs", state, -torch.log(middles(1000)))
    assert float(torch.linalg.vector_norm(found - u) / torch.linalg.vector_norm(u)) < limit


@pytest.mark.parametrize(("measure", "limit"), [("legt", 1e-3), ("fourier", 0.1)])
def test_a_window_slides(measure: str, limit: float) -> None:
    u = signal(1000, 8)
    for end in (600, 1000):
        state = remember(measure, u, 64, window=0.25)[end - 1]
        age = (end - 250 < torch.arange(1000)) & (torch.arange(1000) < end)
        found = reconstruct(measure, state, ((end / 1000 - middles(1000)) / 0.25)[age])
        assert float(torch.linalg.vector_norm(found - u[age]) / torch.linalg.vector_norm(u[age])) < limit


def test_a_constant_is_remembered_by_one_state() -> None:
    states = remember("legs", torch.full((2, 5), 3.0), 4)
    assert relative(states, torch.tensor([3.0, 0, 0, 0], dtype=torch.float64).expand(2, 5, 4)) < 1e-12


def test_what_cannot_be_made_says_why() -> None:
    with pytest.raises(UnknownNameError, match="legs"):
        hippo("leg", 4)
    for N in (0, 2.5, 4.0, True):
        with pytest.raises(InvalidInputError, match="N must be an integer of at least 1"):
            hippo("legs", N)
    with pytest.raises(InvalidInputError, match="even"):
        dplr("fourier", 5)
    with pytest.raises(InvalidInputError, match=r"in \[0, 1\]"):
        basis("legt", 4, torch.tensor([0.5, 1.5]))
    with pytest.raises(InvalidInputError, match="at least 0"):
        reconstruct("legs", torch.zeros(4), torch.tensor([-1.0]))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("wrong", [-1.0, -1e-12, float("nan"), float("-inf")])
def test_an_age_that_is_none_is_named_in_one_line(measure: str, wrong: float) -> None:
    with pytest.raises(InvalidInputError) as caught:
        basis(measure, 4, torch.tensor([0.5, wrong, 0.25], dtype=torch.float64))
    message = str(caught.value)
    assert message.endswith(f"but one is {wrong}.")
    assert "\n" not in message


@pytest.mark.parametrize("measure", MEASURES)
def test_what_has_no_past_is_refused(measure: str) -> None:
    for u in (torch.zeros(3, 0), torch.tensor(1.0)):
        with pytest.raises(InvalidInputError, match="L of at least 1"):
            remember(measure, u, 4)
    for window in (0, -0.5, float("nan"), float("inf"), "1"):
        with pytest.raises(InvalidInputError, match="window must be"):
            remember(measure, torch.zeros(5), 4, window=window)
    for x in (torch.zeros(4, dtype=torch.complex64), [0.0] * 4):
        with pytest.raises(InvalidInputError, match=r"u (is|must be)"):
            remember(measure, x, 4)
        with pytest.raises(InvalidInputError, match=r"state (is|must be)"):
            reconstruct(measure, x, torch.tensor([0.5]))
        with pytest.raises(InvalidInputError, match=r"age (is|must be)"):
            basis(measure, 4, x)
