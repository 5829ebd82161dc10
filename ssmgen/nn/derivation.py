"""S4's derivation (arXiv 2111.00396, in the steps of The Annotated S4), each step a function to hold against the last.

One model with one input and one output: A (N, N), B and C (N,), complex, and step, a number as a tensor (). The
kernel is K_l = C* Abar^l Bbar: C, and later Q, are conjugated inside.

1. `recurrence`: what the model says.
2. `kernel_by_powers`, with `convolve_directly` or `convolve_by_fft`: unrolled, it is a convolution.
3. `generating_function`: the kernel's discrete Fourier transform; `kernel_from` takes it back.
4. `truncated_resolvent`: no powers but in C~ (`ssmgen.nn.truncated`), one resolvent for each node.
5. `continuous_resolvent`: in terms of A itself, by the bilinear rule.
6. `diagonal_form`: for A = diag(Lambda) the resolvent is a Cauchy product.
7. `dplr_form`: for A = diag(Lambda) - P Q* it is four, by Woodbury's identity.
8. `dplr_form_finite`: the same where z is infinite; what `ssmgen.dplr_kernel` computes.

Steps 5 to 7 divide by 1 + omega, which is 0 at the node k = L / 2 of an even length: they hold at the others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssmgen.reference import cauchy_mult

__all__ = [
    "continuous_resolvent",
    "convolve_by_fft",
    "convolve_directly",
    "diagonal_form",
    "dplr_form",
    "dplr_form_finite",
    "generating_function",
    "half_angles",
    "kernel_by_powers",
    "kernel_from",
    "recurrence",
    "roots_of_unity",
    "truncated_resolvent",
]


def recurrence(Abar: Tensor, Bbar: Tensor, C: Tensor, u: Tensor) -> Tensor:
    """x_k = Abar x_{k-1} + Bbar u_k, y_k = C* x_k, from a state of zeros.

    Args:
        Abar: (N, N).
        Bbar, C: (N,).
        u: (L,).

    Returns:
        y (L,).
    """
    x = torch.zeros_like(Bbar)
    y = []
    for u_k in u.unbind():
        x = Abar @ x + Bbar * u_k
        y.append(C.conj() @ x)
    return torch.stack(y)


def kernel_by_powers(Abar: Tensor, Bbar: Tensor, C: Tensor, L: int) -> Tensor:
    """K_l = C* Abar^l Bbar, (L,): y_k = sum_l K_l u_{k-l} is the recurrence unrolled."""
    power, K = Bbar, []
    for _ in range(L):
        K.append(C.conj() @ power)
        power = Abar @ power
    return torch.stack(K)


def convolve_directly(u: Tensor, K: Tensor) -> Tensor:
    """y_k = sum_{l <= k} K_l u_{k-l}, (L,), in L^2 products."""
    return torch.stack([(K[: k + 1].flip(0) * u[: k + 1]).sum() for k in range(u.shape[0])])


def convolve_by_fft(u: Tensor, K: Tensor) -> Tensor:
    """The same in L log L: zeros after both keep the end from wrapping round to the start."""
    n = 2 * u.shape[0]
    y: Tensor = torch.fft.ifft(torch.fft.fft(u, n) * torch.fft.fft(K, n))
    return y[: u.shape[0]]


def half_angles(L: int) -> Tensor:
    """phi_k = pi k / L, k = 0 ... L - 1, (L,), float64; the nodes are omega_k = exp(-2 i phi_k)."""
    return torch.pi * torch.arange(L, dtype=torch.float64) / L


def roots_of_unity(L: int) -> Tensor:
    """omega_k = exp(-2 pi i k / L), (L,), complex128: from exact angles, since powers of omega_1 add their errors."""
    return torch.exp(-2j * half_angles(L))


def generating_function(K: Tensor, omega: Tensor) -> Tensor:
    """K^(omega) = sum_l K_l omega^l, at nodes (M,)."""
    powers = omega[:, None] ** torch.arange(K.shape[0])
    return powers @ K.to(powers)


def kernel_from(values: Tensor) -> Tensor:
    """K (L,) from the generating function at the L roots of unity: an inverse FFT."""
    K: Tensor = torch.fft.ifft(values)
    return K


def truncated_resolvent(Abar: Tensor, Bbar: Tensor, C_tilde: Tensor, omega: Tensor) -> Tensor:
    """C~* (1 - Abar omega)^-1 Bbar at nodes (M,) with omega^L = 1, for C~ = (1 - Abar^L)* C.

    sum_{l < L} (Abar omega)^l = (1 - Abar^L omega^L) (1 - Abar omega)^-1, a geometric series.
    """
    one = torch.eye(Abar.shape[0], dtype=Abar.dtype)
    states: Tensor = torch.linalg.solve(one - omega[:, None, None] * Abar, Bbar)
    return states @ C_tilde.conj()


def continuous_resolvent(A: Tensor, B: Tensor, C_tilde: Tensor, step: Tensor, omega: Tensor) -> Tensor:
    """2 / (1 + omega) C~* (z - A)^-1 B with z = (2 / step) (1 - omega) / (1 + omega), at nodes (M,).

    Put the bilinear Abar and Bbar into `truncated_resolvent` and multiply both by 1 - step/2 A.
    """
    z, scale = _bilinear_nodes(step, omega)
    one = torch.eye(A.shape[0], dtype=A.dtype)
    states: Tensor = torch.linalg.solve(z[:, None, None] * one - A, B)
    return scale * (states @ C_tilde.conj())


def diagonal_form(Lambda: Tensor, B: Tensor, C_tilde: Tensor, step: Tensor, omega: Tensor) -> Tensor:
    """For A = diag(Lambda): 2 / (1 + omega) sum_n conj(C~_n) B_n / (z - Lambda_n), a Cauchy product."""
    z, scale = _bilinear_nodes(step, omega)
    return scale * _cauchy(C_tilde, B, z, Lambda)


def dplr_form(
    Lambda: Tensor, P: Tensor, Q: Tensor, B: Tensor, C_tilde: Tensor, step: Tensor, omega: Tensor
) -> Tensor:
    """For A = diag(Lambda) - P Q*: 2 / (1 + omega) [k_CB - k_CP (1 + k_QP)^-1 k_QB].

    Each k_XY(z) = sum_n conj(X_n) Y_n / (z - Lambda_n) is a Cauchy product.

    Args:
        Lambda, B, C_tilde: (N,).
        P, Q: (rank, N).
        step: ().
        omega: (M,), other than -1.
    """
    z, scale = _bilinear_nodes(step, omega)
    return scale * _woodbury(P, Q, B, C_tilde, lambda X, Y: _cauchy(X, Y, z, Lambda))


def dplr_form_finite(
    Lambda: Tensor, P: Tensor, Q: Tensor, B: Tensor, C_tilde: Tensor, step: Tensor, phi: Tensor
) -> Tensor:
    """`dplr_form` at omega = exp(-2 i phi), multiplied out by cos(phi): nothing is infinite at phi = pi / 2.

    There z = (2 i / step) tan(phi) and 2 / (1 + omega) = e^{i phi} / cos(phi), so each k_XY is cos(phi) R_XY with
    R_XY = sum_n conj(X_n) Y_n / (2 i sin(phi) / step - Lambda_n cos(phi)), and K^ is
    e^{i phi} [R_CB - cos(phi) R_CP (1 + cos(phi) R_QP)^-1 R_QB].
    """
    cos, s = torch.cos(phi), 2j * torch.sin(phi) / step

    def product(X: Tensor, Y: Tensor) -> Tensor:
        R: Tensor = (X.conj() * Y / (s[:, None] - Lambda * cos[:, None])).sum(-1)
        return R

    return torch.exp(1j * phi) * _woodbury(P, Q, B, C_tilde, product, cos)


def _bilinear_nodes(step: Tensor, omega: Tensor) -> tuple[Tensor, Tensor]:
    return 2 / step * (1 - omega) / (1 + omega), 2 / (1 + omega)


def _cauchy(X: Tensor, Y: Tensor, z: Tensor, Lambda: Tensor) -> Tensor:
    return cauchy_mult(X.conj() * Y, z, Lambda, symmetric=False, dtype=torch.complex128)


def _woodbury(
    P: Tensor,
    Q: Tensor,
    B: Tensor,
    C_tilde: Tensor,
    product: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor | float = 1.0,
) -> Tensor:
    """k_CB - w k_CP (1 + w k_QP)^-1 k_QB of products (M,), with a weight w at each node."""
    k_CP = torch.stack([product(C_tilde, P_r) for P_r in P], dim=-1)
    k_QB = torch.stack([product(Q_r, B) for Q_r in Q], dim=-1)
    k_QP = torch.stack([torch.stack([product(Q_r, P_s) for P_s in P], dim=-1) for Q_r in Q], dim=-2)
    w = torch.as_tensor(weight)[..., None]
    inner = torch.eye(P.shape[0], dtype=P.dtype) + w[..., None] * k_QP
    solved: Tensor = torch.linalg.solve(inner, k_QB[..., None])[..., 0]
    return product(C_tilde, B) - (w * k_CP * solved).sum(-1)
