"""Main memory: what there is, and a limit to what a process takes of it."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

__all__ = ["available", "is_exhausted", "limit", "share", "status", "total", "volunteer"]

_STATUS, _MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")
_GROUP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def total() -> int | None:
    """Bytes of main memory; None where the system does not say."""
    return _entry(_MACHINE, "MemTotal")


def available() -> int | None:
    """Bytes that can be had without swapping, by this process's control groups too; None where no one says."""
    known = [size for size in (_entry(_MACHINE, "MemAvailable"), *_of_groups()) if size is not None]
    return min(known, default=None)


def share(part: float) -> int | None:
    """Bytes of that part of what is available now; None where no one says how much that is."""
    free = available()
    return None if free is None else int(part * free)


def limit(size: int) -> None:
    """Let this process, and each that it starts, take at most so many bytes more than it holds now.

    It is data that counts (heap, and private pages that can be written), and not addresses: a driver of a GPU reserves
    more of those than there is memory.
    """
    held = status("VmData")
    if held is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + size
    resource.setrlimit(
        resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
    )


def volunteer() -> None:
    """Be the first to go where the system runs out of memory: what this process does can be done again."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the machine or of a GPU."""
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return any(
        words in said for words in ("can't allocate memory", "out of memory", "cannot allocate memory")
    )


def status(name: str) -> int | None:
    """Bytes that the system lists for this process under a name such as `VmRSS`; None where it does not say."""
    return _entry(_STATUS, name)


def _of_groups() -> list[int]:
    """Bytes that are left to each control group of this process that has a limit."""
    try:
        listed = _GROUP.read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in listed if line.startswith("0::")), "/").strip("/")
    found = []
    for folder in (_GROUPS / own, *(_GROUPS / own).parents):
        try:
            most, taken = ((folder / f"memory.{name}").read_text().strip() for name in ("max", "current"))
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if most != "max":
            # Files that nobody has read for a while make room.
            found.append(max(0, int(most) - int(taken) + int(counts.get("inactive_file", 0))))
    return found


def _entry(path: Path, name: str) -> int | None:
    try:
        listed = path.read_text().splitlines()
    except OSError:
        return None
    found = (value for key, _, value in (line.partition(":") for line in listed) if key == name)
    return next((int(value.split()[0]) << 10 for value in found), None)
