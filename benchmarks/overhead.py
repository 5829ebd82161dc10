"""What a call of an op costs beside its kernel, on the CPU: a call on a tiny problem, less the C call alone.

    python benchmarks/overhead.py

The C call is the foreign function with its arguments ready. Everything is timed in turns, in batches of calls.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen import dispatch
from ssmgen.errors import UntunedWarning
from ssmgen.targets.cpu import CpuKernel

Op = Callable[..., Tensor]
Run = Callable[[], object]


def problems() -> dict[str, tuple[Op, list[Tensor]]]:
    """Tiny problems: an op and its tensors."""
    torch.manual_seed(0)
    batch, dim, seqlen, d_state = 1, 4, 4, 4
    u, delta = torch.randn(batch, dim, seqlen), torch.rand(batch, dim, seqlen)
    A, rows = -torch.rand(dim, d_state), torch.randn(batch, d_state, seqlen)
    by_time = rows.transpose(1, 2).contiguous().transpose(1, 2)
    v, w = torch.randn(2, dim, d_state, dtype=torch.complex64)
    step = [u[..., 0].clone(), delta[..., 0].clone(), A, rows[..., 0].clone(), rows[..., 1].clone()]
    z = 1j * torch.linspace(0.0, 1.0, seqlen)
    return {
        "selective_scan, B and C as a projection gives them": (
            ssmgen.selective_scan,
            [u, delta, A, by_time, by_time],
        ),
        "selective_scan, B and C to be transposed": (ssmgen.selective_scan, [u, delta, A, rows, rows]),
        "selective_state_update": (ssmgen.selective_state_update, [torch.zeros(A.shape)[None], *step]),
        "linear_scan": (ssmgen.linear_scan, [delta, u]),
        "cauchy_mult": (ssmgen.cauchy_mult, [v, z, w - 1]),
    }


@contextmanager
def recorded(calls: list[tuple[Callable[[bytes], None], bytes]]) -> Iterator[None]:
    """In which every foreign call of a kernel that is bound now is noted, with its arguments."""
    bind = CpuKernel.bind

    def note(function: Any) -> Callable[[bytes], None]:
        def call(arguments: bytes) -> None:
            calls.append((function, arguments))
            function(arguments)

        return call

    def noting(kernel: CpuKernel, scalars: dict[str, int]) -> Any:
        kernel.functions = [note(function) for function in kernel.functions]
        return bind(kernel, scalars)

    dispatch.forget()
    with patch.object(CpuKernel, "bind", noting):
        yield
    dispatch.forget()


def runs(op: Op, tensors: list[Tensor]) -> Iterator[tuple[str, Run]]:
    """The calls to be timed, by name."""
    calls: list[tuple[Callable[[bytes], None], bytes]] = []
    with recorded(calls):
        kept = op(*tensors, target="cpu")
    ((function, arguments),) = calls
    # What the arguments point to must live as long as they are used.
    yield "kernel", lambda _kept=(kept, tensors): function(arguments)
    yield "call", lambda: op(*tensors)
    if op is ssmgen.selective_state_update:
        return  # it has no gradients
    leaves = [x.detach().requires_grad_() for x in tensors]
    yield "forward", lambda: op(*leaves)
    gradient = torch.ones_like(kept)
    yield "both", lambda: torch.autograd.grad(op(*leaves), leaves, gradient)


def timed(every: dict[str, Run], rounds: int, batch: int) -> dict[str, list[float]]:
    """Microseconds of each, in turns."""
    found: dict[str, list[float]] = {name: [] for name in every}
    for run in every.values():
        run()
    for _ in range(rounds):
        for name, run in every.items():
            start = time.perf_counter()
            for _ in range(batch):
                run()
            found[name].append(1e6 * (time.perf_counter() - start) / batch)
    return found


def main(
    rounds: Annotated[int, typer.Option(help="batches of calls of each kind")] = 500,
    batch: Annotated[int, typer.Option(help="calls in a batch")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Time each op's calls: without gradients, forward with gradients, forward and backward."""
    warnings.simplefilter("ignore", UntunedWarning)
    torch.set_num_threads(1)
    result = {}
    for name, (op, tensors) in problems().items():
        samples = timed(dict(runs(op, tensors)), rounds, batch)
        middle = {kind: median(values) for kind, values in samples.items()}
        least = {kind: min(values) for kind, values in samples.items()}
        result[name] = {
            "kernel": middle["kernel"],
            "overhead": middle["call"] - middle["kernel"],
            "least_overhead": least["call"] - least["kernel"],
        }
        if "both" in middle:
            result[name]["with_gradients"] = middle["forward"] - middle["kernel"]
            result[name]["forward_and_backward"] = middle["both"]
    if as_json:
        print(json.dumps(result, indent=2))
        return
    columns = ("kernel", "overhead", "least_overhead", "with_gradients", "forward_and_backward")
    width = max(map(len, result))
    print(" " * width, *(f"{column.replace('_', ' '):>20}" for column in columns), "  (us)")
    for name, row in result.items():
        print(f"{name:{width}}", *(f"{row[column]:20.1f}" for column in columns if column in row))


if __name__ == "__main__":
    typer.run(main)
