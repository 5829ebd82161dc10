"""Time, memory and error of S4's Cauchy product and DPLR kernel on the CPU, against PyTorch and against numba.

    python benchmarks/cauchy.py

In one run, in turns, medians; memory in a process for each. `pip install numba` brings the comparison with numba,
whose kernel is written in split real form, with fastmath and threads: what somebody who knows it writes in an hour.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen import reference
from ssmgen.errors import UntunedWarning

Call = Callable[[], Tensor]


class Inputs(NamedTuple):
    """S4D-Lin's eigenvalues, steps log-uniform in [0.001, 0.1], and the nodes of one step size, which rows share."""

    v: Tensor
    z: Tensor
    y: Tensor
    Lambda: Tensor
    P: Tensor
    B: Tensor
    C: Tensor
    step: Tensor
    L: int

    @staticmethod
    def of(dim: int, poles: int, L: int) -> Inputs:
        """Inputs of these sizes, the same every time."""
        torch.manual_seed(0)
        v, P, B, C = (torch.randn(dim, poles, dtype=torch.complex64) for _ in range(4))
        Lambda = torch.complex(
            torch.full((dim, poles), -0.5), math.pi * torch.arange(poles).expand(dim, poles).float()
        )
        step = torch.exp(torch.empty(dim).uniform_(math.log(1e-3), math.log(1e-1)))
        y = 2 / 0.01 * tangents(L)
        y[-1] = y[-2]  # Nyquist's node is nothing but huge
        z = torch.complex(torch.zeros_like(y), y).to(torch.complex64)
        return Inputs(v, z, y.float(), Lambda, P / 2, B, C, step, L)


