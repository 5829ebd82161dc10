"""Every environment variable ssmgen reads, in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "VARIABLES",
    "Variable",
    "cache_dir",
    "config_dirs",
    "get",
    "shipped_config_dir",
    "user_config_dir",
]


class Variable(NamedTuple):
    """An environment variable: its name and what it does, as `ssmgen doctor` and the README list it."""

    name: str
    meaning: str


VARIABLES = (
    Variable("SSMGEN_TARGET", "target for every call that names none: cpu, cuda, hip, interpret, reference"),
    Variable("SSMGEN_CONFIG_DIR", "folder of tuned configs that is read first and written by `ssmgen tune`"),
    Variable("SSMGEN_CACHE_DIR", "folder of rendered sources and compiled C kernels"),
    Variable("SSMGEN_CC", "C compiler for the cpu target (default: $CC, then cc, gcc, clang)"),
)
_NAMES = frozenset(variable.name for variable in VARIABLES)
# What os.environ keeps the variables in: asking os.environ itself for one that is unset costs a call of an op a
# microsecond, for the name is encoded and an exception raised and caught each time.
_VALUES: dict[Any, Any] | None = getattr(os.environ, "_data", None)
_KEYS: dict[str, Any] = {name: os.environ.encodekey(name) for name in _NAMES} if _VALUES is not None else {}


def get(name: str) -> str | None:
    """The value of the variable, or None where it is unset or empty."""
    assert name in _NAMES, name
    if _VALUES is None:
        return os.environ.get(name) or None
    value = _VALUES.get(_KEYS[name])
    return os.fsdecode(value) if value else None


def _xdg(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value else Path.home() / fallback


def cache_dir() -> Path:
    """Where rendered sources and compiled C kernels are kept; safe to delete at any time."""
    value = get("SSMGEN_CACHE_DIR")
    return Path(value) if value else _xdg("XDG_CACHE_HOME", ".cache") / "ssmgen"


def user_config_dir() -> Path:
    """Where `ssmgen tune` saves: SSMGEN_CONFIG_DIR, or the user's data directory."""
    value = get("SSMGEN_CONFIG_DIR")
    return Path(value) if value else _xdg("XDG_DATA_HOME", ".local/share") / "ssmgen" / "tuned_configs"


def shipped_config_dir() -> Path:
    """The tuned configs that come with the package."""
    return Path(__file__).parent / "tuned_configs"


def config_dirs() -> tuple[Path, ...]:
    """The folders that are searched for tuned configs, in the order in which they are searched."""
    folders = [user_config_dir()]
    if get("SSMGEN_CONFIG_DIR"):
        folders.append(_xdg("XDG_DATA_HOME", ".local/share") / "ssmgen" / "tuned_configs")
    return (*folders, shipped_config_dir())
