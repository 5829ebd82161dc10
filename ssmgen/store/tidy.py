"""Folders of tuned configs as a whole: merged into one another, and rid of what no call can use."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssmgen import settings
from ssmgen.errors import ConfigFileError
from ssmgen.store.current import is_current
from ssmgen.store.entry import TunedConfig
from ssmgen.store.files import config_path, load, read_file, remove, save

__all__ = ["Merged", "Pruned", "merge", "prune"]

_LEFT_OVER = 3600.0  # seconds after which nobody is still writing a file


@dataclass(frozen=True)
class Merged:
    """One entry of a source, and what became of it.

    Attributes:
        entry: The entry.
        path: The file it belongs to.
        outcome: `added`, `replaced` another, `known` already, or `passed over` for a better one.
    """

    entry: TunedConfig
    path: Path
    outcome: str


@dataclass(frozen=True)
class Pruned:
    """What was, or would be, removed.

    Attributes:
        entries: Entries that no call can use, with their files.
        leftovers: Files that a process left half-written when it was killed.
    """

    entries: tuple[tuple[Path, TunedConfig], ...]
    leftovers: tuple[Path, ...]


def merge(sources: Iterable[Path], folder: Path | None = None) -> tuple[Merged, ...]:
    """Merge tuned configs of other folders, or files, into a folder.

    Of two entries for one problem class and device, which one stays depends on neither the order of the sources nor
    what was there first: a measured one before a predicted one, one whose templates are those of this version, the
    later one, the faster one.

    Args:
        sources: Folders of tuned configs, or single files of them.
        folder: Where to; by default the user's.

    Returns:
        Every entry of the sources.

    Raises:
        ConfigFileError: A source is not there, or a file cannot be written.
    """
    folder = settings.user_config_dir() if folder is None else folder
    found: list[TunedConfig] = []
    for source in sources:
        if not source.exists():
            raise ConfigFileError(f"{source} is not there; name a folder or file of tuned configs.")
        found += load(source) if source.is_dir() else read_file(source)
    before = {_place(entry): entry for entry in load(folder)}
    save(found, folder, _is_better)
    after = {_place(entry): entry for entry in load(folder)}

    def outcome(entry: TunedConfig) -> str:
        place = _place(entry)
        if after.get(place) != entry:
            return "passed over"
        if before.get(place) == entry:
            return "known"
        return "replaced" if place in before else "added"

    return tuple(
        Merged(entry, config_path(folder, entry.device, entry.problem.op), outcome(entry)) for entry in found
    )


def prune(folder: Path | None = None, *, dry_run: bool = False) -> Pruned:
    """Remove entries that no call can use: their templates have changed, or no space holds their configs.

    What cannot be read is somebody's to repair: it stays, with a warning.

    Args:
        folder: By default the user's.
        dry_run: Remove nothing.

    Raises:
        ConfigFileError: A file cannot be written.
    """
    folder = settings.user_config_dir() if folder is None else folder
    stale = []
    for path in sorted(folder.glob("*/*.json")):
        old = [entry for entry in read_file(path) if not is_current(entry)]
        stale += [(path, entry) for entry in old]
        if old and not dry_run:
            remove(old, path)
    now = time.time()
    leftovers = [
        path
        for path in sorted(folder.glob("*/.*.json.*"))
        if path.suffix != ".lock" and now - path.stat().st_mtime > _LEFT_OVER
    ]
    for path in leftovers:
        if not dry_run:
            path.unlink(missing_ok=True)
    return Pruned(tuple(stale), tuple(leftovers))


def _place(entry: TunedConfig) -> tuple[str, ...]:
    return (entry.device.slug, entry.problem.op, *entry.key)


def _is_better(entry: TunedConfig, known: TunedConfig) -> bool:
    return _worth(entry) > _worth(known)


def _worth(entry: TunedConfig) -> tuple[object, ...]:
    # The last makes the order total, so that it does not matter who comes first.
    measured = entry.evidence == "measured"
    return (
        measured,
        is_current(entry),
        entry.created,
        -entry.seconds,
        repr(sorted(entry.to_data().items(), key=str)),
    )
