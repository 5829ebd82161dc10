"""Files of the repository in the site: the changelog and CONTRIBUTING, and what pages link to outside docs/."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[2]
_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(?<=\]\()(?P<path>(?:\.\./)+[^)#\s]+)")


def _place(page: str, link: str) -> tuple[str, str] | None:
    """Of a page's link: the file in the repository and its place in the site; None where it stays within docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    if path.startswith("docs/") or not (ROOT / path).is_file():
        return None
    return path, _PAGES.get(path, f"files/{path}")


def on_files(files: Files, config: MkDocsConfig, **_: object) -> Files:
    """MkDocs's event: adds the pages and the files that pages link to."""
    wanted = dict(_PAGES)
    for page in files.documentation_pages():
        links = _LINK.finditer(page.content_string)
        wanted.update(place for link in links if (place := _place(page.src_uri, link["path"])))
    for path, uri in wanted.items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """MkDocs's event: links that leave docs/ lead to those places."""
    uri = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        place = _place(uri, link["path"])
        return posixpath.relpath(place[1], posixpath.dirname(uri) or ".") if place else link["path"]

    return _LINK.sub(led, markdown)
