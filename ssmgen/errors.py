"""The errors ssmgen raises. Each message says what is wrong, where, and what to do about it."""

from __future__ import annotations

__all__ = [
    "CompileError",
    "ConfigFileError",
    "ConfigFileWarning",
    "FrozenError",
    "InvalidInputError",
    "ReferenceWarning",
    "SsmgenError",
    "StorageError",
    "TargetUnavailableError",
    "UnknownNameError",
    "UntunedWarning",
]


class SsmgenError(Exception):
    """Base of every error that ssmgen raises on purpose; the command line prints it and exits with 1."""


class InvalidInputError(SsmgenError, ValueError):
    """A shape, dtype, device or option that the op or command does not take."""


class UnknownNameError(SsmgenError, LookupError):
    """An op, variant, target, dtype or stage that does not exist."""


class TargetUnavailableError(SsmgenError, RuntimeError):
    """The target exists but cannot be used here: no device, no compiler, no driver."""


class CompileError(SsmgenError, RuntimeError):
    """A generated kernel did not compile; carries what the compiler said."""


class ConfigFileError(SsmgenError, RuntimeError):
    """A file of tuned configs that cannot be read or written."""


class StorageError(SsmgenError, RuntimeError):
    """A storage that several machines share cannot be opened, or does not answer."""


class FrozenError(SsmgenError, RuntimeError):
    """A call needs what was not prepared before `ssmgen.freeze`; the message says which, and what prepares it."""


class ConfigFileWarning(UserWarning):
    """A file or entry of tuned configs was skipped; the message says which and why."""


class ReferenceWarning(UserWarning):
    """No kernel of the target serves the problem, so PyTorch does, slowly; said once for each kind of problem."""


class UntunedWarning(UserWarning):
    """No tuned config fits the problem, so a default is used; said once for each problem class."""


def unknown(kind: str, name: str, known: object) -> UnknownNameError:
    """An `UnknownNameError` that lists what exists and, where one is close, what was probably meant."""
    import difflib

    names = [str(item) for item in known]  # type: ignore[attr-defined]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UnknownNameError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
