"""Numba: what somebody who knows it writes in an hour. Real and imaginary parts apart, fastmath, rows over threads."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssmgen.bench.provider import FORWARD, Call, FunctionCall, Inputs, Provider
from ssmgen.bench.task import Task

__all__ = ["Numba"]


class Numba(Provider):
    """Kernels of its own, for it has no libraries of them."""

    name = "numba"
    summary = "numba loops, in split real form, with fastmath and threads"
    modules: ClassVar = ("numba",)
    distribution = "numba"
    install = "pip install numba"
    device = "cpu"
    computes: ClassVar = {"selective_scan": FORWARD, "linear_scan": FORWARD, "cauchy_mult": FORWARD}
    options: ClassVar = {"cauchy_mult": ("imaginary",)}

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        import numba

        numba.set_num_threads(min(task.threads, numba.config.NUMBA_NUM_THREADS))
        if task.problem.op == "cauchy_mult":
            run = _cauchy_imaginary if task.problem.has("imaginary") else _cauchy
        else:
            run = _selective_scan if task.problem.op == "selective_scan" else _linear_scan
        return FunctionCall(task, run, inputs)


def _selective_scan(inputs: Inputs) -> dict[str, Tensor]:
    out = torch.empty_like(inputs["u"])
    B, C = inputs["B"][:, 0], inputs["C"][:, 0]
    tensors = (inputs["u"], inputs["delta"], inputs["A"], B, C, out)
    _kernels()["selective_scan"](*(x.numpy() for x in tensors))
    return {"out": out}


def _linear_scan(inputs: Inputs) -> dict[str, Tensor]:
    out = torch.empty_like(inputs["a"])
    _kernels()["linear_scan"](*(x.numpy() for x in (inputs["a"], inputs["b"], out)))
    return {"out": out}


def _cauchy(inputs: Inputs) -> dict[str, Tensor]:
    v, z, w = inputs["v"], inputs["z"], inputs["w"]
    out = torch.empty_like(z)
    parts = (torch.view_as_real(x).numpy() for x in (v, z, w, out))
    _kernels()["cauchy"](*parts)
    return {"out": out}


def _cauchy_imaginary(inputs: Inputs) -> dict[str, Tensor]:
    v, z, w = inputs["v"], inputs["z"], inputs["w"]
    out = torch.empty(z.shape, dtype=v.dtype)
    v_parts, w_parts, out_parts = (torch.view_as_real(x).numpy() for x in (v, w, out))
    _kernels()["cauchy_imaginary"](v_parts, z.numpy(), w_parts, out_parts)
    return {"out": out}


@cache
def _kernels() -> dict[str, Any]:
    """The compiled functions; numba is imported, and they are compiled, where one is first called."""
    import numba
    import numpy as np

    zero, two = np.float32(0), np.float32(2)
    parallel = numba.njit(parallel=True, fastmath=True)

    @parallel  # type: ignore[untyped-decorator]
    def selective_scan(u: Any, delta: Any, A: Any, B: Any, C: Any, out: Any) -> None:
        batch, dim, seqlen = u.shape
        states = A.shape[1]
        for row in numba.prange(batch * dim):
            b, d = row // dim, row % dim
            h = np.zeros(states, np.float32)
            for t in range(seqlen):
                step, x, y = delta[b, d, t], delta[b, d, t] * u[b, d, t], zero
                for n in range(states):
                    h[n] = np.exp(step * A[d, n]) * h[n] + x * B[b, t, n]
                    y += h[n] * C[b, t, n]
                out[b, d, t] = y

    @parallel  # type: ignore[untyped-decorator]
    def linear_scan(a: Any, b: Any, out: Any) -> None:
        batch, dim, seqlen = a.shape
        for row in numba.prange(batch * dim):
            i, d, h = row // dim, row % dim, zero
            for t in range(seqlen):
                h = a[i, d, t] * h + b[i, d, t]
                out[i, d, t] = h

    @parallel  # type: ignore[untyped-decorator]
    def cauchy(v: Any, z: Any, w: Any, out: Any) -> None:
        rows, poles, nodes = v.shape[0], v.shape[1], z.shape[1]
        for row in numba.prange(rows):
            x, y = z[row, :, 0].copy(), z[row, :, 1].copy()
            re, im = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
            for n in range(poles):
                w_re, w_im, v_re = w[row, n, 0], w[row, n, 1], v[row, n, 0]
                vw = v[row, n, 1] * w_im
                for k in range(nodes):
                    a = x[k] - w_re
                    p, q = a * a - (y[k] - w_im) * (y[k] + w_im), two * a * y[k]
                    r = two / (p * p + q * q)
                    s, t = a * v_re - vw, y[k] * v_re
                    re[k] += (s * p + t * q) * r
                    im[k] += (t * p - s * q) * r
            for k in range(nodes):
                out[row, k, 0], out[row, k, 1] = re[k], im[k]

    @parallel  # type: ignore[untyped-decorator]
    def cauchy_imaginary(v: Any, y: Any, w: Any, out: Any) -> None:
        rows, poles, nodes = v.shape[0], v.shape[1], y.shape[1]
        for row in numba.prange(rows):
            re, im = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
            for n in range(poles):
                a, w_im, v_re = -w[row, n, 0], w[row, n, 1], v[row, n, 0]
                s = a * v_re - v[row, n, 1] * w_im
                for k in range(nodes):
                    p, q = a * a - (y[row, k] - w_im) * (y[row, k] + w_im), two * a * y[row, k]
                    r, t = two / (p * p + q * q), y[row, k] * v_re
                    re[k] += (s * p + t * q) * r
                    im[k] += (t * p - s * q) * r
            for k in range(nodes):
                out[row, k, 0], out[row, k, 1] = re[k], im[k]

    return {
        "selective_scan": selective_scan,
        "linear_scan": linear_scan,
        "cauchy": cauchy,
        "cauchy_imaginary": cauchy_imaginary,
    }
