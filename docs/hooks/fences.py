"""Fenced blocks of the pages: what the tests run, and the reason beside what they do not.

The line that opens a block says so, as in

    ```python no-run: needs a GPU

which GitHub shows as any block of Python, and the site with the reason above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Fence", "fences", "on_page_markdown"]

# A reason stands behind a language: Markdown takes the first word for one.
_OPENING = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)(?: +(?:no-run: (?P<reason>\S.*)|title=\"(?P<title>[^\"]*)\"))?$"
)


class Fence(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """The number of its first line in the page."""
    reason: str | None
    """Why the tests do not run it; None where they do."""
    title: str | None
    """What the site writes above it: the name of the file that it is."""


def fences(markdown: str) -> Iterator[Fence]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: A line opens a block in another way than this module's text says, or a block has no end.
    """
    lines = enumerate(markdown.splitlines(), start=1)
    for number, line in lines:
        if not line.startswith("```"):
            continue
        opening = _OPENING.match(line)
        if opening is None:
            raise ValueError(
                f'line {number}: {line!r} opens no block: write ```LANGUAGE no-run: REASON, or title="NAME"'
            )
        text: list[str] = []
        for _, inner in lines:
            if inner == opening["fence"]:
                break
            text.append(inner)
        else:
            raise ValueError(f"line {number}: the block has no end")
        yield Fence(opening["language"], "\n".join(text), number + 1, opening["reason"], opening["title"])


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs's event: the reason of a block becomes its title, since the site's Markdown knows titles alone."""

    def titled(line: str) -> str:
        opening = _OPENING.match(line)
        if opening is None or opening["reason"] is None:
            return line
        reason = opening["reason"].replace('"', "'")
        return f'{opening["fence"]}{opening["language"]} title="not run by the tests: {reason}"'

    return "\n".join(map(titled, markdown.splitlines()))
