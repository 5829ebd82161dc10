"""The two streams of the command line, and how errors, warnings and data go through them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ssmgen.errors import SsmgenError

__all__ = ["errors", "note", "output", "print_json", "print_line", "print_plain", "reported"]


def output() -> Console:
    """Standard output: what was asked for."""
    return Console(highlight=False)


def errors() -> Console:
    """Standard error: progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def note(message: str, label: str = "note", style: str = "bold cyan") -> None:
    """One labelled line on standard error; never wrapped, so that it stays one line in a log."""
    errors().print(Text.assemble((f"{label}: ", style), message), soft_wrap=True)


def print_line(text: str, style: str, console: Console) -> None:
    """A sentence: broken at its words on a terminal, one line anywhere else."""
    console.print(Text(text, style), soft_wrap=not console.is_terminal)


def print_plain(text: str) -> None:
    """The text itself, byte for byte; flushed here, where a reader that has gone away is still dealt with."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(data: Any) -> None:
    """Data as indented JSON on standard output."""
    print_plain(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def reported(as_json: bool = False) -> Iterator[None]:
    """Turn our errors into one message and exit code 1, and warnings into one line each.

    Args:
        as_json: Print the error as `{"error": message}` on standard output, for a program to read.
    """

    def show(message: Warning | str, *_: object, **__: object) -> None:
        note(str(message), "warning", "bold yellow")

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except SsmgenError as error:
            if as_json:
                print_json({"error": str(error)})
            else:
                note(str(error), "error", "bold red")
            raise typer.Exit(1) from error
