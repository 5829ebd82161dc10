"""From the state of a HiPPO system back to the past of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen.errors import InvalidInputError
from ssmgen.nn.checks import require_real_input, require_window
from ssmgen.nn.hippo import hippo

__all__ = ["basis", "reconstruct", "remember"]


def basis(measure: str, N: int, age: Tensor) -> Tensor:
    """The orthonormal functions whose coefficients the states of `hippo(measure, N)` are.

    State n is x_n(t) = int u(t - age) basis_n(age) weight(age) d age, with weight e^-age (legs) or 1 on [0, 1].

    Args:
        measure: "legs", "legt" or "fourier".
        N: The number of states.
        age: (...), how far back, in units of the ODE's time: >= 0 for legs, in [0, 1] for the others. Under the ODE
            x' = (A x + B u) / t the age of the time s is log(t / s).

    Returns:
        (..., N), float64.

    Raises:
        InvalidInputError: An age lies outside or is NaN, ages are not real, or N does not suit the measure.
        UnknownNameError: There is no such measure.
    """
    hippo(measure, N)  # for its checks
    require_real_input("age", age)
    age = age.double()
    inside = (age >= 0) if measure == "legs" else (age >= 0) & (age <= 1)
    if not bool(inside.all()):  # as of NaN
        limits = "at least 0" if measure == "legs" else "in [0, 1]"
        raise InvalidInputError(
            f"ages must be {limits} for {measure!r}, but one is {float(age[~inside][0])}."
        )
    if measure == "fourier":
        angle = 2 * torch.pi * age[..., None] * torch.arange(N // 2, dtype=torch.float64)
        waves = 2**0.5 * torch.stack([angle.cos(), angle.sin()], dim=-1)
        waves[..., 0, 0] = 1.0
        return waves.flatten(-2)
    x = 2 * torch.exp(-age) - 1 if measure == "legs" else 1 - 2 * age
    return _legendre(N, x) * torch.sqrt(2 * torch.arange(N, dtype=torch.float64) + 1)


def reconstruct(measure: str, state: Tensor, age: Tensor) -> Tensor:
    """The input that a state remembers, `u(t - age) = sum_n x_n(t) basis_n(age)`.

    Args:
        measure: "legs", "legt" or "fourier".
        state: (..., N), real, in the basis of `hippo`.
        age: (T,); see `basis`.

    Returns:
        (..., T), float64.

    Raises:
        InvalidInputError: As for `basis`, or the state is not real.
        UnknownNameError: As for `basis`.
    """
    require_real_input("state", state)
    return state.double() @ basis(measure, state.shape[-1], age).mT


def remember(measure: str, u: Tensor, N: int, window: float = 1.0) -> Tensor:
    """The states of a HiPPO system that reads a signal, exact for a signal that is constant over each of its steps.

    Args:
        measure: "legs" for x' = (A x + B u) / t, which remembers all of [0, t]; "legt" or "fourier" for a window.
        u: (..., L), real.
        N: The number of states.
        window: The length of the window as a part of the signal's; of no meaning for "legs".

    Returns:
        (..., L, N), float64, the state after each step. Ages of the last are log(1 / s), for "legs", and (1 - s) /
        window, for the others, at the time s as a part of the signal's length.

    Raises:
        InvalidInputError: As for `hippo`; or u is not real, or has no steps, or the window is not finite and positive.
        UnknownNameError: As for `hippo`.
    """
    A, B = hippo(measure, N)
    require_real_input("u", u)
    if u.ndim == 0 or u.shape[-1] == 0:
        raise InvalidInputError(f"u is {tuple(u.shape)}, but must be (..., L) with L of at least 1.")
    require_window(window)
    u = u.double()
    length = u.shape[-1]
    # exp of [[A, B], [0, 0]] dt holds Abar and Bbar.
    system = torch.zeros(N + 1, N + 1, dtype=torch.float64)
    system[:N, :N], system[:N, N] = A, B
    if measure == "legs":
        # In the time log t the ODE is x' = A x + B u. From t = 0 on, a constant is what u was for ever.
        k = torch.arange(1, length, dtype=torch.float64)
        first = torch.zeros(N + 1, N + 1, dtype=torch.float64)
        first[0, N] = 1.0
        flows = torch.cat(
            [first[None], *(torch.linalg.matrix_exp(system * dt)[None] for dt in torch.log1p(1 / k))]
        )
    else:
        flows = torch.linalg.matrix_exp(system / (window * length)).expand(length, -1, -1)
    x = u.new_zeros(*u.shape[:-1], N)
    states = []
    for flow, u_k in zip(flows, u.unbind(-1), strict=True):
        x = x @ flow[:N, :N].mT + u_k[..., None] * flow[:N, N]
        states.append(x)
    return torch.stack(states, dim=-2)


def _legendre(N: int, x: Tensor) -> Tensor:
    """P_0 ... P_{N-1} at x, (..., N), by the three-term recurrence, which is stable on [-1, 1]."""
    values = [torch.ones_like(x), x]
    for n in range(1, N - 1):
        values.append(((2 * n + 1) * x * values[n] - n * values[n - 1]) / (n + 1))
    return torch.stack(values[:N], dim=-1)
