"""Whether this process is frozen: what calls need is prepared, and a call that needs more is an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["freeze", "frozen", "is_frozen", "unfreeze"]

_lock = Lock()
_is_frozen = False  # by freeze()
_blocks = 0  # of frozen(), in all threads, that have not ended


def freeze() -> None:
    """From now on, a call of an op that needs something new raises a `FrozenError`, in every thread of this process.

    A frozen process chooses no config, renders and compiles nothing, reads no file and says no warning about what
    serves a call: a request of a server takes what it takes, or fails with the line that would have prepared it. What
    has been prepared, by `warmup` or by a call, stays prepared for its problem (op, direction, sizes, dtype, options)
    and target, on the GPU that was current then; tensors may come with other strides and at other addresses.

    On a GPU, a kernel relies on the addresses and strides that are multiples of 16 bytes or elements. What `warmup`
    prepares serves all others too; what a call has prepared serves those that are as its own were.
    """
    global _is_frozen
    with _lock:
        _is_frozen = True


def unfreeze() -> None:
    """End what `freeze` began. A block of `frozen` that has not ended stays frozen."""
    global _is_frozen
    with _lock:
        _is_frozen = False


@contextmanager
def frozen() -> Iterator[None]:
    """Within it this process, not only this thread, is frozen; see `freeze`."""
    global _blocks
    with _lock:
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1


def is_frozen() -> bool:
    """Whether this process is frozen."""
    return _is_frozen or _blocks > 0
