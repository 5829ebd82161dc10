"""What a call of an op costs beside its kernel, on the CPU: calls on tiny problems, less the C call alone.

    python benchmarks/overhead.py

The C call is the foreign function with its arguments ready, and, of dplr_kernel, PyTorch's transform of what it gives.
Everything is timed in turns, in batches of calls, by several processes one after another: each has its own luck with
memory and neighbours. Of each process's medians the table has the least, and --json all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Annotated, Any, NamedTuple
from unittest.mock import patch

import torch
import typer
from torch import Tensor

import ssmgen
from ssmgen import dispatch
from ssmgen.errors import UntunedWarning
from ssmgen.targets import Runner
from ssmgen.targets.cpu import CpuKernel

Run = Callable[[], object]
COLUMNS = {
    "raw": "a launch, unchecked",
    "launch": "a launch",
    "frozen": "a call of a frozen process",
    "call": "a call",
    "dispatcher": "through torch.ops",
    "forward": "a call that autograd follows",
}


class Case(NamedTuple):
    """A tiny problem: an op, its tensors, its options, and what PyTorch makes of the kernel's output."""

    op: Callable[..., Tensor]
    tensors: list[Tensor]
    options: dict[str, Any] = {}
    finish: Run = lambda: None


def cases() -> dict[str, Case]:
    """Problems whose kernels take about a microsecond."""
    torch.manual_seed(0)
    batch, dim, seqlen, d_state = 1, 4, 4, 4
    u, delta = torch.randn(batch, dim, seqlen), torch.rand(batch, dim, seqlen)
    A, B, C = -torch.rand(dim, d_state), *torch.randn(2, batch, d_state, seqlen)
    by_time = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (B, C)]
    v, w, P, Q, Bs, Cs = torch.randn(6, dim, d_state, dtype=torch.complex64)
    z, spectrum = 1j * torch.linspace(0.0, 1.0, seqlen), torch.randn(dim, 3, dtype=torch.complex64)
    step = [torch.zeros(batch, dim, d_state), u[..., 0].clone(), delta[..., 0].clone(), A]
    step += [B[..., 0].clone(), C[..., 0].clone()]
    dplr = [w - 5, P, Q, Bs, Cs, torch.rand(dim) + 0.1]
    return {
        "linear_scan": Case(ssmgen.linear_scan, [delta, u]),
        "cauchy_mult": Case(ssmgen.cauchy_mult, [v, z, w - 5]),
        "log_vandermonde": Case(ssmgen.log_vandermonde, [v, w - 5], {"L": seqlen}),
        "dplr_kernel": Case(
            ssmgen.dplr_kernel, dplr, {"L": seqlen}, lambda: torch.fft.irfft(spectrum, n=seqlen)
        ),
        "selective_state_update": Case(ssmgen.selective_state_update, step),
        "selective_scan, B and C as a projection gives them": Case(
            ssmgen.selective_scan, [u, delta, A, *by_time]
        ),
        "selective_scan, B and C to be transposed": Case(ssmgen.selective_scan, [u, delta, A, B, C]),
    }


def c_call(call: Run) -> Run:
    """The one foreign call that a call of an op makes, with its arguments ready."""
    calls: list[tuple[Callable[[bytes], None], bytes]] = []
    kept: list[Any] = []  # what the arguments point to must live as long as they are used
    bind = CpuKernel.bind

    def note(function: Any) -> Callable[[bytes], None]:
        def noted(arguments: bytes) -> None:
            calls.append((function, arguments))
            function(arguments)

        return noted

    def noting(kernel: CpuKernel, scalars: dict[str, int]) -> Runner:
        kernel.functions = [note(function) for function in kernel.functions]
        run = bind(kernel, scalars)

        def keeping(tensors: Sequence[Tensor]) -> None:
            kept.append(tensors)
            run(tensors)

        return keeping

    def keep_workspace(*sizes: Any, **form: Any) -> Tensor:
        kept.append(empty(*sizes, **form))
        return kept[-1]

    empty = torch.empty
    dispatch.forget()
    with patch.object(CpuKernel, "bind", noting), patch.object(torch, "empty", keep_workspace):
        call()
    dispatch.forget()
    ((function, arguments),) = calls
    return lambda _kept=kept: function(arguments)


