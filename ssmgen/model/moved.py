"""What a lane loads and stores in one step of the source, by line: Triton knows it before loops are unrolled.

LLVM and the assembler unroll loops, and leave no trace of it where nothing is left over. A loop of the machine code
that moves four times as much at a line as the line does takes four steps in a round.

Where loads are pipelined (`tl.range(..., num_stages=3)`) a round starts those of a later one, on NVIDIA's GPUs as
copies to shared memory. What Triton then writes out before the loop, the loads of its first rounds, and for AMD's GPUs
behind it, all of its last rounds, is none of the loop's steps.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import prod

from ssmgen.model.trips import SourceLoop

__all__ = ["moved_bytes", "peeled_rounds"]

_LAYOUT = re.compile(r"^#(?P<name>\w+) = #ttg\.(?P<kind>blocked|linear)<\{(?P<body>.*)\}>", re.MULTILINE)
_FIELD = re.compile(r"(sizePerThread|threadsPerWarp|warpsPerCTA) = \[([\d, ]*)\]")
_REGISTERS = re.compile(r"register = \[(.*?)\], lane")
_LOCATION = re.compile(r"^#(?P<name>loc\d*) = loc\((?P<body>.*)\)$", re.MULTILINE)
_ACCESS = re.compile(
    r"(?:tt\.(?:load|store)|\w+\.buffer_(?:load|store)|\w+\.async_copy_global_to_local) "
    r".*: (?P<type>tensor<.*>|!tt\.ptr<\w+>)[^:\n]* loc\(#(?P<at>loc\d*)\)$"
)
# A loop, its end, and the bound of one whose last rounds stand behind it: it has the loop's own place in the source.
_FOR = re.compile(r"scf\.for \S+ = (?P<lower>\S+) to (?P<upper>\S+) step (?P<step>\S+)")
_END = re.compile(r"\s*\} \{.*tt\.num_stages.* loc\(#(?P<at>loc\d*)\)$")
_SHORTENED = re.compile(
    r"^\s*(?P<name>\S+) = arith\.subi \S+, %c(?P<by>\d+)_i\d+\S* : \w+ loc\(#(?P<at>loc\d*)\)$", re.MULTILINE
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
    places = _places(ttgir)
    # By the number of loops around: pipelining repeats a line outside of its loop.
    found: dict[int, Counter[int]] = defaultdict(Counter)
    strange: set[int] = set()
    for text, around in _lines(ttgir):
        if match := _ACCESS.search(text):
            line, size = _line(match["at"], places), _bytes(match["type"], layouts)
            if size is None:
                strange.add(line)
            else:
                found[line][sum("scf.for" in opening for opening in around)] += size
    return {line: float(sizes[max(sizes)]) for line, sizes in found.items() if line and line not in strange}


def peeled_rounds(ttgir: str, loops: Sequence[SourceLoop]) -> dict[int, int]:
    """Rounds of each pipelined loop that are written out behind it, by the line of its header.

    Args:
        ttgir: Triton's stage of that name, of one launch.
        loops: The loops of its source.
    """
    places = _places(ttgir)
    shortened = {match["name"]: match for match in _SHORTENED.finditer(ttgir)}
    trips = {source.first: source.trips for source in loops}
    found: dict[int, int] = {}
    for text, around in _lines(ttgir):
        bounds, end = _FOR.search(around[-1]) if around else None, _END.match(text)
        if bounds is None or end is None:
            continue
        line, less = _line(end["at"], places), shortened.get(bounds["upper"])
        lower, upper, step = (_constant(bounds[name]) for name in ("lower", "upper", "step"))
        if step and less is not None and less["at"] == end["at"]:
            found[line] = int(less["by"]) // step
        elif step and lower is not None and upper is not None and (rounds := trips.get(line)) is not None:
            found[line] = max(0, round(rounds) - -(-(upper - lower) // step))
    return found


def _lines(ttgir: str) -> Iterator[tuple[str, list[str]]]:
    """Each line, with the lines that open the regions around it; one that closes a region is still in it."""
    around: list[str] = []
    for text in ttgir.splitlines():
        yield text, around
        if around and text.lstrip().startswith("}"):
            around.pop()
        if text.endswith("{"):
            around.append(text)


def _constant(name: str) -> int | None:
    """The value of a constant, which its name tells: `%c4_i32`."""
    match = re.match(r"%c(-?\d+)_i\d+", name)
    return int(match[1]) if match else None


def _places(ttgir: str) -> dict[str, str]:
    return {match["name"]: match["body"] for match in _LOCATION.finditer(ttgir)}


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
