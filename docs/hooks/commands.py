"""The page of commands, from the command line itself: every command, its arguments and its options."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import typer.main

from ssmgen.cli import app

__all__ = ["commands", "on_page_markdown"]

PLACE = "<!-- commands -->"
Row = tuple[str, str, str]  # how it is written, what it means, its default


def _default(parameter: Any) -> str:
    shown, value = parameter.show_default, parameter.default
    if isinstance(shown, str):
        return shown
    if shown is False or value is None or value is False or parameter.required:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(parameter: Any) -> Row:
    if parameter.param_type_name == "argument":
        written = parameter.metavar or parameter.name.upper()
    else:
        written = ", ".join(parameter.opts) + (f" {parameter.metavar}" if parameter.metavar else "")
    return f"`{written}`", parameter.help or "", "required" if parameter.required else _default(parameter)


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield from ("| | | default |", "|---|---|---|")
    for row in rows:
        # A bar ends a cell, and words in angle or curly brackets are not Markdown's.
        yield "| " + " | ".join(re.sub(r"(\{.*\})", r"`\1`", cell).replace("|", "\\|") for cell in row) + " |"
    yield ""


def _panels(command: Any) -> tuple[list[Row], list[Row]]:
    """The rows of a command by itself, and those that say what the problem is."""
    own: list[Row] = []
    problem: list[Row] = []
    for parameter in command.params:
        panel = getattr(parameter, "rich_help_panel", None)
        (problem if panel == "Problem" else own).append(_row(parameter))
    return own, problem


def commands() -> str:
    """Every command in Markdown. What most of them say of the problem stands once, at the end."""
    root: Any = typer.main.get_command(app)
    panels = {name: _panels(command) for name, command in root.commands.items()}
    shared, _ = Counter(row for _, problem in panels.values() for row in problem).most_common(1)[0]
    common = next(problem for _, problem in panels.values() if shared in problem)
    common = [row for row in common if all(row in problem for _, problem in panels.values() if problem)]
    lines = []
    for name in sorted(panels):
        own, problem = panels[name]
        first, *rest = re.split(r"\n\s*\n", root.commands[name].help.strip())
        lines += [f"## ssmgen {name}", "", *(" ".join(text.split()) + "\n" for text in (first, *rest))]
        takes_problem = all(row in problem for row in common)
        rows = own + [row for row in problem if not takes_problem or row not in common]
        if rows:
            lines += _table(rows)
        if takes_problem:
            lines += ["And what [the problem](#the-problem) is.", ""]
    lines += [
        "## The problem",
        "",
        "Sizes, dtype and options, for every command that names this section.",
        "",
    ]
    return "\n".join([*lines, *_table(common)])


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs's event: puts the commands in their place."""
    return markdown.replace(PLACE, commands()) if PLACE in markdown else markdown