def runs(case: Case) -> Iterator[tuple[str, Run]]:
    """The calls to be timed, by name."""
    op, tensors, options, finish = case
    kernel = c_call(lambda: op(*tensors, **options, target="cpu"))

    def bare() -> None:
        kernel()
        finish()

    def frozen() -> Tensor:
        return op(*tensors, **options)

    registered = getattr(torch.ops.ssmgen, op.__name__).default
    raw = ssmgen.launcher(op, *tensors, **options, check=False)
    launch = ssmgen.launcher(op, *tensors, **options)
    yield "bare", bare
    yield "raw", lambda: raw(*tensors)
    yield "launch", lambda: launch(*tensors)
    yield "frozen", frozen
    yield "call", lambda: op(*tensors, **options)
    yield "dispatcher", lambda: registered(*tensors, **options)
    if op is ssmgen.selective_state_update:
        return  # it has no gradients
    leaves = [x.detach().requires_grad_() for x in tensors]
    gradient = torch.ones_like(op(*tensors, **options))
    yield "forward", lambda: op(*leaves, **options)
    yield "both", lambda: torch.autograd.grad(op(*leaves, **options), leaves, gradient)


def measured(case: Case, rounds: int, batch: int) -> dict[str, float]:
    """Median microseconds of each call, timed in turns."""
    every = dict(runs(case))
    found: dict[str, list[float]] = {name: [] for name in every}
    for run in every.values():
        run()
    for _ in range(rounds):
        for name, run in every.items():
            if name == "frozen":
                ssmgen.freeze()
            start = time.perf_counter()
            for _ in range(batch):
                run()
            found[name].append(1e6 * (time.perf_counter() - start) / batch)
            ssmgen.unfreeze()
    return {name: median(values) for name, values in found.items()}


def measured_here(rounds: int, batch: int) -> dict[str, dict[str, float]]:
    """The medians of every case, by this process."""
    warnings.simplefilter("ignore", UntunedWarning)
    return {name: measured(case, rounds, batch) for name, case in cases().items()}


def measured_there(processes: int, rounds: int, batch: int) -> list[dict[str, dict[str, float]]]:
    """The same by other processes, one after another."""
    command = [sys.executable, __file__, "--json", "--processes", "0"]
    command += ["--threads", str(torch.get_num_threads()), "--rounds", str(rounds), "--batch", str(batch)]
    found = []
    for _ in range(processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout))
    return found


def main(
    processes: Annotated[int, typer.Option(help="processes that measure; 0 for this one")] = 5,
    threads: Annotated[int, typer.Option(help="CPU threads that kernels may use")] = 1,
    rounds: Annotated[int, typer.Option(help="batches of calls of each kind")] = 200,
    batch: Annotated[int, typer.Option(help="calls in a batch")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Time each op's calls and launches, and what they take beside the C call."""
    torch.set_num_threads(threads)
    if processes == 0:
        print(json.dumps(measured_here(rounds, batch), indent=2))
        return
    found = measured_there(processes, rounds, batch)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print("Microseconds beside the C call: the least, and the greatest, of the medians of each process.")
    for name, rows in ((name, [each[name] for each in found]) for name in found[0]):
        bare = [row["bare"] for row in rows]
        print(f"\n{name}: the C call {min(bare):.1f} to {max(bare):.1f}")
        for column, meaning in COLUMNS.items():
            if column in rows[0]:
                beside = [row[column] - row["bare"] for row in rows]
                print(f"  {meaning:30} {min(beside):6.1f} {max(beside):6.1f}")
        if "both" in rows[0]:
            both = [row["both"] for row in rows]
            print(f"  {'forward and backward, in all':30} {min(both):6.1f} {max(both):6.1f}")


if __name__ == "__main__":
    typer.run(main)
