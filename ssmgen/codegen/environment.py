"""The Jinja environment and the one function that renders a kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ssmgen.codegen.source import Source

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["TEMPLATES", "render"]

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
_COMMENT = {"triton": "#", "c": "//"}


@functools.cache
def _environment() -> Environment:
    # Imported here because a process that finds its kernels tuned and compiled never renders.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is Python or C, never HTML
    )


def render(
    language: str, template: str, name: str, heading: tuple[str, ...], context: Mapping[str, object]
) -> Source:
    """Render `templates/<language>/<template>` under a header.

    Args:
        language: `triton` or `c`.
        template: File name of the template in the language's folder.
        name: Stem for the file's name.
        heading: Lines of the header: problem, config, formula.
        context: What the template sees; a name it uses and does not find is an error.
    """
    body = _environment().get_template(f"{language}/{template}").render(context)
    digest = Source.digest(body)
    comment = _COMMENT[language]
    lines = [*heading, f"Rendered by ssmgen from templates/{language}/{template}; source {digest}."]
    header = "".join(f"{comment} {line}\n" for line in lines)
    return Source(language, name, header + body, digest)
