"""Random operands of a problem and the results they must give: what tests and the tuner verify kernels with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels import draws, draws_s4, formulas
from ssmgen.kernels.interfaces import interface
from ssmgen.problem import Problem
from ssmgen.reference.checkpointed import without_checkpoints

_DRAWS = {**draws.DRAWS, **draws_s4.DRAWS}

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
    draw = _DRAWS[problem.op](problem, generator, harsh)
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
        found = formulas.gradients(problem, inputs, _wide(problem))
        return {x.name: found[x.name] for x in interface(problem.op).operands(problem) if x.output}
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
