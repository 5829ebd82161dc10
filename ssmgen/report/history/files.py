"""Files of a report: whole, or not there."""

from __future__ import annotations

from pathlib import Path

from ssmgen.codegen import write_atomically
from ssmgen.errors import InvalidInputError

__all__ = ["write_file"]


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file in one step.

    Raises:
        InvalidInputError: It cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written ({error.strerror or error}); name another file."
        ) from error
