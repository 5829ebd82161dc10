"""Text that a file brought, made harmless to print: no control characters, and no end of it out of sight."""

from __future__ import annotations

import re

__all__ = ["plain"]

# What XML does not take: control characters but tabs and line breaks, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str, most: int | None = None) -> str:
    """The text with a replacement character for each that cannot be printed, and cut after so many."""
    text = _UNPRINTABLE.sub("\ufffd", text)
    return text if most is None or len(text) <= most else f"{text[:most]} …"
