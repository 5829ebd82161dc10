"""The facts about a machine that someone needs to repeat a benchmark."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from ssmgen.errors import SsmgenError, TargetUnavailableError
from ssmgen.installed import installed_version
from ssmgen.targets import Target, driver
from ssmgen.targets.compiler import find_compiler
from ssmgen.targets.cpu import cpu_facts
from ssmgen.worker import memory

__all__ = ["device_of", "machine_facts"]

_PACKAGES = ("ssmgen", "torch", "triton", "numpy")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def device_of(target: Target) -> str:
    """The device that a target's tensors are on, as PyTorch writes it.

    Raises:
        TargetUnavailableError: The target is only named, or nothing that is timed.
    """
    if target.facts.present and target.name == "cpu":
        return "cpu"
    if target.facts.present and target.name in ("cuda", "hip"):
        return f"cuda:{driver.current_device()}"
    raise TargetUnavailableError(
        f"target {target.name!r} cannot be timed here; choose cpu, or a GPU of this machine, with --target."
    )


def machine_facts(target: Target) -> dict[str, Any]:
    """Processor, caches, memory, system, compiler, versions and commit, as JSON data."""
    cpu = cpu_facts()
    return {
        "cpu": cpu.name,
        "arch": cpu.arch,
        "cores": cpu.max_threads,
        "caches": _caches(),
        "memory_bytes": memory.total(),
        "device": target.facts.name,
        "target": target.name,
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiler": _compiler(),
        "versions": {name: found for name in _PACKAGES if (found := installed_version(name))},
        "cuda": torch.version.cuda if target.device.type == "cuda" else None,
        "commit": _commit(),
    }


def _caches() -> dict[str, int]:
    """Bytes of the caches of the first core, by level."""
    found = {}
    for folder in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
    return found


def _compiler() -> dict[str, Any] | None:
    try:
        found = find_compiler()
    except SsmgenError:
        return None
    return {"version": found.version, "flags": list(found.flags)}


def _commit() -> str | None:
    """The commit of a checkout, with a plus where files differ from it; None where this is none, or git is missing."""
    root = Path(__file__).resolve().parent.parent.parent
    try:
        run = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
