"""What a lane loads and stores in one step of the source, by line: Triton knows it before loops are unrolled.

LLVM and the assembler unroll loops, and leave no trace of it where nothing is left over. A loop of the machine code
that moves four times as much at a line as the line does takes four steps in a round.
"""

from __future__ import annotations

import re
from collections import Counter
from math import prod

__all__ = ["moved_bytes"]

_LAYOUT = re.compile(r"^#(?P<name>\w+) = #ttg\.(?P<kind>blocked|linear)<\{(?P<body>.*)\}>", re.MULTILINE)
_FIELD = re.compile(r"(sizePerThread|threadsPerWarp|warpsPerCTA) = \[([\d, ]*)\]")
_REGISTERS = re.compile(r"register = \[(.*?)\], lane")
_LOCATION = re.compile(r"^#(?P<name>loc\d*) = loc\((?P<body>.*)\)$", re.MULTILINE)
_ACCESS = re.compile(
    r"(?:tt\.(?:load|store)|\w+\.buffer_(?:load|store)) "
    r".*: (?P<type>tensor<.*>|!tt\.ptr<\w+>)[^:\n]* loc\(#(?P<at>loc\d*)\)$",
    re.MULTILINE,
)
_TENSOR = re.compile(
    r"tensor<(?P<shape>(?:\d+x)+)(?:!tt\.ptr<)?[a-z]+(?P<bits>\d+)\w*>?, "
    r"(?:#ttg\.slice<\{dim = (?P<dim>\d), parent = #(?P<parent>\w+)\}>|#(?P<layout>\w+))>"
)
_SCALAR = re.compile(r"!tt\.ptr<[a-z]+(\d+)")


def moved_bytes(ttgir: str) -> dict[int, float]:
    """Bytes that a lane moves at each line of the source, once through; lines of unusual layouts are left out.

    Args:
        ttgir: Triton's stage of that name, of one launch. An access in a helper counts for the line that calls it.
    """
    layouts = {match["name"]: match for match in _LAYOUT.finditer(ttgir)}
    places = {match["name"]: match["body"] for match in _LOCATION.finditer(ttgir)}
    found: Counter[int] = Counter()
    strange: set[int] = set()
    for match in _ACCESS.finditer(ttgir):
        line, size = _line(match["at"], places), _bytes(match["type"], layouts)
        if size is None:
            strange.add(line)
        else:
            found[line] += size
    return {line: float(size) for line, size in found.items() if line and line not in strange}


def _line(name: str, places: dict[str, str]) -> int:
    """The line of the kernel that a location stands for, whatever was inlined there; 0 where that is unknown."""
    for _ in places:
        body = places.get(name, "")
        if match := re.match(r'"[^"]*":(\d+):\d+', body):
            return int(match[1])
        # `callsite(helper at caller)`, or a name for another place.
        inner = re.search(r"at #(loc\d*)\)?$", body) or re.search(r"\(#(loc\d*)\)$", body)
        if inner is None:
            return 0
        name = inner[1]
    return 0


def _bytes(kind: str, layouts: dict[str, re.Match[str]]) -> int | None:
    scalar = _SCALAR.match(kind)
    if scalar is not None:
        return max(1, int(scalar[1]) // 8)
    tensor = _TENSOR.match(kind)
    layout = layouts.get(tensor["parent"] or tensor["layout"]) if tensor else None
    if tensor is None or layout is None:
        return None
    size = max(1, int(tensor["bits"]) // 8)
    if layout["kind"] == "linear":
        # A power of two of elements, without what several registers hold alike.
        bases = (
            re.findall(r"\[([\d, ]+)\]", registers[1])
            if (registers := _REGISTERS.search(layout["body"]))
            else []
        )
        own = sum(any(int(value) for value in basis.split(",")) for basis in bases)
        return None if tensor["dim"] else size << own
    fields = {name: [int(x) for x in values.split(",")] for name, values in _FIELD.findall(layout["body"])}
    axes = list(zip(fields["sizePerThread"], fields["threadsPerWarp"], fields["warpsPerCTA"], strict=True))
    if tensor["dim"]:
        del axes[int(tensor["dim"])]
    shape = [int(value) for value in tensor["shape"].split("x") if value]
    return size * prod(
        each * -(-extent // (each * lanes * warps))
        for extent, (each, lanes, warps) in zip(shape, axes, strict=True)
    )
