"""What a GPU's machine code says of itself: the parameters that it takes, and the threads of its blocks."""

from __future__ import annotations

import re
from typing import NamedTuple

from ssmgen.errors import CompileError

__all__ = ["Entry", "entry_of"]


class Entry(NamedTuple):
    """The entry of a kernel.

    Attributes:
        parameter_bytes: Width of each parameter, in order.
        threads: Threads of a block.
    """

    parameter_bytes: tuple[int, ...]
    threads: int


def entry_of(kind: str, assembly: str, symbol: str) -> Entry:
    """The entry of a kernel, from its PTX (`cuda`) or its AMD assembly (`hip`).

    Raises:
        CompileError: The text has another form.
    """
    found = _ptx(assembly, symbol) if kind == "cuda" else _amdgcn(assembly)
    if found is None:
        raise CompileError(
            f"the machine code of {symbol} does not say in a known form which parameters it takes, so that a manifest "
            "of them could not be checked; export with another version of Triton."
        )
    return found


def _ptx(text: str, symbol: str) -> Entry | None:
    entry = re.search(rf"\.entry {re.escape(symbol)}\((.*?)\)\s*\.reqntid (\d+)", text, re.DOTALL)
    if entry is None:
        return None
    widths = re.findall(r"\.param \.[a-z](\d+) ", entry[1])
    return Entry(tuple(int(bits) // 8 for bits in widths), int(entry[2]))


def _amdgcn(text: str) -> Entry | None:
    metadata = re.search(r"\.amdgpu_metadata(.*)\.end_amdgpu_metadata", text, re.DOTALL)
    threads = re.search(r"\.max_flat_workgroup_size: +(\d+)", metadata[1]) if metadata else None
    if metadata is None or threads is None:
        return None
    # The runtime passes hidden arguments itself.
    arguments = re.findall(r"\.size: +(\d+)\s+\.value_kind: +(\w+)", metadata[1])
    widths = tuple(int(size) for size, kind in arguments if not kind.startswith("hidden_"))
    return Entry(widths, int(threads[1]))
