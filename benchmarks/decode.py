"""Time of a decode step on the CPU, against the same step in eager PyTorch.

    python benchmarks/decode.py

In one run, in turns, medians. The eager step is what mamba-ssm's reference does: a handful of operations on the state,
which it overwrites.
"""

from __future__ import annotations

import json
import time
import warnings
from statistics import median
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
import typer
from torch import Tensor

import ssmgen
from ssmgen.errors import UntunedWarning


def eager(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor,
    dt_bias: Tensor,
    dt_softplus: bool,
) -> Tensor:
    """The step in PyTorch; shapes as in `ssmgen.selective_state_update`, without heads."""
    dt = F.softplus(dt + dt_bias) if dt_softplus else dt + dt_bias
    state.copy_(state * torch.exp(dt[..., None] * A) + dt[..., None] * B[:, None] * x[..., None])
    out = torch.einsum("bdn,bn->bd", state.to(C.dtype), C) + x * D
    return out * F.silu(z)


def main(
    batch: Annotated[int, typer.Option(help="sequences")] = 8,
    dim: Annotated[int, typer.Option(help="channels")] = 1536,
    d_state: Annotated[int, typer.Option(help="states")] = 16,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="runs of each")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare a step with D, z, a bias and softplus, in float32, with eager PyTorch."""
    warnings.simplefilter("ignore", UntunedWarning)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, dt, z = (torch.randn(batch, dim) for _ in range(3))
    A = -torch.arange(1.0, d_state + 1).repeat(dim, 1)
    B, C = (torch.randn(batch, d_state) for _ in range(2))
    call = (x, dt, A, B, C, torch.randn(dim), z, torch.rand(dim) - 4.0, True)
    first = torch.randn(batch, dim, d_state)
    steps = {"eager": eager, "ours": ssmgen.selective_state_update}
    states = {name: first.clone() for name in steps}
    with torch.inference_mode():
        outputs = {name: step(states[name], *call) for name, step in steps.items()}
        difference = max(
            float(torch.linalg.vector_norm(a["ours"] - a["eager"]) / torch.linalg.vector_norm(a["eager"]))
            for a in (outputs, states)
        )
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                start = time.perf_counter()
                step(states[name], *call)
                times[name].append(time.perf_counter() - start)
    result = {
        "sizes": (batch, dim, d_state),
        "threads": threads,
        "seconds": {name: median(samples) for name, samples in times.items()},
        "fastest": {name: min(samples) for name, samples in times.items()},
        "times_faster": median(times["eager"]) / median(times["ours"]),
        "difference": difference,
    }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    for name, samples in times.items():
        print(f"{name}: {1e6 * median(samples):.0f} us (fastest {1e6 * min(samples):.0f})")
    print(f"{result['times_faster']:.1f} times faster; relative difference {difference:.1e}")


if __name__ == "__main__":
    typer.run(main)
