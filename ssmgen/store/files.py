"""Files of tuned configs: one per device and op, read as data, merged under a lock, replaced in one step."""

from __future__ import annotations

import fcntl
import json
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ssmgen import settings
from ssmgen.codegen import write_atomically
from ssmgen.device import DeviceFacts
from ssmgen.errors import ConfigFileError, ConfigFileWarning, InvalidInputError
from ssmgen.store.entry import TunedConfig
from ssmgen.trust import make_folder, world_writable

__all__ = ["SCHEMA", "config_path", "entries", "load", "read_file", "remove", "require_writable", "save"]

SCHEMA = 1


class _Content(NamedTuple):
    """A file as it was read: its entries, and as they stand those that this version cannot read."""

    entries: tuple[TunedConfig, ...]
    unreadable: tuple[Any, ...] = ()
    complaints: tuple[str, ...] = ()


# path -> (modification time in ns, size) and what the file held then.
_cache: dict[Path, tuple[tuple[int, int], _Content]] = {}


def config_path(folder: Path, facts: DeviceFacts, op: str) -> Path:
    """Where a folder keeps the tuned configs of a device and op."""
    return folder / facts.slug / f"{op}.json"


def read_file(path: Path) -> tuple[TunedConfig, ...]:
    """The entries of one file; none where it is missing.

    What cannot be read, a file or one entry of it, is skipped with a `ConfigFileWarning` and left as it is.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        _warn(path, f"cannot be read ({error.strerror})")
        return ()
    if not stat.S_ISREG(status.st_mode):
        _warn(path, "is no regular file")
        return ()
    if status.st_mode & stat.S_IWOTH or world_writable(path.parent):
        _warn(path, "can be written by anybody: it or its folder (chmod o-w)")
        return ()
    stamp = (status.st_mtime_ns, status.st_size)
    cached = _cache.get(path)
    if cached is not None and cached[0] == stamp:
        return cached[1].entries
    try:
        content = _parse_file(path)
    except ConfigFileError as error:
        warnings.warn(f"{error} It is skipped.", ConfigFileWarning, stacklevel=2)
        content = _Content(())
    for complaint in content.complaints:
        _warn(path, complaint)
    _cache[path] = (stamp, content)
    return content.entries


def load(folder: Path) -> tuple[TunedConfig, ...]:
    """Every entry in a folder of tuned configs, by device and op; none where the folder is missing."""
    return tuple(entry for path in sorted(folder.glob("*/*.json")) for entry in read_file(path))


def entries() -> tuple[tuple[Path, TunedConfig], ...]:
    """Every entry in the folders that are searched, with its folder, in the order of the search."""
    return tuple((folder, entry) for folder in settings.config_dirs() for entry in load(folder))


def _is_no_guess(entry: TunedConfig, known: TunedConfig) -> bool:
    return not (known.evidence == "measured" and entry.evidence == "predicted")


def save(
    found: Iterable[TunedConfig],
    folder: Path | None = None,
    replaces: Callable[[TunedConfig, TunedConfig], bool] = _is_no_guess,
) -> tuple[Path, ...]:
    """Merge entries into the files of their devices and ops.

    Another process may save at the same time: what it wrote is kept.

    Args:
        found: The entries.
        folder: Folder of tuned configs; by default the user's.
        replaces: Whether an entry takes the place of a known one with the same problem class and arch; by default
            always, except that a predicted one never replaces a measured one.

    Returns:
        The files that hold them, sorted.

    Raises:
        InvalidInputError: An entry holds a value that no file may hold; nothing is written.
        ConfigFileError: A file cannot be written, or holds what is not ours; it is left as it is.
    """
    folder = settings.user_config_dir() if folder is None else folder
    by_path: dict[Path, list[TunedConfig]] = {}
    for entry in found:
        TunedConfig.from_data(entry.to_data())  # what could not be read back must not be written
        by_path.setdefault(config_path(folder, entry.device, entry.problem.op), []).append(entry)
    for path, fresh in by_path.items():
        with _writing(path):
            _merge(path, fresh, replaces)
    return tuple(sorted(by_path))


def remove(found: Iterable[TunedConfig], path: Path) -> None:
    """Take entries out of a file; a file without entries goes, too.

    Raises:
        ConfigFileError: The file cannot be written.
    """
    unwanted = list(found)
    with _writing(path):
        content = _parse_file(path)
        kept = [entry for entry in content.entries if entry not in unwanted]
        if kept or content.unreadable:
            _write(path, {entry.key: entry for entry in kept}, content.unreadable)
        else:
            path.unlink()


def require_writable(facts: DeviceFacts, op: str) -> None:
    """Raise now what `save` would raise for a device and op after a long run.

    Raises:
        ConfigFileError: The user's file cannot be written, or holds what is not ours.
    """
    path = config_path(settings.user_config_dir(), facts, op)
    with _writing(path):
        if path.exists():
            _parse_file(path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """The file's folder and its lock; what the system refuses becomes a `ConfigFileError`."""
    try:
        make_folder(path.parent)
        for each in (path.parent.parent, path.parent, path):
            if world_writable(each):
                raise ConfigFileError(
                    f"tuned configs are not saved to {path}: {each} can be written by anybody. Take that back "
                    "(chmod o-w), or set SSMGEN_CONFIG_DIR to a folder of your own."
                )
        with _locked(path):
            yield
    except OSError as error:
        raise ConfigFileError(
            f"tuned configs cannot be saved to {path}: {error.strerror or error}. Make the folder "
            "writable, or set SSMGEN_CONFIG_DIR to one that is."
        ) from error


