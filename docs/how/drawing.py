"""What the pictures of docs/how share: the folder that they go to."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["folder"]


def folder(description: str | None) -> Path:
    """The folder that the command line names."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures go")
    given: Path = parser.parse_args().folder
    return given
