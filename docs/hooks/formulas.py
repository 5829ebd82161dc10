"""Formulas of the pages, `$...$` and `$$...$$` in TeX, as MathML: browsers show it without a script."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

__all__ = ["mathml", "on_page_content"]

# What pymdownx.arithmatex makes of a formula.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def mathml(tex: str, display: str) -> str:
    r"""A formula as MathML.

    Args:
        tex: The formula, without dollars.
        display: "inline" or "block".

    Raises:
        ValueError: The converter cannot read the formula, or does not know one of its commands.
    """
    # The converter closes by itself what was left open.
    if (braces := re.findall(r"(?<!\\)(?:\\\\)*([{}])", tex)).count("{") != braces.count("}"):
        raise ValueError("its braces do not match")
    try:
        converted = convert(tex, display=display)
    except Exception as error:  # its errors have no class of their own in common
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    # What it does not know it writes down as it stands.
    if unknown := re.search(r"\\(?:[a-zA-Z]+|.)", html.unescape(re.sub(r"<[^>]*>", " ", converted))):
        raise ValueError(f"{unknown[0]} is not known")
    return converted


def on_page_content(content: str, page: Page, **_: object) -> str:
    """MkDocs's event: the formulas of a page, converted.

    Raises:
        PluginError: A formula cannot be converted.
    """

    def converted(display: str) -> object:
        def one(found: re.Match[str]) -> str:
            tex = html.unescape(found[1]).strip()
            try:
                return mathml(tex, display)
            except ValueError as error:
                raise PluginError(
                    f"{page.file.src_uri}: the formula {tex!r} does not convert: {error}"
                ) from error

        return one

    content = _BLOCK.sub(converted("block"), content)
    return _INLINE.sub(converted("inline"), content)
