"""What was exported, as a short table for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from ssmgen.export.files import Exported

__all__ = ["print_exported"]


def print_exported(exported: Exported, console: Console) -> None:
    """Print each launch, in order, then the files."""
    kernels = exported.manifest["kernels"]
    on_gpu = "grid" in kernels[0]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("kernel", style="cyan")
    table.add_column("parameters", justify="right")
    if on_gpu:
        for heading in ("grid", "threads", "shared"):
            table.add_column(heading, justify="right")
    for kernel in kernels:
        table.add_row(
            kernel["symbol"], str(len(kernel["parameters"])), *(_geometry(kernel) if on_gpu else ())
        )
    console.print(table)
    for workspace in exported.manifest["workspaces"]:
        console.print(f"workspace {workspace['name']}: {workspace['bytes']:,} bytes")
    for path in exported.files:
        console.print(str(path), soft_wrap=True)


def _geometry(kernel: dict[str, Any]) -> tuple[str, str, str]:
    return " x ".join(map(str, kernel["grid"])), str(kernel["threads"]), f"{kernel['shared_bytes']:,} B"
