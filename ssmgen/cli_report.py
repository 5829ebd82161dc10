"""The command `ssmgen report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmgen.cli_options import AsJson

__all__ = ["report"]

_FILE = Path("ssmgen-report.html")


def report(
    ops: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OP]...", help="Ops to report on.", show_default="all"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the page goes.",
            show_default=f"{_FILE}; with --json no page",
        ),
    ] = None,
    optuna: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the trials as a journal of Optuna, too, which optuna-dashboard opens.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a page about what was tuned: gains, every trial, failures, which params matter, where variants cross.

    One HTML file that needs no network and no scripts, from the saved configs and the journals of their trials.
    """
    from ssmgen.kernels import interface
    from ssmgen.report.history import (
        history_data,
        importances,
        read_history,
        render_page,
        steps,
        write_file,
        write_studies,
    )
    from ssmgen.report.terminal import errors, note, print_json, print_plain, reported

    with reported(as_json):
        for op in ops or ():
            interface(op)
        with steps(None if as_json else errors()) as progress:
            history = read_history(ops or (), progress)
            found = importances(history.tuned, progress)
            page = output or (None if as_json else _FILE)
            if page is not None:
                write_file(page, render_page(history, found))
            studies = None if optuna is None else write_studies(optuna, history.tuned, progress)
        if as_json:
            print_json(history_data(history, found))
            return
        for complaint in history.complaints:
            note(complaint, "warning", "bold yellow")
        if optuna is not None:
            note(f"{studies} studies in {optuna}; to see them: optuna-dashboard {optuna}", "optuna")
        print_plain(f"{page}\n")
