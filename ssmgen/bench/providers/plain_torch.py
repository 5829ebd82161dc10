"""PyTorch without kernels: loops over time steps, and broadcasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssmgen.bench import plain
from ssmgen.bench.provider import Function, Inputs, TorchProvider
from ssmgen.bench.task import Task

__all__ = ["SCAN_OPTIONS", "STEP_OPTIONS", "PlainTorch", "complex_nodes", "plain_function"]

SCAN_OPTIONS = ("D", "z", "delta_bias", "softplus")
STEP_OPTIONS = ("D", "z", "dt_bias", "softplus", "tied", "state_dtype")


class PlainTorch(TorchProvider):
    """What users have without kernels; speed-ups are measured against it."""

    name = "torch"
    summary = (
        "PyTorch: a loop over unbound time steps, its own convolution, or one broadcast over poles and nodes"
    )
    options: ClassVar = {
        "selective_scan": (*SCAN_OPTIONS, "layout"),
        "selective_state_update": STEP_OPTIONS,
        "linear_scan": ("initial_state", "layout", "reverse"),
        "ssd": ("D", "z", "dt_bias", "softplus"),
        "causal_conv1d": ("bias", "silu", "layout"),
        "causal_conv1d_update": ("bias", "silu"),
        "cauchy_mult": ("imaginary",),
    }

    def lacks(self, task: Task) -> str | None:
        """See `Provider.lacks`."""
        problem = task.problem
        if problem.op == "dplr_kernel" and (problem["rank"] > 1 or problem["channels"] > 1):
            return "has rank 1 and one channel only"
        return None

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        return plain_function(task)


def plain_function(task: Task, compiled: Callable[[Any], Any] = lambda step: step) -> Function:
    """The function of a task.

    Args:
        task: The task.
        compiled: What the step of a loop passes through.
    """
    problem, kind = task.problem, task.dtype
    softplus = problem.has("softplus")
    if problem.op == "selective_scan":
        scan = compiled(plain.scan_step)
        return lambda inputs: plain.selective_scan(inputs, softplus, kind, scan)
    if problem.op == "selective_state_update":
        update, tied = compiled(plain.state_update), problem.has("tied")
        return lambda inputs: plain.selective_state_update(inputs, softplus, tied, kind, update)
    if problem.op == "linear_scan":
        linear, reverse = compiled(plain.linear_step), problem.has("reverse")
        return lambda inputs: plain.linear_scan(inputs, reverse, kind, linear)
    if problem.op == "ssd":
        update = compiled(plain.state_update)
        return lambda inputs: plain.ssd(inputs, softplus, kind, update)
    if problem.op == "causal_conv1d":
        return lambda inputs: plain.causal_conv1d(inputs, problem.has("silu"), kind)
    if problem.op == "causal_conv1d_update":
        return lambda inputs: plain.causal_conv1d_update(inputs, problem.has("silu"), kind)
    if problem.op == "cauchy_mult":
        return lambda inputs: {
            "out": plain.symmetric_product(inputs["v"], complex_nodes(inputs), inputs["w"])
        }
    whole = getattr(plain, problem.op)
    return lambda inputs: dict(whole(inputs, problem["seqlen"]))


def complex_nodes(inputs: Inputs) -> Tensor:
    """The nodes as complex numbers; real ones stand for i y."""
    z = inputs["z"]
    return z if z.is_complex() else torch.complex(torch.zeros_like(z), z)
