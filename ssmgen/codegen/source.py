"""A rendered kernel: its text, its name and the hash that identifies it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ssmgen import settings
from ssmgen.errors import TargetUnavailableError
from ssmgen.trust import FILE_MODE, FOLDER_MODE, own_cache, require_own

__all__ = ["Source", "cache_errors", "hash_of_files", "write_atomically"]

_SUFFIX = {"triton": ".py", "c": ".c"}


@dataclass(frozen=True)
class Source:
    """Generated source code.

    Attributes:
        language: `triton` or `c`.
        name: Readable stem of the file's name, e.g. `selective_scan_forward_sequential`.
        text: The whole file, header included.
        hash: First 16 hexadecimal digits of the SHA-256 of the text below the header.
    """

    language: str
    name: str
    text: str
    hash: str

    @staticmethod
    def digest(body: str) -> str:
        """The hash of a rendered body."""
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    def path(self) -> Path:
        """Where the source lies in the cache; written if it is not there or not the same.

        Raises:
            TargetUnavailableError: The cache cannot be written, or somebody else can write it.
        """
        folder = settings.cache_dir() / "sources"
        path = folder / f"{self.name}_{self.hash}{_SUFFIX[self.language]}"
        with cache_errors(folder):
            own_cache("sources")
            require_own(path)
            if not path.exists() or path.read_text() != self.text:
                write_atomically(path, self.text)
        return path


def hash_of_files(paths: Iterable[Path]) -> str:
    """The SHA-256 of what files hold, in the order of their paths."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Say which variable moves the cache where the system only says that a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise TargetUnavailableError(
            f"the cache folder {folder} cannot be used ({error.strerror or error}); make it writable, or set "
            "SSMGEN_CACHE_DIR to a folder that is."
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new one and nothing between."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # The system applies the umask when it creates a file: to ask for it is to change it, for all threads.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
