"""The instructions of a compiled function, whatever the vendor: what issues them, what they await, and their loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["PIPES", "Instruction", "Jump", "Listing", "Loop", "natural_loops"]

# Where instructions go: multiply-adds, other arithmetic, float64, special functions, matrix units, memory outside the
# chip's blocks, memory shared by a block (and shuffles), a warp's own scalar unit, and what only steers the warp.
PIPES = ("fma", "alu", "double", "mufu", "tensor", "global", "shared", "scalar", "control")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a warp.

    Attributes:
        name: Its name with modifiers, e.g. `MUFU.EX2` or `v_exp_f32_e32`.
        pipe: One of `PIPES`.
        line: Line of the source that it came from; 0 where that is unknown.
        stall: Cycles after which the warp may issue its next instruction, which the assembler fixed.
        marks: (counter, what) for each counter that tells when its `result` is there or its `operands` were read:
            NVIDIA's scoreboards, AMD's wait counters.
        waits: (counter, outstanding): it waits until no more than so many results of the counter are outstanding.
        bytes: Bytes that one lane moves; 0 of all but memory instructions.
        kind: `load`, `store`, `atomic`, `spill`, `barrier`, `shuffle` or `branch`; empty for all others.
    """

    name: str
    pipe: str
    line: int = 0
    stall: int = 1
    marks: tuple[tuple[int, str], ...] = ()
    waits: tuple[tuple[int, int], ...] = ()
    bytes: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Jump:
    """Where a warp may go after an instruction that is no ordinary one.

    Attributes:
        target: Index of the instruction it may jump to; None where it ends.
        passes: Whether it may also go on with the next instruction.
    """

    target: int | None
    passes: bool


@dataclass(frozen=True)
class Loop:
    """The instructions from which the loop's first can be reached again; they need not lie side by side.

    Attributes:
        header: Index of the first, through which every way into the loop leads.
        body: Indices of all, in the order of memory.
    """

    header: int
    body: tuple[int, ...]

    def holds(self, other: Loop) -> bool:
        """Whether another loop lies in this one."""
        return self.header != other.header and other.header in self.body

    def __hash__(self) -> int:
        return self.header


@dataclass(frozen=True)
class Listing:
    """A function's instructions in the order of memory, and its loops, outer ones before those in them.

    Attributes:
        instructions: All of them but padding.
        loops: The loops, longer ones first.
        registers: 32-bit registers of a lane.
        spills: Instructions, or registers, that spill to memory.
    """

    instructions: tuple[Instruction, ...]
    loops: tuple[Loop, ...]
    registers: int
    spills: int = 0

    @staticmethod
    def of(
        instructions: Sequence[Instruction], jumps: Mapping[int, Jump], registers: int, spills: int = 0
    ) -> Listing:
        """A listing from its instructions and the jumps among them, by index."""
        return Listing(tuple(instructions), natural_loops(len(instructions), jumps), registers, spills)

    def parent(self, loop: Loop) -> Loop | None:
        """The innermost loop around a loop."""
        return min((x for x in self.loops if x.holds(loop)), key=lambda x: len(x.body), default=None)

    def own(self, loop: Loop) -> list[int]:
        """Indices of a loop's instructions that are in no loop inside."""
        inside = {index for x in self.loops if loop.holds(x) for index in x.body}
        return [index for index in loop.body if index not in inside]

    def count(self, kind: str) -> int:
        """Instructions of a kind in the whole function."""
        return sum(item.kind == kind for item in self.instructions)


def natural_loops(count: int, jumps: Mapping[int, Jump]) -> tuple[Loop, ...]:
    """The natural loops of some instructions: an edge back to a dominator, and all that leads to it (Aho et al.)."""
    if not count:
        return ()
    # A label behind the last instruction leads nowhere.
    jumps = {
        index: jump if jump.target is None or jump.target < count else Jump(None, jump.passes)
        for index, jump in jumps.items()
    }
    starts = {0} | {index + 1 for index in jumps if index + 1 < count}
    starts |= {jump.target for jump in jumps.values() if jump.target is not None}
    blocks = sorted(starts)
    ends = [*blocks[1:], count]
    number = {start: position for position, start in enumerate(blocks)}
    before: list[list[int]] = [[] for _ in blocks]
    after: list[list[int]] = [[] for _ in blocks]
    for position, end in enumerate(ends):
        jump = jumps.get(end - 1, Jump(None, True))
        targets = [] if jump.target is None else [number[jump.target]]
        targets += [position + 1] if jump.passes and end < count else []
        for target in targets:
            after[position].append(target)
            before[target].append(position)
    dominators = _dominators(before, after)
    bodies: dict[int, set[int]] = {}
    for position, targets in enumerate(after):
        for header in targets:
            if header in dominators.get(position, ()):
                body = bodies.setdefault(header, {header})
                waiting = [position]
                while waiting:
                    block = waiting.pop()
                    # Code that nothing leads to is in no loop, though it may jump into one.
                    if block not in body and block in dominators:
                        body.add(block)
                        waiting += before[block]
    loops = [
        Loop(blocks[header], tuple(i for block in sorted(body) for i in range(blocks[block], ends[block])))
        for header, body in bodies.items()
    ]
    # A branch to itself ends every function of NVIDIA's: it is no loop.
    return tuple(sorted((x for x in loops if len(x.body) > 1), key=lambda x: (-len(x.body), x.header)))


def _dominators(before: list[list[int]], after: list[list[int]]) -> dict[int, set[int]]:
    """Blocks through which every way from the first leads to each block that can be reached."""
    order: list[int] = []
    seen = {0}
    waiting = [0]
    while waiting:
        block = waiting.pop()
        order.append(block)
        fresh = [target for target in after[block] if target not in seen]
        seen.update(fresh)
        waiting += fresh
    found = {block: set(order) for block in order}
    found[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            ways = [found[other] for other in before[block] if other in found]
            common = set.intersection(*ways) | {block}
            if common != found[block]:
                found[block], changed = common, True
    return found