def _merge(
    path: Path, fresh: Iterable[TunedConfig], replaces: Callable[[TunedConfig, TunedConfig], bool]
) -> None:
    old = _parse_file(path) if path.exists() else _Content(())
    merged = {entry.key: entry for entry in old.entries}
    for entry in fresh:
        known = merged.get(entry.key)
        if known is None or replaces(entry, known):
            merged[entry.key] = entry
    _write(path, merged, old.unreadable)


def _write(path: Path, entries: Mapping[tuple[str, str], TunedConfig], unreadable: Iterable[Any]) -> None:
    listed = [entries[key].to_data() for key in sorted(entries)] + list(unreadable)
    write_atomically(path, _text(path, {"schema": SCHEMA, "entries": listed}))


def _text(path: Path, data: Any) -> str:
    """The data as JSON; what is not ours in it stays as it is, numbers that are none and lone surrogates included."""
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(data, indent=2) + "\n"
    except RecursionError as error:
        raise ConfigFileError(
            f"{path} holds an entry that is nested too deeply to be written again; it has been left as it is. "
            "Move it away."
        ) from error
    return text


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # A lock on the file itself would be lost when the file is replaced, so the lock has a file of its own.
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parse_file(path: Path) -> _Content:
    """Read and check a file.

    Raises:
        ConfigFileError: The file as a whole is not a file of tuned configs of this schema version.
    """
    remedy = "Repair it or move it away; it has been left as it is."
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigFileError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigFileError(f"{path} is not valid JSON ({error}). {remedy}") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise ConfigFileError(f"{path} is not a file of tuned configs. {remedy}")
    if data["schema"] != SCHEMA:
        raise ConfigFileError(
            f"{path} has schema version {data['schema']!r:.20}, but this ssmgen reads version {SCHEMA}. "
            "Upgrade ssmgen, or move the file away; it has been left as it is."
        )
    listed = data.get("entries")
    if not isinstance(listed, list):
        raise ConfigFileError(f"{path} has no list of entries. {remedy}")
    return _parse_entries(path, listed)


def _parse_entries(path: Path, listed: list[Any]) -> _Content:
    good: list[TunedConfig] = []
    unreadable: list[Any] = []
    complaints: list[str] = []
    for index, item in enumerate(listed):
        try:
            entry = TunedConfig.from_data(item)
            if entry.problem.op != path.stem:
                raise InvalidInputError(f"it is for {entry.problem.op}, which has a file of its own")
        except InvalidInputError as error:
            unreadable.append(item)
            complaints.append(f"entry {index + 1} cannot be used: {error}")
        else:
            good.append(entry)
    return _Content(tuple(good), tuple(unreadable), tuple(complaints))


def _warn(path: Path, complaint: str) -> None:
    warnings.warn(
        f"{path}: {complaint}. It is skipped and left as it is; repair or remove it, and tune again.",
        ConfigFileWarning,
        stacklevel=3,
    )
