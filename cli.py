"""The `ssmgen` command: arguments in, rich output out; what happens between is the library's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssmgen.cli_bench import bench
from ssmgen.cli_configs import digest, few, merge, prune, verify
from ssmgen.cli_options import AsJson, Backward, Config, Model, Op, Shapes, Storage, TargetName
from ssmgen.cli_report import report
from ssmgen.cli_request import (
    TUNED_BY_DEFAULT,
    Given,
    problems_of,
    request_of,
    takes_problem,
    target_of,
    wanted_of,
)
from ssmgen.cli_warmup import warmup

if TYPE_CHECKING:
    from ssmgen.tuning import TuneResult

__all__ = ["app", "main"]

# Commands import what they need when they run: `--help` waits for neither Optuna nor a device.
app = typer.Typer(
    name="ssmgen",
    help="Generate, tune and read the kernels of state-space models: the scans of Mamba, the Cauchy kernels of S4.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MOST_STATES = 4.0  # as much as u, delta, z and out take together
_TRAINED_BY_DEFAULT = ("selective_scan", "linear_scan", "cauchy_mult")


app.command()(bench)
app.command()(warmup)
for command in (verify, report, prune, merge, digest, few):
    app.command(rich_help_panel="Tuned configs")(command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from ssmgen import __version__

        typer.echo(f"ssmgen {__version__}")
        raise typer.Exit


@app.command()
@takes_problem
def tune(
    ops: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OP]...",
            help="Ops to tune.",
            show_default="the scans, the decode step and the Cauchy product",
        ),
    ] = None,
    *,
    given: Given,
    shapes: Shapes = None,
    model: Model = None,
    target: TargetName = None,
    budget: Annotated[
        float, typer.Option(min=1.0, metavar="SECONDS", help="Time for everything, split over what is tuned.")
    ] = 110.0,
    max_trials: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Most configs to try for each op.", show_default="what time allows"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the search.")] = 0,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Time only the N configs that are predicted to be fastest (GPUs)."
        ),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            metavar="ERROR",
            help="Largest relative error of a config against float64, of outputs and gradients alike.",
            show_default="that of the dtype: 2e-6 in fp32, gradients 2e-5",
        ),
    ] = None,
    storage: Storage = None,
    all_: Annotated[bool, typer.Option("--all", help="Tune every op there is.")] = False,
    training: Annotated[
        bool, typer.Option("--training", help="Tune forward and backward together, for calls with gradients.")
    ] = False,
    most_states: Annotated[
        float,
        typer.Option(
            min=0.0, metavar="RATIO", help="Most memory of states that forward saves, in sizes of u."
        ),
    ] = _MOST_STATES,
    as_json: AsJson = False,
) -> None:
    """Tune kernels for this machine, within a budget, and say what was gained.

    Every config is verified against float64 before it may win. Ctrl-C keeps what was measured; a second run starts
    from it. For a GPU that is only named (--target h100) times are predicted from machine code instead.
    """
    from ssmgen.kernels import INTERFACES
    from ssmgen.report.progress import watched
    from ssmgen.report.terminal import errors, note, output, print_json, reported
    from ssmgen.report.tuned import print_results, result_data
    from ssmgen.tuning import Job, campaign, one_for_each_class, problems_in, training_pairs

    with reported(as_json):
        chosen = target_of(target)
        by_default = _TRAINED_BY_DEFAULT if training else TUNED_BY_DEFAULT
        wanted = wanted_of(
            given,
            chosen,
            list(INTERFACES) if all_ else ops,
            by_default,
            training=training,
            shapes=shapes,
            model=model,
        )
        asked: list[Job] = [
            training_pairs(problem, chosen, most_states) if trains else problem for problem, trains in wanted
        ]
        jobs = one_for_each_class(asked)
        if not as_json and len(jobs) < len(asked):
            note(
                f"{len(asked) - len(jobs)} of {len(asked)} problems are served by the config of another's class"
            )
        shown = [problem for job in jobs for problem in problems_in(job)]
        results: list[TuneResult] = []
        try:
            with watched(None if as_json else errors(), chosen.facts, shown, budget) as observer:
                results.extend(
                    campaign(
                        jobs,
                        chosen.name,
                        budget_seconds=budget,
                        max_trials=max_trials,
                        seed=seed,
                        top_k=top_k,
                        max_error=max_error,
                        storage=storage,
                        observer=observer,
                    )
                )
        finally:
            # An error in one problem takes nothing from those before it.
            if results and not as_json:
                print_results(results, output())
                note(
                    "ssmgen report makes a page of every trial, what failed, and which params matter", "more"
                )
        if as_json:
            print_json({"results": [result_data(result) for result in results]})
    if any(result.is_interrupted for result in results):
        raise typer.Exit(130)
    if any(result.best is None for result in results):
        raise typer.Exit(1)


@app.command()
@takes_problem
def show(
    op: Op,
    *,
    given: Given,
    target: TargetName = None,
    stage: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="source, ttir, ttgir, llir, ptx, sass or amdgcn of a GPU; source or asm of a CPU.",
        ),
    ] = "source",
    config: Config = None,
    backward: Backward = False,
) -> None:
    """Print the kernel that runs: highlighted on a terminal, plain in a pipe, down to the machine code."""
    from ssmgen.report.code import print_code
    from ssmgen.report.kernel import gradients_of, kernel_code
    from ssmgen.report.terminal import note, reported

    with reported():
        request = request_of(given)
        chosen = target_of(target)
        problem = problems_of(request, [op], chosen)[0]
        code = kernel_code(gradients_of(problem, chosen) if backward else problem, chosen, stage, config)
        note(code.reason, "config")
        print_code(code.text, code.language)


@app.command()
@takes_problem
def explain(
    op: Op,
    *,
    given: Given,
    target: TargetName = None,
    config: Config = None,
    backward: Backward = False,
    as_json: AsJson = False,
) -> None:
    """Say why a config serves a problem: its rivals, what each costs and is limited by, and what is left out.

    On a GPU, here or only named, rivals are compiled and their times predicted from machine code: a minute and a half
    at most.
    """
    from ssmgen.report.counting import counted
    from ssmgen.report.explained import explanation_data, print_explanation
    from ssmgen.report.explanation import explain as explained
    from ssmgen.report.kernel import gradients_of
    from ssmgen.report.terminal import errors, output, print_json, reported

    with reported(as_json):
        request = request_of(given)
        chosen = target_of(target)
        problem = problems_of(request, [op], chosen)[0]
        problem = gradients_of(problem, chosen) if backward else problem
        with counted(None if as_json else errors(), "rivals compiled") as observer:
            found = explained(problem, chosen, config, observer)
        if as_json:
            print_json(explanation_data(found))
        else:
            print_explanation(found, output())


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List ops, their kernels, and the tuned configs with their evidence."""
    from ssmgen.report.listing import Listing, print_listing
    from ssmgen.report.terminal import output, print_json, reported

    with reported(as_json):
        listing = Listing()
        if as_json:
            print_json(listing.to_data())
        else:
            print_listing(listing, output())


