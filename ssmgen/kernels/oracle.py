"""Random operands of a problem and the results they must give: what tests and the tuner verify kernels with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels import formulas
from ssmgen.kernels.interfaces import interface, sequence_batches
from ssmgen.problem import Problem
from ssmgen.reference.checkpointed import without_checkpoints

__all__ = ["baseline", "expected", "relative_error", "sample", "tolerance"]


def sample(
    problem: Problem, seed: int, device: torch.device | str = "cpu", *, harsh: bool = False
) -> dict[str, Tensor]:
    """Random inputs by operand name; what backward is given of forward's results is computed from them in float64.

    Args:
        problem: The problem.
        seed: Seed; the same seed gives the same numbers on every device.
        device: Where the tensors go.
        harsh: Draw what strains a kernel (fast decay that underflows, long memory, phases of many turns, large
            magnitudes, poles close to nodes) rather than what a model at its initialisation holds.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = _DRAW[problem.op](problem, generator, harsh)
    operands = [operand for operand in interface(problem.op).operands(problem) if not operand.output]
    tensors: dict[str, Tensor] = {}
    for operand in operands:
        if operand.name in draw:
            tensors[operand.name] = operand.allocate(device).copy_(draw[operand.name]())
    with torch.no_grad():
        for operand in operands:
            if operand.name == "states":
                values = formulas.states_between(
                    problem, tensors, int(problem.option("saved")), torch.float64
                )
                tensors["states"] = operand.allocate(device).copy_(values)
            elif operand.name == "h":
                b = operand.allocate(device).copy_(draw["b"]())
                values = formulas.outputs(problem, {**tensors, "b": b}, _wide(problem))["out"]
                tensors["h"] = operand.allocate(device).copy_(values)
    return {operand.name: tensors[operand.name] for operand in operands}


