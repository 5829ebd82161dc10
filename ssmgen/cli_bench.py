"""The command `ssmgen bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmgen.cli_options import AsJson, TargetName
from ssmgen.cli_request import TUNED_BY_DEFAULT, Given, problems_of, request_of, takes_problem, target_of

__all__ = ["bench"]

_SWEPT_BY_DEFAULT = "selective_scan"


@takes_problem
def bench(
    ops: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OP]...",
            help="Ops to time.",
            show_default="the scans, the decode step and the Cauchy product; of a sweep selective_scan",
        ),
    ] = None,
    *,
    given: Given,
    target: TargetName = None,
    all_: Annotated[bool, typer.Option("--all", help="Time every op there is.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="The gradients alone.")] = False,
    training: Annotated[
        bool, typer.Option("--training", help="Forward and backward, as a step takes them.")
    ] = False,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this provider, and others given so.", show_default="all that are here"
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Vary seqlen (128 to 1M, with 64 channels unless --dim says more), dim, d_state or threads.",
            show_default="one size",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="CPU threads; of a sweep over them the most.", show_default="all cores"
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(min=1.0, metavar="SECONDS", help="Time for everything; what does not fit is left out."),
    ] = 300.0,
    patience: Annotated[
        float,
        typer.Option(
            min=1.0, metavar="SECONDS", help="Time for a provider to import, compile and run first."
        ),
    ] = 60.0,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a picture too: .svg, .png or .pdf.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time ops beside everything else that computes them here: PyTorch, its compiler, and other packages.

    Each provider runs in a process of its own, in turns with the others. Errors are against float64; "of limit" is
    against what this machine could do at most, which is measured too. Exits with 1 where no provider was timed.
    """
    from ssmgen.bench import LONG_SWEEP_DIM, Bench, device_of, jobs_of, machine_facts, providers_for
    from ssmgen.bench import provider as open_provider
    from ssmgen.errors import InvalidInputError
    from ssmgen.report.bench import print_bench
    from ssmgen.report.bench_data import bench_data
    from ssmgen.report.bench_plot import check_plot, draw_bench
    from ssmgen.report.bench_progress import bench_watched
    from ssmgen.report.terminal import errors, note, output, print_json, reported

    with reported(as_json):
        if plot is not None:
            check_plot(plot)
        chosen = target_of(target)
        device = device_of(chosen)
        kind = device.partition(":")[0]
        providers = [open_provider(name) for name in provider or providers_for(kind)]
        if training and backward:
            raise InvalidInputError("--training times the gradients too: leave --backward out.")
        mode = "training" if training else "backward" if backward else "forward"
        if sweep == "seqlen" and given["dim"] is None:
            given["dim"] = LONG_SWEEP_DIM
        request = request_of(given)
        problems = problems_of(request, _names(ops, all_, mode, sweep), chosen)
        jobs = [job for problem in problems for job in jobs_of(problem, mode, sweep, threads)]
        with (
            bench_watched(None if as_json else errors()) as observer,
            Bench(
                providers,
                open_provider,
                device=device,
                budget_seconds=budget,
                limit_seconds=patience,
                observer=observer,
            ) as run,
        ):
            result = run.run(jobs, sweep)
        if plot is not None and result.points:
            draw_bench(result, plot)
        if as_json:
            print_json(bench_data(result, machine_facts(chosen)))
        else:
            print_bench(result, output())
            if plot is not None and result.points:
                note(str(plot), "picture")
    if result.interrupted:
        raise typer.Exit(130)
    if not any(row.status == "done" for point in result.points for row in point.rows):
        raise typer.Exit(1)


def _names(ops: list[str] | None, all_: bool, mode: str, sweep: str | None) -> list[str]:
    from ssmgen.kernels import INTERFACES

    if ops and not all_:
        return ops
    if sweep and not all_:
        return [_SWEPT_BY_DEFAULT]
    found = INTERFACES if all_ else TUNED_BY_DEFAULT
    return [op for op in found if mode == "forward" or INTERFACES[op].has_gradients]
