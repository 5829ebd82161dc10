"""Random operands of S4's ops: its initialisations, and harsher ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssmgen.kernels.draws import Draws, complex_numbers, normal, uniform
from ssmgen.kernels.interfaces_s4 import node_count
from ssmgen.problem import Problem

__all__ = ["DRAWS"]


def _steps(g: torch.Generator, *shape: int) -> Tensor:
    """Log-uniform step sizes, as S4 draws them."""
    return torch.exp(uniform(g, math.log(1e-3), math.log(1e-1), *shape))


def _lin(g: torch.Generator, slowest: float, *shape: int) -> Tensor:
    """S4D-Lin's eigenvalues: real parts near -1/2, imaginary parts pi n."""
    real = -uniform(g, slowest, 0.6, *shape)
    return torch.complex(real, math.pi * torch.arange(shape[-1], dtype=torch.float64).expand(shape))


def _draw_cauchy_mult(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    rows, poles, nodes = problem["rows"], problem["poles"], problem["nodes"]

    def frequencies() -> Tensor:
        phase = math.pi * torch.arange(nodes, dtype=torch.float64) / (2 * max(nodes, 2))
        y = 2.0 / _steps(g, rows, 1) * torch.tan(phase)
        return y if problem.option("imaginary") else torch.complex(torch.zeros_like(y), y)

    return {
        "v": lambda: complex_numbers(g, rows, poles),
        "z": frequencies,
        "w": lambda: _lin(g, 1e-2 if harsh else 0.4, rows, poles),
        "dout": lambda: complex_numbers(g, rows, nodes),
    }


def _exponents(problem: Problem, g: torch.Generator, harsh: bool) -> Tensor:
    """S4D-Lin's eigenvalues times steps; harsh are phases of several turns, and decays from none to all at once."""
    shape = (problem["rows"], problem["poles"])
    if not harsh:
        return _steps(g, shape[0], 1) * _lin(g, 0.4, *shape)
    decay = torch.exp(uniform(g, math.log(1e-6), math.log(30.0), *shape))
    return torch.complex(-decay, uniform(g, -20.0, 20.0, *shape))


def _draw_log_vandermonde(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    rows, poles, seqlen = problem["rows"], problem["poles"], problem["seqlen"]
    return {
        "v": lambda: complex_numbers(g, rows, poles),
        "x": lambda: _exponents(problem, g, harsh),
        "dout": lambda: normal(g, rows, seqlen),
    }


def _draw_log_vandermonde_transpose(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    rows, poles, seqlen = problem["rows"], problem["poles"], problem["seqlen"]
    return {
        "u": lambda: normal(g, rows, seqlen),
        "v": lambda: complex_numbers(g, rows, poles),
        "x": lambda: _exponents(problem, g, harsh),
        "dout": lambda: complex_numbers(g, rows, poles),
    }


def _draw_dplr_kernel(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    channels, dim, rank, poles, _ = (size for _, size in problem.dims)
    steps = (lambda: torch.exp(uniform(g, math.log(1e-4), 0.0, dim))) if harsh else (lambda: _steps(g, dim))
    P = complex_numbers(g, dim, rank, poles, scale=0.5)
    return {
        "Lambda": lambda: _lin(g, 0.01 if harsh else 0.4, dim, poles),
        "P": lambda: P,
        # Near P, as in HiPPO: then 1 + R_QP has no zeros.
        "Q": lambda: P + complex_numbers(g, dim, rank, poles, scale=0.05),
        "B": lambda: complex_numbers(g, dim, poles),
        "C": lambda: complex_numbers(g, channels, dim, poles),
        "step": steps,
        "dout": lambda: complex_numbers(g, channels, dim, node_count(problem)),
    }


DRAWS: dict[str, Callable[[Problem, torch.Generator, bool], Draws]] = {
    "cauchy_mult": _draw_cauchy_mult,
    "log_vandermonde": _draw_log_vandermonde,
    "log_vandermonde_transpose": _draw_log_vandermonde_transpose,
    "dplr_kernel": _draw_dplr_kernel,
}