def expected(problem: Problem, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by operand name, from the reference in float64 or complex128, on the inputs' device."""
    if problem.direction == "backward":
        return formulas.gradients(problem, inputs, _wide(problem))
    with torch.no_grad():
        found = formulas.outputs(problem, inputs, _wide(problem))
        if problem.has("saved"):
            interval = int(problem.option("saved"))
            found["states"] = formulas.states_between(problem, inputs, interval, torch.float64)
    return found


def baseline(problem: Problem, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by operand name, from the reference in the accumulation dtype: what speed-ups are measured against.

    Of backward problems both directions: autograd through the loop has no backward without its forward.
    """
    kind = dtype(accumulate(problem.dtype)).torch
    if problem.direction == "backward":
        with without_checkpoints():
            return formulas.gradients(problem, inputs, kind)
    with torch.no_grad():
        return formulas.outputs(problem, inputs, kind)


def _wide(problem: Problem) -> torch.dtype:
    return torch.complex128 if dtype(problem.dtype).is_complex else torch.float64


def relative_error(result: Tensor, wanted: Tensor) -> float:
    """Frobenius norm of the difference over that of what is wanted; infinite where the result is not finite.

    Where NaN is wanted (slots that no sequence uses) the result is free.
    """
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    result, wanted = result.to(wide), wanted.to(wide)
    used = ~wanted.isnan()
    if not bool(used.all()):
        result, wanted = result[used], wanted[used]
    if not bool(torch.isfinite(result.abs()).all()):
        return math.inf
    scale = float(torch.linalg.vector_norm(wanted))
    difference = float(torch.linalg.vector_norm(result - wanted))
    return difference / scale if scale > 0 else difference


# What rounding of the output alone may cost, plus what fp32 accumulation may: KERNELS aim at 2e-6 in fp32.
_TOLERANCE = {"fp32": 2e-6, "bf16": 4e-3, "fp16": 5e-4, "fp64": 1e-13, "c64": 2e-6, "c128": 1e-13}
# Gradients sum over time, channels and states with signs that cancel; in half precision h, too, has been rounded.
_BACKWARD = {"fp32": 2e-5, "bf16": 6e-3, "fp16": 8e-4, "fp64": 1e-12, "c64": 2e-5, "c128": 1e-12}


def tolerance(problem: Problem) -> float:
    """The largest relative error a kernel may have and still be used; that of the coarsest dtype it writes."""
    limits = _TOLERANCE if problem.direction == "forward" else _BACKWARD
    return max(
        limits[name] for name in (problem.dtype, dict(problem.options).get("state_dtype")) if name in limits
    )


def _normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def _complex(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return torch.complex(_normal(generator, *shape, scale=scale), _normal(generator, *shape, scale=scale))


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


Draws = dict[str, Callable[[], Tensor]]


def _steps(problem: Problem, g: torch.Generator, harsh: bool, *shape: int) -> Tensor:
    """Log-uniform step sizes; with softplus undone, so that those that reach the recurrence are the ones drawn."""
    low, high = (1e-6, 3.0) if harsh else (1e-3, 1e-1)
    drawn = torch.exp(_uniform(g, math.log(low), math.log(high), *shape))
    return torch.log(torch.expm1(drawn)) if problem.option("softplus") else drawn


def _draw_selective_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, dim, seqlen = problem["batch"], problem["dim"], problem["seqlen"]
    states = problem["d_state"]
    outer = sequence_batches(problem)
    sequence = (outer, dim, seqlen)
    rows = (outer, problem["groups"], seqlen, states)
    number = _complex if problem.option("complex") else _normal
    decay = torch.arange(1, states + 1, dtype=torch.float64).expand(dim, states)  # Mamba's initialisation
    # Only forward sums steps over chunks; steps this large would drown the gradients of the other channels.
    turns = harsh and bool(problem.option("complex")) and problem.direction == "forward"
    # Of states that turn, long memories are left to channels whose steps are rounded less.
    slowest = 1.0 if turns else 1e-2

    def rates() -> Tensor:
        real = -_uniform(g, slowest, 40.0, dim, states) if harsh else -decay
        if not problem.option("complex"):
            return real
        imaginary = _normal(g, dim, states, scale=30.0) if harsh else math.pi * (decay - 1)  # S4D-Lin's
        return torch.complex(real, imaginary)

    def bounds() -> Tensor:
        # Some sequences are empty, most are not.
        inner = torch.randint(0, seqlen + 1, (batch - 1,), generator=g)
        if batch > 2:
            inner[1] = inner[0]
        return torch.cat([torch.tensor([0]), inner.sort().values, torch.tensor([seqlen])])

    draws: Draws = {
        "u": lambda: _normal(g, *sequence),
        "delta": lambda: _steps(problem, g, harsh, *sequence),
        "A": rates,
        "B": lambda: number(g, *(rows if problem.option("B") == "variable" else (dim, states))),
        "C": lambda: number(g, *(rows if problem.option("C") == "variable" else (dim, states))),
        "D": lambda: _normal(g, dim),
        "z": lambda: _normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "delta_bias": lambda: _uniform(g, 0.0, 0.1, dim),
        "initial_state": lambda: number(g, batch, dim, states),
        "cu_seqlens": bounds,
        "dout": lambda: _normal(g, *sequence),
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
        "delta": lambda delta: _uniform(g, 20.0, 40.0, *delta.shape),
        "A": lambda A: torch.complex(-_uniform(g, 1.5e-4, 3e-4, *A.shape), _uniform(g, 1e-2, 2e-2, *A.shape)),
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
            return -_uniform(g, 1e-2 if harsh else 1.0, 40.0 if harsh else 16.0, heads)  # Mamba-2's
        if harsh:
            return -_uniform(g, 1e-2, 40.0, heads, dim, d_state)
        return -torch.arange(1, d_state + 1, dtype=torch.float64).expand(heads, dim, d_state)

    def slots_of() -> Tensor:
        # No row twice; every third sequence, and those that no row is left for, are padding.
        order = torch.randperm(slots, generator=g)[:batch]
        found = torch.full((batch,), -1, dtype=torch.int64)
        found[: order.numel()] = order
        found[1::3] = -1
        return found

    return {
        "state": lambda: _normal(g, slots if problem.option("indices") else batch, heads, dim, d_state),
        "x": lambda: _normal(g, *sequence),
        "dt": lambda: _steps(problem, g, harsh, *(sequence[:3] if tied else sequence)),
        "A": rates,
        "B": lambda: _normal(g, *rows),
        "C": lambda: _normal(g, *rows),
        "D": lambda: _normal(g, heads, dim),
        "z": lambda: _normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "dt_bias": lambda: _uniform(g, 0.0, 0.1, heads, *(() if tied else (dim,))),
        "indices": slots_of,
    }


def _draw_linear_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    sequence = (problem["batch"], problem["dim"], problem["seqlen"])
    is_complex = dtype(problem.dtype).is_complex
    number = _complex if is_complex else _normal

    def decay() -> Tensor:
        size = _uniform(g, -1.0 if harsh else 0.5, 1.0, *sequence)
        return torch.polar(size.abs(), _uniform(g, -math.pi, math.pi, *sequence)) if is_complex else size

    return {
        "a": decay,
        "b": lambda: number(g, *sequence, scale=100.0 if harsh else 1.0),
        "initial_state": lambda: number(g, *sequence[:2]),
        "dout": lambda: number(g, *sequence),
    }


def _draw_cauchy_mult(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    rows, poles, nodes = problem["rows"], problem["poles"], problem["nodes"]

    def residues() -> Tensor:
        return _complex(g, rows, poles)

    def spectrum() -> Tensor:
        # S4D-Lin: real part -1/2, imaginary parts pi n, at steps log-uniform in [0.001, 0.1].
        real = -_uniform(g, 1e-2 if harsh else 0.4, 0.6, rows, poles)
        imaginary = math.pi * torch.arange(poles, dtype=torch.float64).expand(rows, poles)
        return torch.complex(real, imaginary)

    def frequencies() -> Tensor:
        step = torch.exp(_uniform(g, math.log(1e-3), math.log(1e-1), rows, 1))
        phase = math.pi * torch.arange(nodes, dtype=torch.float64) / (2 * max(nodes, 2))
        y = 2.0 / step * torch.tan(phase)
        return torch.complex(torch.zeros_like(y), y)

    return {"v": residues, "z": frequencies, "w": spectrum}


_DRAW: dict[str, Callable[[Problem, torch.Generator, bool], Draws]] = {
    "selective_scan": _draw_selective_scan,
    "selective_state_update": _draw_selective_state_update,
    "linear_scan": _draw_linear_scan,
    "cauchy_mult": _draw_cauchy_mult,
}
