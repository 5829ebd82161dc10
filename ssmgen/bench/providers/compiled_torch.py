"""`torch.compile`: of a loop's step, and of sums in split real form, for Inductor has no complex numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ssmgen.bench import plain
from ssmgen.bench.provider import Function, Inputs
from ssmgen.bench.providers.plain_torch import PlainTorch, complex_nodes, plain_function
from ssmgen.bench.task import Task

__all__ = ["CompiledTorch"]

_SCANS = ("selective_scan", "selective_state_update", "ssd", "linear_scan")
_TURN = 2 * math.pi


class CompiledTorch(PlainTorch):
    """The same in Inductor's kernels."""

    name = "torch.compile"
    summary = "the same through torch.compile: the step of a loop, or a whole sum in split real form"

    def note(self, task: Task) -> str:
        """See `Provider.note`."""
        if task.problem.op.startswith("causal_conv1d"):
            return ""
        return "one step compiled, called from a loop" if task.problem.op in _SCANS else "in split real form"

    def function(self, task: Task) -> Function:
        """See `TorchProvider.function`."""
        problem = task.problem
        if problem.op in _SCANS:
            return plain_function(task, _compiled)
        if problem.op.startswith("causal_conv1d"):
            convolve: Function = _compiled(plain_function(task))
            return convolve
        if problem.op in ("cauchy_mult", "dplr_kernel"):
            product = _product(_compiled(_split_product))
            if problem.op == "dplr_kernel":
                return lambda inputs: plain.dplr_kernel(inputs, problem["seqlen"], product)
            return lambda inputs: {"out": product(inputs["v"], complex_nodes(inputs), inputs["w"])}
        split = _compiled(_split_powers if problem.op == "log_vandermonde" else _split_moments)
        return lambda inputs: _vandermonde(split, inputs, problem["seqlen"])


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = torch.compile(function, dynamic=False)
    return compiled


def _product(split: Callable[..., tuple[Tensor, Tensor]]) -> plain.Product:
    def product(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
        return torch.complex(*split(v.real, v.imag, z.real, z.imag, w.real, w.imag))

    return product


def _split_product(
    v_re: Tensor, v_im: Tensor, x: Tensor, y: Tensor, w_re: Tensor, w_im: Tensor
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of sum v / (z - w) + conj(v) / (z - conj(w)), nodes innermost."""
    v_re, v_im, w_re, w_im = (part[..., None] for part in (v_re, v_im, w_re, w_im))
    x, y = x[..., None, :], y[..., None, :]
    a, b, c = x - w_re, y - w_im, y + w_im
    d, e = a * a + b * b, a * a + c * c
    re = (v_re * a + v_im * b) / d + (v_re * a - v_im * c) / e
    im = (v_im * a - v_re * b) / d - (v_im * a + v_re * c) / e
    return re.sum(-2), im.sum(-2)


def _vandermonde(split: Callable[..., Any], inputs: Inputs, seqlen: int) -> dict[str, Tensor]:
    v, x = inputs["v"], inputs["x"]
    steps = torch.arange(seqlen, device=x.device, dtype=x.real.dtype)
    if "u" not in inputs:
        return {"out": split(v.real, v.imag, x.real, x.imag, steps)}
    return {"out": v * torch.complex(*split(inputs["u"], x.real, x.imag, steps))}


def _split_powers(v_re: Tensor, v_im: Tensor, x_re: Tensor, x_im: Tensor, steps: Tensor) -> Tensor:
    """2 Re sum v exp(x l)."""
    size, phase = torch.exp(x_re[..., None] * steps), torch.remainder(x_im[..., None] * steps, _TURN)
    return 2 * ((v_re[..., None] * phase.cos() - v_im[..., None] * phase.sin()) * size).sum(-2)


def _split_moments(u: Tensor, x_re: Tensor, x_im: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of sum u exp(x l)."""
    size, phase = torch.exp(x_re[..., None] * steps), torch.remainder(x_im[..., None] * steps, _TURN)
    product = u[:, None] * size
    return (product * phase.cos()).sum(-1), (product * phase.sin()).sum(-1)
