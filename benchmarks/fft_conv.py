"""Where the plans of `ssmgen.fft_conv` cross on this machine, and what the length of its transforms is worth.

    python benchmarks/fft_conv.py

In one run, in turns, medians. First a direct sum against transforms, by taps, in inference and in training; then
lengths of transforms, for kernels as long as the input: twice the input, as S4 pads, the least with no prime factor
above 5, and ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen.ops.fft_conv import _transform_length

Conv = Callable[[Tensor, Tensor], Tensor]


def seconds(conv: Conv, u: Tensor, k: Tensor, trains: bool) -> float:
    """Of one call, with the gradients of u and k if it trains."""
    u, k = (x.detach().requires_grad_(trains) for x in (u, k))
    gradient = torch.ones_like(u)
    start = time.perf_counter()
    y = conv(u, k)
    if trains:
        y.backward(gradient)
    return time.perf_counter() - start


def compare(convs: dict[str, Conv], u: Tensor, k: Tensor, rounds: int, *, trains: bool) -> dict[str, float]:
    """The median of each, after one run of each to warm up."""
    times: dict[str, list[float]] = {name: [] for name in convs}
    for _ in range(rounds + 1):
        for name, conv in convs.items():
            times[name].append(seconds(conv, u, k, trains))
    return {name: median(samples[1:]) for name, samples in times.items()}


def with_length(n: int, u: Tensor, k: Tensor) -> Tensor:
    """A causal convolution by transforms of that length."""
    return torch.fft.irfft(torch.fft.rfft(u, n=n) * torch.fft.rfft(k, n=n), n=n)[..., : u.shape[-1]]


def smooth(n: int) -> int:
    """The least even length with no prime factor above 5."""
    n += n % 2
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 2


def main(
    batch: Annotated[int, typer.Option(help="sequences")] = 8,
    dim: Annotated[int, typer.Option(help="channels")] = 256,
    seqlen: Annotated[int, typer.Option(help="steps, where taps vary")] = 1024,
    taps: Annotated[list[int], typer.Option(help="taps; repeatable")] = [1, 2, 4, 8, 16],  # noqa: B006
    lengths: Annotated[list[int], typer.Option(help="steps, where transforms vary; repeatable")] = [  # noqa: B006
        *(784, 1000, 1021, 1024, 2500, 4097, 16000, 16384)
    ],
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="runs of each")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare the plans, and lengths of transforms, in float32."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    plans: dict[str, Conv] = {
        "direct": partial(ssmgen.fft_conv, method="direct"),
        "fft": partial(ssmgen.fft_conv, method="fft"),
    }
    by_taps, by_length = [], []
    u = torch.randn(batch, dim, seqlen)
    for trains in (False, True):
        for count in taps:
            found = compare(plans, u, torch.randn(dim, count), rounds, trains=trains)
            row = {"trains": trains, "taps": count, "seconds": found, "ratio": found["fft"] / found["direct"]}
            by_taps.append(row)
            print(
                f"{'training' if trains else 'inference'}, {count} taps: direct {1e3 * found['direct']:.2f} ms, "
                f"fft {1e3 * found['fft']:.2f} ms, {row['ratio']:.2f} times",
                file=sys.stderr if as_json else sys.stdout,
                flush=True,
            )
    for length in lengths:
        least = 2 * length - 1
        chosen = {"twice": 2 * length, "smooth": smooth(least), "ours": _transform_length(least)}
        convs: dict[str, Conv] = {name: partial(with_length, n) for name, n in chosen.items()}
        found = compare(convs, torch.randn(4, 64, length), torch.randn(64, length), rounds, trains=False)
        ratios = {name: found["twice"] / time for name, time in found.items()}
        by_length.append({"length": length, "transforms": chosen, "seconds": found, "ratios": ratios})
        print(
            f"{length} steps: "
            + ", ".join(f"{name} {chosen[name]} {1e3 * found[name]:.2f} ms" for name in chosen)
            + f"; {ratios['ours']:.2f} times",
            file=sys.stderr if as_json else sys.stdout,
            flush=True,
        )
    if as_json:
        print(json.dumps({"threads": threads, "taps": by_taps, "lengths": by_length}, indent=2))


if __name__ == "__main__":
    typer.run(main)