def tangents(L: int) -> Tensor:
    return torch.tan(math.pi * torch.arange(L // 2 + 1, dtype=torch.float64) / L)


def naive_product(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """The symmetric product as a broadcast over all poles: what users have without a kernel."""
    v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
    return (v[..., None, :] / (z[..., :, None] - w[..., None, :])).sum(-1)


def numba_product(threads: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The symmetric product in numba: factored, real and imaginary parts apart, nodes in the inner loop."""
    import numba
    import numpy as np

    numba.set_num_threads(threads)

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def product(v: Any, z_re: Any, z_im: Any, w: Any, out: Any) -> None:
        rows, poles, nodes = v.shape[0], v.shape[1], z_re.shape[0]
        two = np.float32(2)
        for row in numba.prange(rows):
            re, im = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
            for n in range(poles):
                w_re, w_im, v_re = w[row, n, 0], w[row, n, 1], v[row, n, 0]
                vw = v[row, n, 1] * w_im
                for k in range(nodes):
                    y, a = z_im[k], z_re[k] - w_re
                    p, q = a * a - (y - w_im) * (y + w_im), two * a * y
                    r = two / (p * p + q * q)
                    s, t = a * v_re - vw, y * v_re
                    re[k] += (s * p + t * q) * r
                    im[k] += (t * p - s * q) * r
            for k in range(nodes):
                out[row, k, 0], out[row, k, 1] = re[k], im[k]

    def call(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
        out = torch.empty(v.shape[0], z.shape[-1], dtype=v.dtype)
        z_re, z_im = z.real.contiguous(), z.imag.contiguous()
        pairs = [torch.view_as_real(x) for x in (v, w, out)]
        product(*(x.numpy() for x in (pairs[0], z_re, z_im, *pairs[1:])))
        return out

    return call


def by_products(x: Inputs, product: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """The DPLR kernel by four general Cauchy products and Woodbury's identity: a layer's way without the fused one."""
    phase = tangents(x.L)
    phase[-1] = phase[-2] if x.L % 2 == 0 else phase[-1]
    z = (2j * phase / x.step[:, None].double()).to(torch.complex64)
    (k_CB, k_CP), (k_QB, k_QP) = (
        [product(left.conj() * right, z, x.Lambda) for right in (x.B, x.P)] for left in (x.C, x.P)
    )
    factor = (1 + 1j * phase).to(torch.complex64)
    kernel: Tensor = torch.fft.irfft(factor * (k_CB - k_CP * k_QB / (1 + k_QP)), n=x.L)
    return kernel


def kernels(x: Inputs) -> dict[str, Call]:
    """Ways to the DPLR kernel."""
    return {
        "fused": lambda: ssmgen.dplr_kernel(x.Lambda, x.P, x.P, x.B, x.C, x.step, x.L, pairs=True),
        "four products": lambda: by_products(x, ssmgen.cauchy_mult),
        "torch": lambda: by_products(x, naive_product),
    }


def in_turns(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """The median time of each, in ms."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(each) for name, each in times.items()}


def status_mib(name: str) -> float:
    """An entry of this process's memory status, which Linux gives in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024


def growth_mib(name: str, dim: int, poles: int, L: int) -> float:
    """What one call adds to this process's memory at its peak, beyond its operands and what a small call loads."""
    kernels(Inputs.of(8, poles, 64))[name]()
    call = kernels(Inputs.of(dim, poles, L))[name]
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = status_mib("VmRSS")
    kept = call()
    grown = status_mib("VmHWM") - before
    assert kept.numel() > 0
    return grown


def memory(name: str, *sizes: int) -> float:
    """The same, in a process of its own."""
    flags = [f"--{flag}={size}" for flag, size in zip(("dim", "poles", "seqlen"), sizes, strict=True)]
    command = [sys.executable, __file__, f"--memory-of={name}", *flags]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def error(found: Tensor, wanted: Tensor) -> float:
    """The largest error over the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def main(
    dim: Annotated[int, typer.Option(help="rows H")] = 512,
    poles: Annotated[int, typer.Option(help="pole pairs")] = 32,
    seqlen: Annotated[int, typer.Option(help="length L; the nodes are L/2 + 1")] = 8192,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="runs of each")] = 15,
    memory_of: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare in complex64; what takes seconds runs three times."""
    warnings.simplefilter("ignore", UntunedWarning)
    torch.set_num_threads(threads)
    if memory_of is not None:
        print(growth_mib(memory_of, dim, poles, seqlen))
        return
    x = Inputs.of(dim, poles, seqlen)
    products: dict[str, Call] = {
        "complex nodes": lambda: ssmgen.cauchy_mult(x.v, x.z, x.Lambda),
        "imaginary nodes": lambda: ssmgen.cauchy_mult(x.v, x.y, x.Lambda, nodes="imaginary"),
    }
    if find_spec("numba"):
        by_numba = numba_product(threads)
        products["numba"] = lambda: by_numba(x.v, x.z, x.Lambda)
    slow = {"torch": lambda: naive_product(x.v, x.z, x.Lambda)}
    few = slice(0, 8)
    wanted = reference.cauchy_mult(x.v[few], x.z, x.Lambda[few], dtype=torch.complex128)
    wide = [y.to(torch.complex128) for y in (x.Lambda, x.P, x.P, x.B, x.C)]
    kernel = ssmgen.dplr_kernel(*wide, x.step.double(), x.L, pairs=True)
    ways = kernels(x)
    result = {
        "sizes": {"dim": dim, "poles": poles, "seqlen": seqlen, "threads": threads},
        "cauchy_mult, ms": in_turns(products, rounds),
        "cauchy_mult beside torch, ms": in_turns({**slow, **products}, 3),
        "cauchy_mult, error": {name: error(call()[few], wanted) for name, call in products.items()},
        "dplr_kernel, ms": in_turns({name: ways[name] for name in ("fused", "four products")}, rounds),
        "dplr_kernel beside torch, ms": in_turns(ways, 3),
        "dplr_kernel, error": {name: error(ways[name](), kernel) for name in ("fused", "four products")},
        "dplr_kernel, MiB at the peak": {name: memory(name, dim, poles, seqlen) for name in ways},
        "dplr_kernel fused, MiB by length": {
            L: memory("fused", dim, poles, L) for L in (seqlen // 4, seqlen // 2, seqlen, 2 * seqlen)
        },
    }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    for what, values in result.items():
        print(f"{what}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items()))


if __name__ == "__main__":
    typer.run(main)
