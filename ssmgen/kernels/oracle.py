"""Random operands of a problem and the results they must give: what tests and the tuner verify kernels with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.interfaces import interface
from ssmgen.problem import Problem

__all__ = ["baseline", "expected", "relative_error", "sample", "tolerance"]


def sample(
    problem: Problem, seed: int, device: torch.device | str = "cpu", *, harsh: bool = False
) -> dict[str, Tensor]:
    """Random inputs by operand name.

    Args:
        problem: The problem.
        seed: Seed; the same seed gives the same numbers on every device.
        device: Where the tensors go.
        harsh: Draw what strains a kernel (fast decay that underflows, long memory, large magnitudes, poles close to
            nodes) rather than what a model at its initialisation holds.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = _DRAW[problem.op](problem, generator, harsh)
    tensors = {}
    for operand in interface(problem.op).operands(problem):
        if not operand.output:
            tensors[operand.name] = operand.allocate(device).copy_(draw[operand.name]())
    return tensors


def expected(problem: Problem, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by operand name, from the reference in float64 or complex128, on the inputs' device."""
    wide = torch.complex128 if dtype(problem.dtype).is_complex else torch.float64
    with torch.no_grad():
        return _EXPECT[problem.op](problem, inputs, wide)


def baseline(problem: Problem, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by operand name, from the reference in the accumulation dtype: what speed-ups are measured against."""
    with torch.no_grad():
        return _EXPECT[problem.op](problem, inputs, dtype(accumulate(problem.dtype)).torch)


def relative_error(result: Tensor, wanted: Tensor) -> float:
    """Frobenius norm of the difference over that of what is wanted; infinite where the result is not finite."""
    wide = torch.complex128 if wanted.is_complex() else torch.float64
    result, wanted = result.to(wide), wanted.to(wide)
    if not bool(torch.isfinite(result.abs()).all()):
        return math.inf
    scale = float(torch.linalg.vector_norm(wanted))
    difference = float(torch.linalg.vector_norm(result - wanted))
    return difference / scale if scale > 0 else difference


# What rounding of the output alone may cost, plus what fp32 accumulation may: KERNELS aim at 2e-6 in fp32.
_TOLERANCE = {"fp32": 2e-6, "bf16": 4e-3, "fp16": 5e-4, "fp64": 1e-13, "c64": 2e-6, "c128": 1e-13}


def tolerance(problem: Problem) -> float:
    """The largest relative error a kernel may have and still be used."""
    return _TOLERANCE[problem.dtype]


def _normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


Draws = dict[str, Callable[[], Tensor]]


def _draw_selective_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    batch, dim, seqlen = problem["batch"], problem["dim"], problem["seqlen"]
    states = problem["d_state"]
    sequence = (batch, dim, seqlen)
    rows = (batch, problem["groups"], seqlen, states)
    decay = torch.arange(1, states + 1, dtype=torch.float64).expand(dim, states)  # Mamba's initialisation
    low, high = (1e-6, 3.0) if harsh else (1e-3, 1e-1)

    def step() -> Tensor:
        delta = torch.exp(_uniform(g, math.log(low), math.log(high), *sequence))
        # Softplus undone, so that the steps that reach the recurrence are the ones drawn.
        return torch.log(torch.expm1(delta)) if problem.option("softplus") else delta

    return {
        "u": lambda: _normal(g, *sequence),
        "delta": step,
        "A": lambda: -_uniform(g, 1e-2, 40.0, dim, states) if harsh else -decay,
        "B": lambda: _normal(g, *(rows if problem.option("B") == "variable" else (dim, states))),
        "C": lambda: _normal(g, *(rows if problem.option("C") == "variable" else (dim, states))),
        "D": lambda: _normal(g, dim),
        "z": lambda: _normal(g, *sequence, scale=8.0 if harsh else 1.0),
        "delta_bias": lambda: _uniform(g, 0.0, 0.1, dim),
    }


def _expect_selective_scan(
    problem: Problem, inputs: Mapping[str, Tensor], wide: torch.dtype
) -> dict[str, Tensor]:
    rows = {
        name: inputs[name].transpose(-1, -2) if problem.option(name) == "variable" else inputs[name]
        for name in ("B", "C")
    }
    out, last_state = reference.selective_scan(
        inputs["u"],
        inputs["delta"],
        inputs["A"],
        rows["B"],
        rows["C"],
        inputs.get("D"),
        inputs.get("z"),
        inputs.get("delta_bias"),
        bool(problem.option("softplus")),
        dtype=wide,
    )
    return {"out": out, "last_state": last_state} if problem.option("last_state") else {"out": out}


def _draw_linear_scan(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    sequence = (problem["batch"], problem["dim"], problem["seqlen"])
    return {
        "a": lambda: _uniform(g, -1.0, 1.0, *sequence) if harsh else _uniform(g, 0.5, 1.0, *sequence),
        "b": lambda: _normal(g, *sequence, scale=100.0 if harsh else 1.0),
        "initial_state": lambda: _normal(g, *sequence[:2]),
    }


def _expect_linear_scan(
    problem: Problem, inputs: Mapping[str, Tensor], wide: torch.dtype
) -> dict[str, Tensor]:
    out = reference.linear_scan(
        inputs["a"],
        inputs["b"],
        initial_state=inputs.get("initial_state"),
        reverse=bool(problem.option("reverse")),
        dtype=wide,
    )
    return {"out": out}


def _draw_cauchy_mult(problem: Problem, g: torch.Generator, harsh: bool) -> Draws:
    rows, poles, nodes = problem["rows"], problem["poles"], problem["nodes"]

    def residues() -> Tensor:
        return torch.complex(_normal(g, rows, poles), _normal(g, rows, poles))

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


def _expect_cauchy_mult(
    problem: Problem, inputs: Mapping[str, Tensor], wide: torch.dtype
) -> dict[str, Tensor]:
    symmetric = bool(problem.option("symmetric"))
    out = reference.cauchy_mult(inputs["v"], inputs["z"], inputs["w"], symmetric=symmetric, dtype=wide)
    return {"out": out}


_DRAW: dict[str, Callable[[Problem, torch.Generator, bool], Draws]] = {
    "selective_scan": _draw_selective_scan,
    "linear_scan": _draw_linear_scan,
    "cauchy_mult": _draw_cauchy_mult,
}
_EXPECT: dict[str, Callable[[Problem, Mapping[str, Tensor], torch.dtype], dict[str, Tensor]]] = {
    "selective_scan": _expect_selective_scan,
    "linear_scan": _expect_linear_scan,
    "cauchy_mult": _expect_cauchy_mult,
}
