"""Time and memory of training the selective scan on the CPU, against autograd through a PyTorch loop over time.

    python benchmarks/training.py

Forward and backward with gradients of every tensor, in one run, in turns; then the peak memory of each in a process of
its own. The loop unbinds time, which is much faster than slicing it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen.errors import UntunedWarning

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def loop(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence, one step after another; shapes as in `ssmgen.selective_scan`, B and C with time last."""
    h = u.new_zeros(u.shape[0], *A.shape)
    outputs = []
    for u_t, delta_t, B_t, C_t in zip(u.unbind(2), delta.unbind(2), B.unbind(2), C.unbind(2), strict=True):
        h = torch.exp(delta_t[..., None] * A) * h + (delta_t * u_t)[..., None] * B_t[:, None]
        outputs.append((h * C_t[:, None]).sum(-1))
    return torch.stack(outputs, 2)


def ours(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The same with generated kernels."""
    return ssmgen.selective_scan(u, delta, A, B, C, target="cpu")


SCANS: dict[str, Scan] = {"loop": loop, "ours": ours}


def operands(batch: int, dim: int, seqlen: int, d_state: int) -> tuple[list[Tensor], Tensor]:
    """Inputs as Mamba initialises them, and the gradient of the output."""
    torch.manual_seed(0)
    inputs = [
        torch.randn(batch, dim, seqlen),
        torch.empty(batch, dim, seqlen).uniform_(1e-3, 1e-1),
        -torch.arange(1.0, d_state + 1).repeat(dim, 1),
        torch.randn(batch, d_state, seqlen),
        torch.randn(batch, d_state, seqlen),
    ]
    return inputs, torch.randn(batch, dim, seqlen)


def step(scan: Scan, inputs: list[Tensor], gradient: Tensor) -> tuple[float, list[Tensor]]:
    """Seconds of forward and backward, and the gradients."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    start = time.perf_counter()
    scan(*leaves).backward(gradient)
    seconds = time.perf_counter() - start
    return seconds, [x.grad for x in leaves if x.grad is not None]


def status_mib(name: str) -> float:
    """An entry of this process's memory status, which Linux gives in KiB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024


def growth_mib(name: str, sizes: tuple[int, int, int, int]) -> float:
    """What one step adds to this process's memory at its peak, beyond its operands and what a small step loads."""
    step(SCANS[name], *operands(1, 32, 64, sizes[3]))
    inputs, gradient = operands(*sizes)
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # the peak so far, also that of whoever started us, is forgotten
    before = status_mib("VmRSS")
    step(SCANS[name], inputs, gradient)
    return status_mib("VmHWM") - before


def main(
    batch: Annotated[int, typer.Option(help="sequences")] = 1,
    dim: Annotated[int, typer.Option(help="channels")] = 1536,
    seqlen: Annotated[int, typer.Option(help="steps")] = 2048,
    d_state: Annotated[int, typer.Option(help="states")] = 16,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="runs of the loop; ours runs five times in each")] = 7,
    memory_of: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare a training step with a PyTorch loop: time in one process, memory in one process each."""
    warnings.simplefilter("ignore", UntunedWarning)
    torch.set_num_threads(threads)
    sizes = (batch, dim, seqlen, d_state)
    if memory_of is not None:
        print(growth_mib(memory_of, sizes))
        return
    inputs, gradient = operands(*sizes)
    wanted, found = (step(SCANS[name], inputs, gradient)[1] for name in ("loop", "ours"))
    difference = max(
        float(torch.linalg.vector_norm(x - y) / torch.linalg.vector_norm(y))
        for x, y in zip(found, wanted, strict=True)
    )
    times: dict[str, list[float]] = {"loop": [], "ours": []}
    for _ in range(rounds):
        for name, repeats in (("loop", 1), ("ours", 5)):
            times[name] += [step(SCANS[name], inputs, gradient)[0] for _ in range(repeats)]
    flags = [
        f"--{flag}={value}" for flag, value in zip(("batch", "dim", "seqlen", "d-state"), sizes, strict=True)
    ]
    memory = {
        name: float(
            subprocess.run(
                [sys.executable, __file__, f"--memory-of={name}", f"--threads={threads}", *flags],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout
        )
        for name in SCANS
    }
    result = {
        "sizes": sizes,
        "threads": threads,
        "seconds": {name: median(samples) for name, samples in times.items()},
        "range": {name: (min(samples), max(samples)) for name, samples in times.items()},
        "times_faster": median(times["loop"]) / median(times["ours"]),
        "mib": memory,
        "times_smaller": memory["loop"] / memory["ours"],
        "difference": difference,
    }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    for name, samples in times.items():
        print(
            f"{name}: {1e3 * median(samples):.1f} ms ({1e3 * min(samples):.1f} to {1e3 * max(samples):.1f}), "
            f"{memory[name]:.0f} MiB at the peak"
        )
    print(f"{result['times_faster']:.1f} times faster, {result['times_smaller']:.1f} times less memory")
    print(f"largest relative difference of a gradient: {difference:.1e}")


if __name__ == "__main__":
    typer.run(main)
