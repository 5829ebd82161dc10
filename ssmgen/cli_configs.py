"""Commands for tuned configs that are there already: `verify`, `prune`, `merge` and `digest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmgen.cli_options import AsJson, TargetName
from ssmgen.cli_request import Given, problems_of, request_of, takes_problem, target_of

__all__ = ["digest", "merge", "prune", "verify"]

Folder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of tuned configs.", show_default="where tune saves"),
]


def verify(
    ops: Annotated[
        list[str] | None, typer.Argument(metavar="[OP]...", help="Ops to check.", show_default="all")
    ] = None,
    target: TargetName = None,
    budget: Annotated[float, typer.Option(min=1.0, metavar="SECONDS", help="Time for everything.")] = 50.0,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="RATIO", help="By how much times may differ from those that were recorded."
        ),
    ] = 0.2,
    as_json: AsJson = False,
) -> None:
    """Try the tuned configs of this device again: do they compile, are they right, are they as fast as recorded?

    Exits with 1 where one fails, or has lost its advantage over the default.
    """
    from ssmgen.kernels import interface
    from ssmgen.report.configs import print_rechecked, rechecked_data
    from ssmgen.report.terminal import output, print_json, reported
    from ssmgen.tuning.recheck import Rechecked, recheck

    found: list[Rechecked] = []
    with reported(as_json):
        for op in ops or ():
            interface(op)
        for item in recheck(
            target_of(target).name, ops=ops or (), budget_seconds=budget, tolerance=tolerance
        ):
            found.append(item)
            if not as_json:
                print_rechecked(item, output())
        if as_json:
            print_json({"configs": [rechecked_data(item) for item in found]})
        elif not found:
            typer.echo("No tuned config of this device is saved; make some with: ssmgen tune --d-state 16")
    if any(item.is_bad for item in found):
        raise typer.Exit(1)


def prune(
    folder: Folder = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove tuned configs that no call can use, because their templates have changed, and half-written files.

    What cannot be read stays, with a warning.
    """
    from ssmgen import store
    from ssmgen.report.configs import print_pruned, pruned_data
    from ssmgen.report.terminal import output, print_json, reported

    with reported(as_json):
        found = store.prune(folder, dry_run=dry_run)
        if as_json:
            print_json({"dry_run": dry_run, **pruned_data(found)})
        else:
            print_pruned(found, dry_run, output())


def merge(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Folders of tuned configs, or files of them.",
            show_default="the folder where tune saves",
        ),
    ] = None,
    into: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Merge tuned configs of other machines or folders into yours, or yours into another folder (--into).

    Of two for the same problem and device the measured one stays, then the one of this version's templates, the later,
    the faster; in whatever order they are merged.
    """
    from ssmgen import settings, store
    from ssmgen.errors import InvalidInputError
    from ssmgen.report.configs import merged_data, print_merged
    from ssmgen.report.terminal import output, print_json, reported

    with reported(as_json):
        if not sources and into is None:
            raise InvalidInputError(
                "name folders or files to merge into yours, or where yours go (--into DIR)."
            )
        found = store.merge(sources or [settings.user_config_dir()], into)
        if as_json:
            print_json({"configs": [merged_data(item) for item in found]})
        else:
            print_merged(found, output())


@takes_problem
def digest(
    ops: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OP]...", help="Ops that will be called.", show_default="whatever may be"),
    ] = None,
    *,
    given: Given,
    target: TargetName = None,
    training: Annotated[
        bool, typer.Option("--training", help="Kernels of calls with gradients, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print a line that is the same on two machines where calls would run the same kernels.

    Ranks of a distributed job compare it, here or by ssmgen.digest(). Without ops it is about any call.
    """
    from ssmgen.agreement import agreement
    from ssmgen.report.terminal import print_json, print_plain, reported

    with reported(as_json):
        request = request_of(given)
        chosen = target_of(target)
        problems = problems_of(request, ops, chosen) if ops else None
        found = agreement(problems, chosen, training)
        if as_json:
            print_json({"digest": found.digest, "line": str(found), "choices": list(found.choices)})
        else:
            print_plain(f"{found}\n")
