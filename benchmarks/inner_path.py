"""What Mamba's inner path takes whole and in pieces that the caches hold: time and memory.

    python benchmarks/inner_path.py --seqlen 2048 --dtype bf16

In turns in one run, medians, at the sizes of mamba-130m: prefill of one layer, and training of several, all forward
and then all back. Memory is the most that PyTorch has allocated at a time, inputs not counted, in multiples of one
(batch, dim, seqlen) tensor, for each layer.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.profiler import profile

from ssmgen.dtypes import dtype as dtype_of
from ssmgen.nn import Mamba
from ssmgen.nn.mamba import _select, rates, taps
from ssmgen.ops.inner_path import InnerPath


def inner_path(kind: torch.dtype, width: int) -> InnerPath:
    """That of a new block, whose tensors are leaves."""
    block = Mamba(width, dtype=kind)
    conv, A = taps(block.conv1d).detach(), rates(block.A_log).detach()
    weights = (block.x_proj.weight, block.dt_proj.weight)
    return InnerPath(
        conv.contiguous().requires_grad_(),
        block.conv1d.bias,
        A.requires_grad_(),
        block.D,
        block.dt_proj.bias,
        _select,
        weights,
        recomputes=True,
    )


def training(paths: list[InnerPath], xz: Tensor, gradient: Tensor) -> None:
    """The gradients of everything in each."""
    calls = []
    for path in paths:
        x = xz.detach().requires_grad_()
        calls.append((path.run(x)[0], [x, *(y for y in (*path[:5], *path.weights) if isinstance(y, Tensor))]))
    while calls:
        y, tensors = calls.pop()
        torch.autograd.grad(y, tensors, gradient)
        del y


def prefill(path: InnerPath, xz: Tensor) -> Tensor:
    """The outputs alone."""
    with torch.no_grad():
        return path.run(xz)[0]


def times(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The median of each, in turns until that many seconds are over, after one run of each to warm up."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - start)
    return {name: median(samples) for name, samples in found.items()}


def peak(call: Callable[[], object]) -> int:
    """Bytes."""
    with profile(profile_memory=True) as recorded:
        call()
    events = recorded.profiler.kineto_results.events()  # type: ignore[union-attr]
    allocations = sorted((x.start_ns(), x.nbytes()) for x in events if x.name() == "[memory]")
    return max(itertools.accumulate((size for _, size in allocations), initial=0))


def compare(paths: list[InnerPath], xz: Tensor, gradient: Tensor, seconds: float) -> None:
    """Print what whole sequences and pieces take."""
    whole = [path._replace(is_split=False) for path in paths]
    ways = {"whole": whole, "pieces": paths}
    for what, count, calls in (
        ("prefill", 1, {name: partial(prefill, way[0], xz) for name, way in ways.items()}),
        ("training", len(paths), {name: partial(training, way, xz, gradient) for name, way in ways.items()}),
    ):
        took = {name: each / count for name, each in times(calls, seconds).items()}
        memory = {name: peak(call) / count / (xz.nbytes / 2) for name, call in calls.items()}
        line = ", ".join(f"{name} {1e3 * took[name]:.1f} ms and {memory[name]:.1f} tensors" for name in calls)
        print(f"  {what}: {line}; {took['pieces'] / took['whole']:.2f} of the time", flush=True)


def main(
    batch: Annotated[int, typer.Option(help="sequences")] = 1,
    width: Annotated[int, typer.Option(help="d_model; channels are twice as many")] = 768,
    seqlen: Annotated[list[int], typer.Option(help="steps; repeatable")] = [1024, 2048],  # noqa: B006
    dtype: Annotated[list[str], typer.Option(help="fp32, bf16, ...; repeatable")] = ["fp32", "bf16"],  # noqa: B006
    layers: Annotated[int, typer.Option(help="in training")] = 8,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    seconds: Annotated[float, typer.Option(help="for each comparison")] = 2,
) -> None:
    """Compare whole sequences and pieces, in prefill and in training."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    for name, steps in itertools.product(dtype, seqlen):
        kind = dtype_of(name).torch
        paths = [inner_path(kind, width) for _ in range(layers)]
        xz = torch.randn(batch, steps, 4 * width, dtype=kind).mT
        gradient = torch.randn(batch, steps, 2 * width, dtype=kind).mT
        size = paths[0].size_of_pieces(xz)
        print(
            f"{name}, {batch} x {steps} steps, pieces of {f'{size.rows} x {size.steps}' if size else 'all of them'}"
        )
        compare(paths, xz, gradient, seconds)


if __name__ == "__main__":
    typer.run(main)
