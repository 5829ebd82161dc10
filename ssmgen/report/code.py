"""A kernel's code, highlighted for a person or as it is for a program."""

from __future__ import annotations

from rich.syntax import Syntax

from ssmgen.report.terminal import output, print_plain

__all__ = ["print_code"]

# PTX, SASS and the AMD assembly are close enough to what these lexers know.
_LEXERS = {
    "c": "c",
    "triton": "python",
    "ttir": "llvm",
    "ttgir": "llvm",
    "llir": "llvm",
    "ptx": "gas",
    "sass": "gas",
    "amdgcn": "gas",
    "asm": "gas",
}


def print_code(text: str, language: str) -> None:
    """Print code on standard output: in colour on a terminal, the very same bytes anywhere else.

    Args:
        text: The code.
        language: `c` or `triton` for a source, else the name of its stage.
    """
    console = output()
    if not console.is_terminal:
        print_plain(text)
        return
    syntax = Syntax("", _LEXERS.get(language, "text"), theme="ansi_dark", background_color="default")
    highlighted = syntax.highlight(text)
    # The terminal wraps long lines itself, so that what is copied from it has none of our line breaks.
    console.print(highlighted, soft_wrap=True, end="" if text.endswith("\n") else "\n")
