"""Time of S4's Cauchy product and of its DPLR kernel on the CPU, against PyTorch and against numba.

    python benchmarks/cauchy.py

In one run, in turns, medians. `pip install numba` brings the comparison with numba, whose kernel is written in split
real form, with fastmath and threads: what somebody who knows it would write in an hour.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen import reference
from ssmgen.errors import UntunedWarning

Call = Callable[[], Any]


def naive(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """The symmetric product as a broadcast: what users have without a kernel."""
    v, w = torch.cat([v, v.conj()], dim=-1), torch.cat([w, w.conj()], dim=-1)
    return (v[..., None, :] / (z[..., :, None] - w[..., None, :])).sum(-1)


def by_numba(threads: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The symmetric product in numba; complex numbers as pairs of reals."""
    import numba
    import numpy as np

    numba.set_num_threads(threads)

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def product(v: Any, z: Any, w: Any, out: Any) -> None:
        rows, poles = v.shape[0], v.shape[1]
        nodes = z.shape[0]
        for row in numba.prange(rows):
            real = np.zeros(nodes, np.float32)
            imag = np.zeros(nodes, np.float32)
            for n in range(poles):
                w_re, w_im = w[row, n, 0], w[row, n, 1]
                v_re, v_im = v[row, n, 0], v[row, n, 1]
                vw = v_im * w_im
                for k in range(nodes):
                    y = z[k, 1]
                    a = z[k, 0] - w_re
                    p = a * a - (y - w_im) * (y + w_im)
                    q = np.float32(2) * a * y
                    r = np.float32(2) / (p * p + q * q)
                    s = a * v_re - vw
                    t = y * v_re
                    real[k] += (s * p + t * q) * r
                    imag[k] += (t * p - s * q) * r
            for k in range(nodes):
                out[row, k, 0] = real[k]
                out[row, k, 1] = imag[k]

    def call(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
        out = torch.empty(v.shape[0], z.shape[-1], dtype=v.dtype)
        product(*(torch.view_as_real(x).numpy() for x in (v, z, w, out)))
        return out

    return call


def dplr_by_products(
    Lambda: Tensor, P: Tensor, Q: Tensor, B: Tensor, C: Tensor, step: Tensor, L: int
) -> Tensor:
    """The kernel by four general Cauchy products of our own and Woodbury's identity, as an S4 layer would have it."""
    # Nyquist's node, where tan is infinite, stands in for itself by the largest that float32 tells from it.
    phi = torch.pi * torch.arange(L // 2 + 1, dtype=torch.float64) / L
    tangent = torch.tan(phi)
    z = (2j * tangent / step[:, None].double()).to(torch.complex64)
    k = [[ssmgen.cauchy_mult(left.conj() * right, z, Lambda) for right in (B, P)] for left in (C, Q)]
    factor = (1 + 1j * tangent).to(torch.complex64)
    return torch.fft.irfft(factor * (k[0][0] - k[0][1] * k[1][0] / (1 + k[1][1])), n=L)


def in_turns(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """The median time of each, in ms."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * median(each) for name, each in times.items()}


def main(
    dim: Annotated[int, typer.Option(help="rows H")] = 512,
    poles: Annotated[int, typer.Option(help="pole pairs")] = 32,
    seqlen: Annotated[int, typer.Option(help="length L; the nodes are L/2 + 1")] = 8192,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="runs of each")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare in complex64; the naive broadcast, which takes seconds, runs three times."""
    warnings.simplefilter("ignore", UntunedWarning)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    v, B, C, P = (torch.randn(dim, poles, dtype=torch.complex64) for _ in range(4))
    P = P / 2
    imaginary = torch.pi * torch.arange(poles).expand(dim, poles)
    Lambda = torch.complex(torch.full((dim, poles), -0.5), imaginary.float())
    step = torch.exp(torch.empty(dim).uniform_(-6.9, -2.3))
    # All but Nyquist's node, which in floating point is nothing but huge.
    y = 2 * torch.tan(torch.pi * torch.arange(seqlen // 2 + 1, dtype=torch.float64) / seqlen)
    y[-1] = y[-2]
    y = (y / 0.01).float()
    z = torch.complex(torch.zeros_like(y), y)

    products: dict[str, Call] = {
        "general": lambda: ssmgen.cauchy_mult(v, z, Lambda),
        "imaginary": lambda: ssmgen.cauchy_mult(v, y, Lambda, nodes="imaginary"),
    }
    if find_spec("numba"):
        numba_product = by_numba(threads)
        products["numba"] = lambda: numba_product(v, z, Lambda)
    kernels: dict[str, Call] = {
        "fused": lambda: ssmgen.dplr_kernel(Lambda, P, P, B, C, step, seqlen, pairs=True),
        "by products": lambda: dplr_by_products(Lambda, P, P, B, C, step, seqlen),
    }
    times = {
        "cauchy_mult": in_turns(products, rounds)
        | in_turns({"torch": lambda: naive(v, z, Lambda)} | {"general": products["general"]}, 3)
        if False
        else in_turns(products, rounds),
    }
    times["naive"] = in_turns({"torch": lambda: naive(v, z, Lambda), **products}, 3)
    times["dplr_kernel"] = in_turns(kernels, rounds)
    wanted = reference.cauchy_mult(v[:8], z, Lambda[:8], dtype=torch.complex128)
    for name, call in products.items():
        found = call()[:8]
        print(name, float((found - wanted).abs().max() / wanted.abs().max()))
    print(json.dumps(times, indent=1) if as_json else times)


if __name__ == "__main__":
    typer.run(main)
