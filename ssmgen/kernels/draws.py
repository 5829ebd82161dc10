"""Random operands of the scans and of the step, ordinary and harsh ones; and what all draws are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ssmgen.dtypes import dtype
from ssmgen.kernels.interfaces import sequence_batches
from ssmgen.problem import Problem

__all__ = ["DRAWS", "Draws", "complex_numbers", "normal", "uniform"]


Draws = dict[str, Callable[[], Tensor]]


def normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers in float64."""
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def complex_numbers(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    """Complex numbers whose parts are normal."""
    return torch.complex(normal(generator, *shape, scale=scale), normal(generator, *shape, scale=scale))


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Numbers between low and high."""
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def _steps(problem: Problem, g: torch.Generator, harsh: bool, *shape: int) -> Tensor:
    """Log-uniform step sizes; with softplus undone, so that those that reach the recurrence are the ones drawn."""
    low, high = (1e-6, 3.0) if harsh else (1e-3, 1e-1)
    drawn = torch.exp(uniform(g, math.log(low), math.log(high), *shape))
    return torch.log(torch.expm1(drawn)) if problem.option("softplus") else drawn


def _draw_selective_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, dim, seqlen = problem["batch"], problem["dim"], problem["seqlen"]
    states = problem["d_state"]
    outer = sequence_batches(problem)
    sequence = (outer, dim, seqlen)
    rows = (outer, problem["groups"], seqlen, states)
    number = complex_numbers if problem.option("complex") else normal
    decay = torch.arange(1, states + 1, dtype=torch.float64).expand(dim, states)  # Mamba's initialisation
    # Only forward sums steps over chunks; steps this large would drown the gradients of the other channels.
    turns = harsh and bool(problem.option("complex")) and problem.direction == "forward"
    # Of states that turn, long memories are left to channels whose steps are rounded less.
    slowest = 1.0 if turns else 1e-2

    def rates() -> Tensor:
        real = -uniform(g, slowest, 40.0, dim, states) if harsh else -decay
        if not problem.option("complex"):
            return real
        imaginary = normal(g, dim, states, scale=30.0) if harsh else math.pi * (decay - 1)  # S4D-Lin's
        return torch.complex(real, imaginary)

    draws: Draws = {
        "u": lambda: normal(g, *sequence),
        "delta": lambda: _steps(problem, g, harsh, *sequence),
        "A": rates,
        "B": lambda: number(g, *(rows if problem.option("B") == "variable" else (dim, states))),
        "C": lambda: number(g, *(rows if problem.option("C") == "variable" else (dim, states))),
        "D": lambda: normal(g, dim),
        "z": lambda: normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "delta_bias": lambda: uniform(g, 0.0, 0.1, dim),
        "initial_state": lambda: number(g, batch, dim, states),
        "cu_seqlens": lambda: _bounds(g, batch, seqlen),
        "dout": lambda: normal(g, *sequence),
        "dlast_state": lambda: number(g, batch, dim, states),
    }
    return _with_turning_channels(draws, g) if turns else draws


def _with_turning_channels(draws: Draws, g: torch.Generator) -> Draws:
    """Every other channel turns fast and decays slowly, to show what its phase loses from chunk to chunk.

    Honest fp32 rounds a small step in softplus, or beside its bias, by enough to turn such states by more than the
    tolerance: hence steps beyond 20, where softplus is the identity. A turns them by less than one radian each, and
    they forget within some hundred steps, so that the rounding of each step does not add up to it either. Their u is
    small for the other channels to count.
    """
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "u": lambda u: 2e-3 * u,
        "delta": lambda delta: uniform(g, 20.0, 40.0, *delta.shape),
        "A": lambda A: torch.complex(-uniform(g, 1.5e-4, 3e-4, *A.shape), uniform(g, 1e-2, 2e-2, *A.shape)),
    }

    def changed(name: str) -> Tensor:
        values = draws[name]()
        channels = values[..., ::2, :]
        channels.copy_(changes[name](channels))
        return values

    return {**draws, **{name: partial(changed, name) for name in changes}}


def _draw_selective_state_update(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, tokens, heads, dim, d_state, groups, slots = (size for _, size in problem.dims)
    sequence, rows = (batch, tokens, heads, dim), (batch, tokens, groups, d_state)
    tied = bool(problem.option("tied"))

    def rates() -> Tensor:
        if tied:
            return -uniform(g, 1e-2 if harsh else 1.0, 40.0 if harsh else 16.0, heads)  # Mamba-2's
        if harsh:
            return -uniform(g, 1e-2, 40.0, heads, dim, d_state)
        return -torch.arange(1, d_state + 1, dtype=torch.float64).expand(heads, dim, d_state)

    return {
        "state": lambda: normal(g, slots if problem.option("indices") else batch, heads, dim, d_state),
        "x": lambda: normal(g, *sequence),
        "dt": lambda: _steps(problem, g, harsh, *(sequence[:3] if tied else sequence)),
        "A": rates,
        "B": lambda: normal(g, *rows),
        "C": lambda: normal(g, *rows),
        "D": lambda: normal(g, heads, dim),
        "z": lambda: normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "dt_bias": lambda: uniform(g, 0.0, 0.1, heads, *(() if tied else (dim,))),
        "indices": lambda: _slots(g, batch, slots),
    }


def _bounds(g: torch.Generator, batch: int, seqlen: int) -> Tensor:
    """Where packed sequences begin and end; some are empty, most are not."""
    inner = torch.randint(0, seqlen + 1, (batch - 1,), generator=g)
    if batch > 2:
        inner[1] = inner[0]
    return torch.cat([torch.tensor([0]), inner.sort().values, torch.tensor([seqlen])])


def _draw_ssd(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, seqlen, heads, dim, d_state, groups = (size for _, size in problem.dims)
    outer = sequence_batches(problem)
    sequence, rows, state = (
        (outer, seqlen, heads, dim),
        (outer, seqlen, groups, d_state),
        (batch, heads, dim, d_state),
    )
    return {
        "x": lambda: normal(g, *sequence),
        "dt": lambda: _steps(problem, g, harsh, *sequence[:3]),
        "A": lambda: -uniform(g, 1e-2 if harsh else 1.0, 40.0 if harsh else 16.0, heads),  # Mamba-2's
        "B": lambda: normal(g, *rows),
        "C": lambda: normal(g, *rows),
        "D": lambda: normal(g, heads, dim),
        "z": lambda: normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "dt_bias": lambda: uniform(g, 0.0, 0.1, heads),
        "limit": lambda: torch.tensor([3e-3, 8e-2], dtype=torch.float64),
        "initial_state": lambda: normal(g, *state),
        "cu_seqlens": lambda: _bounds(g, batch, seqlen),
        "seq_idx": lambda: (torch.rand(outer, seqlen, generator=g) < 0.05).cumsum(1),
        "dout": lambda: normal(g, *sequence),
        "dlast_state": lambda: normal(g, *state),
    }


def _slots(g: torch.Generator, batch: int, slots: int) -> Tensor:
    """Rows of a cache, none of them twice; every third sequence, and those that no row is left for, are padding."""
    order = torch.randperm(slots, generator=g)[:batch]
    found = torch.full((batch,), -1, dtype=torch.int64)
    found[: order.numel()] = order
    found[1::3] = -1
    return found


def _draw_linear_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    sequence = (problem["batch"], problem["dim"], problem["seqlen"])
    is_complex = dtype(problem.dtype).is_complex
    number = complex_numbers if is_complex else normal

    def decay() -> Tensor:
        size = uniform(g, -1.0 if harsh else 0.5, 1.0, *sequence)
        return torch.polar(size.abs(), uniform(g, -math.pi, math.pi, *sequence)) if is_complex else size

    return {
        "a": decay,
        "b": lambda: number(g, *sequence, scale=100.0 if harsh else 1.0),
        "initial_state": lambda: number(g, *sequence[:2]),
        "dout": lambda: number(g, *sequence),
    }


def _draw_causal_conv1d(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, dim, seqlen, width = (size for _, size in problem.dims)
    sequence, state = (batch, dim, seqlen), (batch, dim, width - 1)
    scale = 30.0 if harsh else 1.0  # where silu saturates

    def numbers() -> Tensor:
        # Runs of a few steps each, some of them padding.
        return (torch.rand(batch, seqlen, generator=g) < 0.2).cumsum(1) % 5 - 1

    return {
        "x": lambda: normal(g, *sequence, scale=scale),
        "weight": lambda: uniform(g, -1.0, 1.0, dim, width) / math.sqrt(width),
        "bias": lambda: normal(g, dim),
        "seq_idx": numbers,
        "initial_state": lambda: normal(g, *state, scale=scale),
        "dout": lambda: normal(g, *sequence),
        "dlast_state": lambda: normal(g, *state),
    }


def _draw_causal_conv1d_update(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, tokens, dim, width, length, slots = (size for _, size in problem.dims)
    scale = 30.0 if harsh else 1.0
    rows = slots if problem.option("indices") else batch
    return {
        "x": lambda: normal(g, batch, dim, tokens, scale=scale),
        "conv_state": lambda: normal(g, rows, dim, length, scale=scale),
        "weight": lambda: uniform(g, -1.0, 1.0, dim, width) / math.sqrt(width),
        "bias": lambda: normal(g, dim),
        "cache_seqlens": lambda: torch.randint(0, 5 * length, (batch,), generator=g),
        "indices": lambda: _slots(g, batch, slots),
    }


DRAWS: dict[str, Callable[[Problem, torch.Generator, bool], Draws]] = {
    "selective_scan": _draw_selective_scan,
    "selective_state_update": _draw_selective_state_update,
    "ssd": _draw_ssd,
    "linear_scan": _draw_linear_scan,
    "causal_conv1d": _draw_causal_conv1d,
    "causal_conv1d_update": _draw_causal_conv1d_update,
}
