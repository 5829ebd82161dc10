"""Whose a file is, and who else may write it: what is executed, or believed, must not be another user's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ssmgen import settings
from ssmgen.errors import TargetUnavailableError

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "complaint",
    "make_folder",
    "own_cache",
    "require_own",
    "world_writable",
]

# For what is made here: the group may share it, where the umask says so, and nobody else.
FOLDER_MODE, FILE_MODE = 0o775, 0o664


def make_folder(folder: Path) -> None:
    """Make a folder and the one it lies in with our mode, and as anybody would what is missing above them.

    Raises:
        OSError: It cannot be made.
    """
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for each in (folder.parent, folder):
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)


def world_writable(path: Path) -> bool:
    """Whether anybody may write what lies at a path; what is not there, or cannot be asked, is not."""
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def complaint(path: Path) -> str | None:
    """Why what lies at a path is not to be executed or believed; None where it is ours, or root's, or not there.

    Its parents are not asked: who can replace a folder there puts a folder of their own in its place.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to user {status.st_uid} and not to you (user {os.geteuid()})"
    if status.st_mode & stat.S_IWOTH:
        return f"can be written by anybody (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def require_own(path: Path) -> None:
    """Raise where `complaint` has something to say.

    Raises:
        TargetUnavailableError: Somebody else could have written it.
    """
    found = complaint(path)
    if found is not None:
        raise TargetUnavailableError(
            f"{path} {found}, and what lies in the cache is executed: nothing of it is used. Take it back "
            f"(chown, chmod o-w) or delete it, or set SSMGEN_CACHE_DIR to a folder of your own."
        )


def own_cache(name: str) -> Path:
    """A folder of the cache, made if it is not there.

    Raises:
        TargetUnavailableError: It, or the cache, is not ours alone.
        OSError: It cannot be made.
    """
    root = settings.cache_dir()
    folder = root / name
    make_folder(folder)
    # In a folder such as /tmp nobody can replace what is another's, so it may hold the cache.
    if not root.stat().st_mode & stat.S_ISVTX:
        require_own(root)
    require_own(folder)
    return folder
