"""Shared by tests: problems from a few sizes, and one call that runs a config and compares it with float64."""

from __future__ import annotations

from collections.abc import Container, Iterable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from ssmgen.config import Config
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample
from ssmgen.problem import Option, Problem
from ssmgen.targets import Target, target

__all__ = [
    "GPU",
    "ON_GPU",
    "defaults",
    "is_left_to_the_reference",
    "make_problem",
    "parameters",
    "run_config",
    "step",
]

GPU = "hip" if torch.version.hip else "cuda"
# A parameter of tests that take the name of a target.
ON_GPU = pytest.param(
    GPU,
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device"),
    ],
)


def parameters(names: Iterable[str], slow: Container[str]) -> list[object]:
    """Names of cases as parameters, some of them left out of the inner loop."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


def make_problem(
    op: str, dtype: str | None = None, /, direction: str = "forward", **given: Option
) -> Problem:
    """A problem of an op, from its defaults and the dims and options given by name."""
    face = interface(op)
    dims = {name: int(given.pop(name, default)) for name, default in face.dims.items()}
    options = {name: given.pop(name, values[0]) for name, values in face.options.items()}
    assert not given, f"{op} has no {sorted(given)}"
    return Problem.of(op, dims, dtype or face.dtypes[0], options, direction)


def is_left_to_the_reference(problem: Problem, language: str) -> bool:
    """Whether no kernel of the language serves the problem."""
    backward = problem.direction == "backward"
    if backward and not interface(problem.op).has_gradients:
        return True
    if problem.op == "ssd":
        both = problem.has("varlen") and problem.has("packed")
        return both or (language == "triton" and problem.dtype == "fp64")
    if problem.op.startswith("causal_conv1d"):
        keeps = problem.has("initial_state") or problem.has("last_state")
        taps = 2 <= problem["width"] <= 4 and not (problem.has("packed") and keeps)
        if problem.op == "causal_conv1d_update":
            taps = taps and problem["length"] >= problem["width"] - 1
        return not taps or (language == "triton" and problem.dtype == "fp64")
    if problem.op == "dplr_kernel":
        products = (problem["channels"] + problem["rank"]) * (1 + problem["rank"])
        if language == "triton":
            return problem.dtype == "c128" or products > 36
        size = problem["poles"] * (6 + 4 * products) * (4 if problem.dtype == "c64" else 8)
        return products > 64 or size > 1 << 19
    if problem.op == "selective_state_update":
        double = {problem.dtype == "fp64", problem.option("state_dtype") == "fp64"}
        return True in double if language == "triton" else len(double) == 2 or problem["tokens"] > 16
    if language == "triton":
        # More states than the pass holds that recomputes them.
        most = 32 if problem.has("complex") else 64
        many = backward and problem.op == "selective_scan" and problem["d_state"] > most
        recomputed = many and problem.option("saved") not in (2, 4, 8)
        return problem.dtype in ("fp64", "c128") or recomputed
    if backward and problem.op == "selective_scan":
        return problem.option("saved") not in (16, 32, 64)
    return problem.has("saved") and problem.option("saved") not in (16, 32, 64, 128)


def defaults(problem: Problem, name: str = "cpu") -> list[Config]:
    """The defaults of a target's variants; a variant whose rules leave out every config on this machine has none."""
    space = target(name).space(problem)
    chosen = [variant.default(problem, space.facts) for variant in space.variants]
    return [config for config in chosen if space.configs[config.variant]]


def run_config(
    place: Target, problem: Problem, config: Config, *, seed: int = 0, harsh: bool = False
) -> dict[str, float]:
    """Relative error of each output of one config, against the float64 reference; outputs start as NaN."""
    space = place.space(problem)
    kernel = place.compile(space.check(config), problem, config)
    inputs = sample(problem, seed, place.device, harsh=harsh)
    tensors: list[torch.Tensor] = []
    outputs: dict[str, torch.Tensor] = {}
    for operand in interface(problem.op).operands(problem):
        if operand.output:
            outputs[operand.name] = operand.allocate(place.device).fill_(float("nan"))
        elif operand.updated:
            outputs[operand.name] = operand.allocate(place.device).copy_(inputs[operand.name])
        tensors.append(outputs.get(operand.name, inputs.get(operand.name)))
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    place.synchronize()
    wanted = expected(problem, inputs)
    return {name: relative_error(outputs[name], wanted[name]) for name in wanted}


def guarded_outputs(problem: Problem, config: Config) -> list[torch.Tensor]:
    """The outputs of a config on the CPU, each inside a larger tensor whose other elements must stay as they were."""
    cpu = target("cpu")
    kernel = cpu.compile(cpu.space(problem).check(config), problem, config)
    inputs = sample(problem, seed=1)
    tensors, guarded = [], []
    for operand in interface(problem.op).operands(problem):
        if not operand.output:
            tensors.append(inputs[operand.name])
            continue
        view = operand.allocate("cpu")
        margin = 64
        memory = torch.full((view.numel() + 2 * margin,), 7.0, dtype=view.dtype)
        tensors.append(
            memory[margin:-margin].as_strided(view.shape, view.stride(), margin).fill_(float("nan"))
        )
        guarded.append((memory, margin))
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    for memory, margin in guarded:
        assert bool((memory[:margin] == 7.0).all()), config
        assert bool((memory[-margin:] == 7.0).all()), config
    return [memory[margin:-margin] for memory, margin in guarded]


def outputs_of(problem: Problem, config: Config, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of a config on the CPU, by name."""
    cpu = target("cpu")
    kernel = cpu.compile(cpu.space(problem).check(config), problem, config)
    operands = interface(problem.op).operands(problem)
    outputs = {operand.name: operand.allocate("cpu") for operand in operands if operand.output}
    tensors = [(inputs | outputs)[operand.name] for operand in operands]
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    return outputs


def step(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    dt_softplus: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token of decoding in float64, by the formula: out and the new state."""
    h, x, dt, A, B, C = (tensor.double() for tensor in (state, x, dt, A, B, C))
    if dt_bias is not None:
        dt = dt + dt_bias.double()
    if dt_softplus:
        dt = F.softplus(dt)
    # The channels, or heads, that share a row of B lie side by side.
    rows = [row[:, None] if row.ndim == 2 else row for row in (B, C)]
    B, C = (row.repeat_interleave(x.shape[1] // row.shape[1], dim=1) for row in rows)
    if state.ndim == 4:
        B, C = B[:, :, None], C[:, :, None]
    h = torch.exp(dt[..., None] * A) * h + (dt * x)[..., None] * B
    y = (h * C).sum(-1)
    if D is not None:
        y = y + D.double() * x
    if z is not None:
        y = y * F.silu(z.double())
    return y, h