@app.command()
def doctor(
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Run kernels of every op and check them, in under a minute.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this machine can tune and run, what will be used and why, and what would help.

    Exits with 1 where no target with kernels works, or a check of the self-test fails.
    """
    from ssmgen.report.doctor import diagnose, print_diagnosis
    from ssmgen.report.terminal import errors, output, print_json, reported

    with reported(as_json):
        diagnosis = diagnose()
        if not as_json:
            print_diagnosis(diagnosis, output())
        data, is_well = diagnosis.to_data(), diagnosis.is_usable
        if self_test:
            from ssmgen.report.selftest import print_selftest, selftest

            tested = selftest(None if as_json else errors())
            data["self_test"], is_well = tested.to_data(), is_well and tested.is_passed
            if not as_json:
                print_selftest(tested, output())
        if as_json:
            print_json(data)
    if not is_well:
        raise typer.Exit(1)


@app.command()
@takes_problem
def export(
    op: Op,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to; a new or empty folder.", show_default=False)
    ],
    *,
    given: Given,
    target: TargetName = None,
    config: Config = None,
    backward: Backward = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a kernel as files that need no ssmgen: source, machine code, and a manifest of how to launch it."""
    from ssmgen.export import export_kernel, print_exported
    from ssmgen.report.kernel import gradients_of
    from ssmgen.report.terminal import note, output, print_json, reported

    with reported(as_json):
        request = request_of(given)
        chosen = target_of(target)
        problem = problems_of(request, [op], chosen)[0]
        asked = gradients_of(problem, chosen) if backward else problem
        exported = export_kernel(asked, chosen, out, config, force)
        if as_json:
            print_json(exported.to_data())
        else:
            note(exported.reason, "config")
            print_exported(exported, output())


def main() -> None:
    """Run the command line."""
    app()
