"""Is this machine able to tune and run kernels, on what, and if not, what would help."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssmgen import settings, store, targets
from ssmgen.errors import SsmgenError
from ssmgen.installed import installed_version
from ssmgen.trust import complaint

__all__ = ["Diagnosis", "diagnose", "print_diagnosis"]

_PACKAGES = ("ssmgen", "torch", "triton", "numpy", "optuna", "jinja2", "typer", "rich")
# Fast enough to serve calls; the interpreter and the reference only check results.
_SERVING = ("cuda", "hip", "cpu")


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        section: What it belongs to.
        name: What was looked at.
        value: What was found.
        ok: False where something cannot be used; None where there is nothing to judge.
        remedy: What would help, where something would.
    """

    section: str
    name: str
    value: str
    ok: bool | None = None
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and whether some target can serve calls with kernels."""

    findings: tuple[Finding, ...]
    is_usable: bool

    def to_data(self) -> dict[str, Any]:
        """The diagnosis as JSON data."""
        return {"usable": self.is_usable, "findings": [asdict(finding) for finding in self.findings]}


def diagnose() -> Diagnosis:
    """Look at the machine; compiles nothing and changes nothing."""
    working = list(_targets())
    findings = (*_choice(working), *working, *_folders(), *_versions(), *_environment())
    usable = any(finding.ok for finding in working if finding.name in _SERVING)
    return Diagnosis(findings, usable)


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "python", platform.python_version())
    for package in _PACKAGES:
        found = installed_version(package)
        if found is not None:
            yield Finding("versions", package, found)
        elif package == "ssmgen":
            yield Finding("versions", package, "used from a checkout that is not installed")
        else:
            yield Finding("versions", package, "missing", False, f"pip install {package}")


def _targets() -> Iterator[Finding]:
    for name in targets.PRESENT:
        try:
            target = targets.target(name)
            if name == "cpu":
                from ssmgen.targets.compiler import find_compiler

                compiler = find_compiler()
                found = f"{target.facts.name} ({target.facts.arch}), {compiler.path}: {compiler.version}"
            elif name == "reference":
                found = "PyTorch, without kernels"
            else:
                found = f"{target.facts.name} ({target.facts.arch})"
        except SsmgenError as error:
            # A machine has one kind of GPU at most, so the lack of another is nothing to mend.
            lacks_gpu = name in ("cuda", "hip")
            yield Finding("targets", name, str(error), None if lacks_gpu else False)
        else:
            yield Finding("targets", name, found, True)
    yield from _named_targets()


def _named_targets() -> Iterator[Finding]:
    """What can be compiled without its device, and the tools that Triton's wheel brings for it."""
    if installed_version("triton") is None:
        yield Finding(
            "targets", "named GPUs", "nothing can be compiled for them", False, "pip install triton"
        )
        return
    import triton

    names = [name for name in targets.known_targets() if name not in targets.PRESENT]
    yield Finding("targets", "named GPUs", f"{', '.join(names)} (compiled and shown, not run)", True)
    for tool in ("ptxas", "cuobjdump", "nvdisasm"):
        try:
            found = getattr(triton.knobs.nvidia, tool)
        except RuntimeError as error:
            remedy = f"reinstall triton, or set TRITON_{tool.upper()}_PATH"
            yield Finding("targets", tool, str(error), False, remedy)
        else:
            yield Finding("targets", tool, f"{found.path} {found.version}", True)


def _choice(found: list[Finding]) -> Iterator[Finding]:
    """Which target the command line uses, and why."""
    name = targets.default_target()
    if settings.get("SSMGEN_TARGET"):
        why = "SSMGEN_TARGET says so"
    elif name == "cpu":
        why = "PyTorch sees no GPU"
    else:
        why = "PyTorch sees a GPU"
    works = next((finding.ok for finding in found if finding.name == name), None)
    if name not in targets.known_targets():
        remedy = f"set SSMGEN_TARGET to one of {', '.join(targets.known_targets())}"
        yield Finding("choice", "used by default", f"{name}: no such target", False, remedy)
    elif works is False:
        yield Finding(
            "choice",
            "used by default",
            f"{name}: {why}; but target {name!r} does not work (see below)",
            False,
        )
    else:
        yield Finding("choice", "used by default", f"{name}: {why}; tensors on a device choose its own", True)


def _folders() -> Iterator[Finding]:
    cache = settings.cache_dir()
    kernels = sum(1 for _ in cache.glob("kernels/*.so"))
    yield _folder("kernel cache", cache, f"{kernels} compiled kernels", "SSMGEN_CACHE_DIR")
    for order, folder in enumerate(settings.config_dirs()):
        entries = len(store.load(folder))
        if folder == settings.shipped_config_dir():
            yield Finding("folders", "shipped configs", f"{folder}: {entries} configs")
        else:
            name = "tuned configs" if order == 0 else "tuned configs, read second"
            yield _folder(name, folder, f"{entries} configs", "SSMGEN_CONFIG_DIR")


def _folder(name: str, folder: Path, content: str, variable: str) -> Finding:
    unsafe = complaint(folder) if variable == "SSMGEN_CACHE_DIR" else None
    if unsafe is not None:
        remedy = f"chown it and chmod o-w, or set {variable} to a folder of your own"
        return Finding("folders", name, f"{folder}: {unsafe}, and is not used", False, remedy)
    if _is_writable(folder):
        return Finding("folders", name, f"{folder}: {content}", True)
    remedy = f"make it writable, or set {variable} to a folder that is"
    return Finding("folders", name, f"{folder}: {content}, not writable", False, remedy)


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or the folder itself in the nearest one that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _environment() -> Iterator[Finding]:
    for variable in settings.VARIABLES:
        yield Finding(
            "environment", variable.name, settings.get(variable.name) or f"unset; {variable.meaning}"
        )


def print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print the findings by section, then the remedies."""
    names = max(len(finding.name) for finding in diagnosis.findings)
    for section, findings in groupby(diagnosis.findings, key=lambda finding: finding.section):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column(width=1)
        table.add_column(min_width=min(names, 22), overflow="fold")
        table.add_column(overflow="fold")
        for finding in findings:
            table.add_row(_MARKS[finding.ok], Text(finding.name, "cyan"), finding.value)
        console.print(Text(section.capitalize(), "bold"))
        console.print(table)
    remedies = [finding for finding in diagnosis.findings if finding.remedy]
    if remedies:
        console.print(Text("Remedies", "bold yellow"))
    for finding in remedies:
        console.print(f"  {finding.name}: {finding.remedy}", soft_wrap=True, markup=False)
    if not diagnosis.is_usable:
        console.print(
            "No target with kernels works here: only the PyTorch reference and the interpreter are left.",
            style="bold red",
        )


_MARKS = {True: Text("✓", "green"), False: Text("✗", "bold red"), None: Text("·", "dim")}
