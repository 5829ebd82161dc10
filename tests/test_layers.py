"""Imports run one way: a module imports only from rooms below its own."""

from __future__ import annotations

import ast
from pathlib import Path

import ssmgen

PACKAGE = Path(ssmgen.__file__).parent
# From the bottom up; the modules of one row may import one another.
ROWS = [
    ("settings", "errors", "freezing", "installed", "trust"),
    ("worker",),
    ("config", "device", "dtypes", "problem"),
    ("reference",),
    ("codegen",),
    ("kernels",),
    ("targets",),
    ("model",),
    ("store",),
    ("advice",),
    ("dispatch",),
    ("ops",),
    ("compat", "nn"),
    ("tuning",),
    ("bench",),
    ("selftest",),
    ("request",),
    ("presets", "shapes"),
    ("agreement", "warming"),
    ("report",),
    ("export",),
    ("cli", "cli_bench", "cli_configs", "cli_options", "cli_report", "cli_request", "cli_warmup", "__main__"),
]
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ssmgen":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms & ROW.keys()


def test_every_module_imports_downwards_only() -> None:
    wrong = []
    seen = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        seen.add(room)
        wrong += [f"{path.name} imports {other}" for other in _imported_rooms(path) if ROW[other] > ROW[room]]
    assert not wrong
    assert seen <= ROW.keys(), "a new room needs a row"
