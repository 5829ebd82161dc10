"""ssmgen's public ops, with the configs that dispatch chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from ssmgen import ops, targets
from ssmgen.bench.provider import Call, Function, Inputs, TorchProvider
from ssmgen.bench.task import Task
from ssmgen.dispatch import Resolution, resolve, resolve_training
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["Ours"]


class Ours(TorchProvider):
    """The ops as users call them: dispatch, allocation and all."""

    name = "ssmgen"
    summary = "the ops of this package, with the configs that are tuned here, else defaults"
    takes_groups = True
    options: ClassVar = {
        "selective_scan": (
            *("B", "C", "D", "z", "delta_bias", "softplus"),
            *("initial_state", "last_state", "layout"),
        ),
        "selective_state_update": (
            *("D", "z", "dt_bias", "softplus", "tied"),
            *("indices", "update", "state_dtype"),
        ),
        "ssd": ("D", "z", "dt_bias", "softplus", "initial_state", "last_state", "packed"),
        "linear_scan": ("initial_state", "layout", "reverse"),
        "causal_conv1d": ("bias", "silu", "initial_state", "last_state", "packed", "layout"),
        "causal_conv1d_update": ("bias", "silu", "ring", "indices"),
        "cauchy_mult": ("symmetric", "imaginary"),
        "dplr_kernel": ("pairs",),
    }

    def __init__(self) -> None:
        self._target: Target | None = None

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        device = next(iter(inputs.values())).device
        self._target = targets.target(targets.for_device(device))
        return super().call(task, inputs)

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        run = _FUNCTIONS[task.problem.op]
        return lambda inputs: run(task.problem, inputs)

    def note(self, task: Task) -> str:
        """Which configs ran, and whether they were tuned."""
        assert self._target is not None
        problems: list[Problem | None] = [task.problem]
        if task.mode != "forward":
            forward, backward = resolve_training(task.problem, self._target)
            problems = [forward, backward] if task.mode == "training" else [backward]
        found = (None if problem is None else resolve(problem, self._target) for problem in problems)
        return "; ".join(map(_choice, found))


def _choice(found: Resolution | None) -> str:
    if found is None:
        return "the reference, for want of a kernel"
    how = {"exact": "tuned", "default": "a default, not tuned", "generic": "predicted for any GPU"}
    return f"{found.config}, {how.get(found.how, f'tuned for another problem ({found.how})')}"


def _selective_scan(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    # As a projection gives them, the states of one step side by side.
    B, C = (inputs[name] if inputs[name].ndim == 2 else inputs[name].mT for name in ("B", "C"))
    found = ops.selective_scan(
        inputs["u"],
        inputs["delta"],
        inputs["A"],
        B,
        C,
        inputs.get("D"),
        inputs.get("z"),
        inputs.get("delta_bias"),
        problem.has("softplus"),
        return_last_state=problem.has("last_state"),
        initial_state=inputs.get("initial_state"),
    )
    return (
        {"out": found} if isinstance(found, Tensor) else dict(zip(("out", "last_state"), found, strict=True))
    )


def _selective_state_update(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    x, dt, A, dt_bias = (inputs.get(name) for name in ("x", "dt", "A", "dt_bias"))
    assert x is not None and dt is not None and A is not None
    if problem.has("tied"):
        dt, A = dt[..., None].expand(x.shape), A[:, None, None].expand(inputs["state"].shape[1:])
        dt_bias = None if dt_bias is None else dt_bias[:, None].expand(x.shape[2:])
    out = ops.selective_state_update(
        inputs["state"],
        x,
        dt,
        A,
        inputs["B"],
        inputs["C"],
        inputs.get("D"),
        inputs.get("z"),
        dt_bias,
        problem.has("softplus"),
        inputs.get("indices"),
        update_state=problem.has("update"),
    )
    return {"out": out}


def _ssd(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    found = ops.ssd(
        inputs["x"],
        inputs["dt"],
        inputs["A"],
        inputs["B"],
        inputs["C"],
        None,
        inputs.get("D"),
        inputs.get("z"),
        inputs.get("dt_bias"),
        inputs.get("initial_state"),
        inputs.get("seq_idx"),
        dt_softplus=problem.has("softplus"),
        # The operand is taken as it is, whatever its sign.
        dt_limit=(0.0 if problem.has("softplus") else float("-inf"), float("inf")),
        return_final_states=problem.has("last_state"),
    )
    return (
        {"out": found} if isinstance(found, Tensor) else dict(zip(("out", "last_state"), found, strict=True))
    )


def _linear_scan(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    a, b, state = inputs["a"], inputs["b"], inputs.get("initial_state")
    return {"out": ops.linear_scan(a, b, initial_state=state, reverse=problem.has("reverse"))}


def _causal_conv1d(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    found = ops.causal_conv1d(
        inputs["x"],
        inputs["weight"],
        inputs.get("bias"),
        inputs.get("seq_idx"),
        inputs.get("initial_state"),
        problem.has("last_state"),
        "silu" if problem.has("silu") else None,
    )
    return (
        {"out": found} if isinstance(found, Tensor) else dict(zip(("out", "last_state"), found, strict=True))
    )


def _causal_conv1d_update(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    out = ops.causal_conv1d_update(
        inputs["x"],
        inputs["conv_state"],
        inputs["weight"],
        inputs.get("bias"),
        "silu" if problem.has("silu") else None,
        inputs.get("cache_seqlens"),
        inputs.get("indices"),
    )
    return {"out": out}


def _cauchy_mult(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    v, z, w = inputs["v"], inputs["z"], inputs["w"]
    symmetric = problem.has("symmetric")
    if problem.has("imaginary"):
        return {"out": ops.cauchy_mult(v, z, w, symmetric, nodes="imaginary")}
    return {"out": ops.cauchy_mult(v, z, w, symmetric)}


def _log_vandermonde(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    return {"out": ops.log_vandermonde(inputs["v"], inputs["x"], problem["seqlen"])}


def _log_vandermonde_transpose(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    return {"out": ops.log_vandermonde_transpose(inputs["u"], inputs["v"], inputs["x"], problem["seqlen"])}


def _dplr_kernel(problem: Problem, inputs: Inputs) -> dict[str, Tensor]:
    Lambda, P, Q, B, C, step = (inputs[name] for name in ("Lambda", "P", "Q", "B", "C", "step"))
    return {"out": ops.dplr_kernel(Lambda, P, Q, B, C, step, problem["seqlen"], pairs=problem.has("pairs"))}


_FUNCTIONS: dict[str, Callable[[Problem, Inputs], dict[str, Tensor]]] = {
    "selective_scan": _selective_scan,
    "selective_state_update": _selective_state_update,
    "ssd": _ssd,
    "linear_scan": _linear_scan,
    "causal_conv1d": _causal_conv1d,
    "causal_conv1d_update": _causal_conv1d_update,
    "cauchy_mult": _cauchy_mult,
    "log_vandermonde": _log_vandermonde,
    "log_vandermonde_transpose": _log_vandermonde_transpose,
    "dplr_kernel": _dplr_kernel,
}
