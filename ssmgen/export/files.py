"""Writing an export: the source, the binaries and, last, the manifest that says what is there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ssmgen
from ssmgen.codegen import write_atomically
from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.export.launches import launches_of
from ssmgen.export.parameters import Parameters
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.report.kernel import choose
from ssmgen.targets import Kernel, Target
from ssmgen.targets.cpu import CpuKernel

__all__ = ["MANIFEST", "SCHEMA", "Exported", "export_kernel"]

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        folder: Where.
        files: The files, the manifest last.
        manifest: What the manifest says.
        reason: Which config it is of, and why that one.
    """

    folder: Path
    files: tuple[Path, ...]
    manifest: dict[str, Any]
    reason: str

    def to_data(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"manifest": str(self.folder / MANIFEST), "files": [str(path) for path in self.files]}


def export_kernel(
    problem: Problem, target: Target, folder: Path, config: str | None = None, force: bool = False
) -> Exported:
    """Write a kernel, and how to launch it, as files that need no ssmgen.

    Args:
        problem: The exact problem; operands are laid out as if freshly allocated.
        target: A target with machine code of its own, present or named.
        folder: Where the files go; made if it is not there.
        config: Text of a config; by default the one that dispatch would use.
        force: Whether the folder may hold files already: those of the same names are replaced, others stay.

    Raises:
        InvalidInputError: The folder is not empty, or cannot be written; the config is none of the problem's space.
        TargetUnavailableError: The target makes no machine code, or has no compiler.
        CompileError: The compiler refused.
    """
    if target.language == "none":
        raise TargetUnavailableError(
            f"target {target.name!r} is plain PyTorch and has no kernels to export; choose another with --target."
        )
    _require_free(folder, force)
    chosen, variant, reason, _ = choose(problem, target, config)
    kernel = target.compile(variant, problem, chosen)
    parameters = Parameters(problem, kernel.program)
    entries, binaries = launches_of(kernel, target.facts, parameters)
    source = f"{kernel.source.name}{kernel.source.path().suffix}"
    manifest = {
        **_what(problem, chosen),
        **_where(kernel, target),
        "source": {"file": source, "language": kernel.source.language, "hash": kernel.source.hash},
        "workspaces": parameters.workspaces,
        "kernels": entries,
    }
    contents: dict[str, str | bytes] = {
        source: kernel.source.text,
        **binaries,
        MANIFEST: f"{_json(manifest)}\n",
    }
    return Exported(folder, _write(folder, contents), manifest, reason)


def _what(problem: Problem, config: Config) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "op": problem.op,
        "direction": problem.direction,
        "formula": list(interface(problem.op).formula),
        "problem": {
            "dims": dict(problem.dims),
            "dtype": problem.dtype,
            "options": dict(problem.options),
        },
        "config": str(config),
    }


def _where(kernel: Kernel, target: Target) -> dict[str, Any]:
    facts = target.facts
    where: dict[str, Any] = {
        "target": {"kind": facts.kind, "arch": facts.arch, "device": facts.name, "lanes": facts.lanes},
        "versions": {"ssmgen": ssmgen.__version__, **target.versions()},
    }
    if isinstance(kernel, CpuKernel):
        where["compiler"] = {"version": kernel.compiler.version, "flags": list(kernel.compiler.flags)}
    return where


def _require_free(folder: Path, force: bool) -> None:
    try:
        is_free = not folder.exists() or not any(folder.iterdir())
    except OSError as error:
        raise _unusable(folder, error) from error
    if not (is_free or force):
        raise InvalidInputError(
            f"{folder} is not empty, and nothing in it was touched; choose another folder with --out, or replace the "
            "files of an earlier export with --force."
        )


def _write(folder: Path, contents: dict[str, str | bytes]) -> tuple[Path, ...]:
    """Write the files in order; without a manifest where not all of them are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise _unusable(folder, error) from error
    return tuple(folder / name for name in contents)


def _unusable(folder: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(
        f"{folder} cannot be written ({error.strerror or error}); choose another folder with --out."
    )


def _json(value: Any, indent: str = "") -> str:
    """Indented, but what holds no further objects is one line: a parameter is a line to read, and to compare."""
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not any(_holds_objects(item) for item in inside):
        return json.dumps(value)
    inner = f"{indent}  "
    items = [_json(item, inner) for item in inside]
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {item}" for key, item in zip(value, items, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{closing}"


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_objects, value)))
