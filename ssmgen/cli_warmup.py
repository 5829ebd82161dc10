"""`ssmgen warmup`: compile ahead, so that processes after this one only load."""

from __future__ import annotations

from typing import Annotated

import typer

from ssmgen.cli_options import AsJson, Model, Shapes, TargetName
from ssmgen.cli_request import TUNED_BY_DEFAULT, Given, takes_problem, target_of, wanted_of

__all__ = ["warmup"]


@takes_problem
def warmup(
    ops: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OP]...", help="Ops to compile.", show_default="those that tune takes"),
    ] = None,
    *,
    given: Given,
    shapes: Shapes = None,
    model: Model = None,
    target: TargetName = None,
    training: Annotated[
        bool, typer.Option("--training", help="Kernels of calls with gradients, too.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Most kernels to compile at a time.", show_default="the cores"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compile what calls will run, so that processes after this one only load it: to fill an image's cache, say.

    A server that is to compile and choose nothing calls ssmgen.warmup and ssmgen.freeze when it starts.
    """
    from ssmgen.report.prepared import prepared_data, print_prepared, shown
    from ssmgen.report.terminal import errors, output, print_json, reported
    from ssmgen.warming import warmup as prepare

    with reported(as_json):
        chosen = target_of(target)
        problems = wanted_of(
            given, chosen, ops, TUNED_BY_DEFAULT, training=training, shapes=shapes, model=model
        )
        with shown(None if as_json else errors()) as progress:
            found = prepare(problems, target=chosen.name, jobs=jobs, progress=progress)
        if as_json:
            print_json({"prepared": [prepared_data(item) for item in found]})
        else:
            print_prepared(found, output())
