"""How often the loops of a generated Triton source run: its bounds, worked out for the sizes of one launch.

Only what bounds can be made of is followed: sizes, constants, the program's place in the grid, and integer arithmetic
on them. A bound that depends on memory (where packed sequences end) stays unknown, and so do its loop's trips.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import mean

__all__ = ["SourceLoop", "source_loops"]

_OPERATIONS: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.FloorDiv: lambda x, y: x // y,
    ast.Mod: lambda x, y: x % y,
    ast.LShift: lambda x, y: x << min(y, 64),
    ast.RShift: lambda x, y: x >> y,
    ast.Eq: lambda x, y: int(x == y),
    ast.NotEq: lambda x, y: int(x != y),
    ast.Lt: lambda x, y: int(x < y),
    ast.LtE: lambda x, y: int(x <= y),
    ast.Gt: lambda x, y: int(x > y),
    ast.GtE: lambda x, y: int(x >= y),
}
_CALLS: dict[str, Callable[..., int]] = {
    "minimum": min,
    "min": min,
    "maximum": max,
    "max": max,
    "cdiv": lambda x, y: -(-x // y),
}
_MOST_PLACES = 33  # programs along each axis of the grid whose trips are averaged


@dataclass
class SourceLoop:
    """A loop of the source.

    Attributes:
        first: Line of its header.
        last: Last line of its body.
        parent: The loop around it.
        counts: How often its body runs each time it is reached, and in what share of the programs; None where data
            decide that.
        unrolled: Whether it is written out before it is compiled (`tl.static_range`, or as a single round).
    """

    first: int
    last: int
    parent: SourceLoop | None
    counts: Mapping[float, float] | None = None
    unrolled: bool = False

    @property
    def trips(self) -> float | None:
        """How often its body runs, on average over programs."""
        return None if self.counts is None else sum(count * share for count, share in self.counts.items())


def source_loops(
    source: str, function: str, scalars: Mapping[str, int], grid: tuple[int, int, int]
) -> tuple[SourceLoop, ...]:
    """The loops of a function, outer ones first.

    Args:
        source: The rendered Triton.
        function: The kernel's name.
        scalars: Values of its sizes, strides and constants.
        grid: Programs along x, y and z.
    """
    (definition,) = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    loops: dict[ast.AST, SourceLoop] = {}
    _collect(definition, None, loops)
    middle = tuple(count // 2 for count in grid)
    at_middle = _trips(definition, loops, scalars, middle, grid)
    # What each axis of the grid adds to the program in the middle, and how many of the places do so.
    added = [
        [
            (_trips(definition, loops, scalars, (*middle[:axis], place, *middle[axis + 1 :]), grid), share)
            for place, share in places.items()
        ]
        for axis, places in enumerate(map(_places, grid))
        if len(places) > 1
    ]
    for node, loop in loops.items():
        known = at_middle[node]
        counts: dict[float, Fraction] | None = None if known is None else {known: Fraction(1)}
        for axis in added:
            counts = _sums(counts, [(found[node], share) for found, share in axis], known)
        if counts is not None:
            loop.counts = {count: float(share) for count, share in counts.items()}
            # Triton writes out a round of what it is told to unroll: a single one, known to be, is no loop any more.
            loop.unrolled |= _unroll_factor(node) > 1 and max(counts) <= 1 and _is_constant(node, definition)
    return tuple(loops.values())


def _sums(
    counts: Mapping[float, Fraction] | None,
    found: Sequence[tuple[float | None, Fraction]],
    middle: float | None,
) -> dict[float, Fraction] | None:
    """Counts and their shares, once another axis of the grid adds what it differs by from the middle."""
    if counts is None or middle is None:
        return None
    sums: dict[float, Fraction] = {}
    for count, share in counts.items():
        for other, part in found:
            if other is None:
                return None
            total = max(0.0, count + other - middle)
            sums[total] = sums.get(total, Fraction(0)) + share * part
    return sums


def _places(count: int) -> dict[int, Fraction]:
    """Places along an axis of the grid, with the shares that they stand for: all, or both ends and some between."""
    if count <= _MOST_PLACES:
        return dict.fromkeys(range(count), Fraction(1, max(count, 1)))
    places = sorted({round(place * (count - 1) / (_MOST_PLACES - 1)) for place in range(_MOST_PLACES)})
    inner = Fraction(count - 2, count * (len(places) - 2))
    return {place: Fraction(1, count) if place in (0, count - 1) else inner for place in places}


def _trips(
    definition: ast.FunctionDef,
    loops: Mapping[ast.AST, SourceLoop],
    scalars: Mapping[str, int],
    program: tuple[int, ...],
    grid: tuple[int, int, int],
) -> dict[ast.AST, float | None]:
    """How often each loop runs in one program, each time it is reached."""
    walk = _Walk(dict(scalars), program, grid)
    walk.statements(definition.body)
    found: dict[ast.AST, float | None] = {}
    for node in loops:
        seen = walk.seen.get(node, [0])
        found[node] = None if None in seen else mean(count for count in seen if count is not None)
    return found


def _unroll_factor(node: ast.AST) -> int:
    """Steps that Triton writes out in a row: `tl.range(..., loop_unroll_factor=4)`."""
    given = node.iter.keywords if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) else []
    values = [item.value for item in given if item.arg == "loop_unroll_factor"]
    return int(values[0].value) if values and isinstance(values[0], ast.Constant) else 1  # type: ignore[arg-type]


def _is_constant(node: ast.AST, definition: ast.FunctionDef) -> bool:
    """Whether a loop's bounds are made of numbers and `tl.constexpr` parameters alone."""
    constants = {
        item.arg
        for item in definition.args.args
        if item.annotation is not None and "constexpr" in ast.unparse(item.annotation)
    }
    bounds = node.iter.args if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) else []
    names = [part.id for bound in bounds for part in ast.walk(bound) if isinstance(part, ast.Name)]
    return all(name in constants for name in names)


def _collect(node: ast.AST, parent: SourceLoop | None, loops: dict[ast.AST, SourceLoop]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = parent
        if isinstance(child, ast.For | ast.While):
            unrolled = isinstance(child, ast.For) and "static_range" in ast.unparse(child.iter)
            inner = loops[child] = SourceLoop(
                child.lineno, child.end_lineno or child.lineno, parent, unrolled=unrolled
            )
        _collect(child, inner, loops)


class _Walk:
    """One program's way through the source, in which every loop's body is read once."""

    def __init__(
        self,
        values: dict[str, int | None],
        program: tuple[int, ...],
        grid: tuple[int, int, int],
    ) -> None:
        self.seen: dict[ast.AST, list[int | None]] = {}
        self._values = values
        self._program = program
        self._grid = grid

    def statements(self, body: list[ast.stmt]) -> None:
        """Follow some statements."""
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._values[name] = self._value(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._values[name] = self._value(value)
            case ast.AugAssign(target=ast.Name(id=name), op=operation, value=value):
                self._values[name] = self._combined(type(operation), ast.Name(name, ast.Load()), value)
            case ast.If():
                self._if(node)
            case ast.For():
                self._for(node)
            case ast.While():
                self.seen.setdefault(node, []).append(None)
                self._forget(node)
                self.statements(node.body)
                self._forget(node)
            case _:
                self._forget(node)

    def _if(self, node: ast.If) -> None:
        test = self._value(node.test)
        if test is not None:
            self.statements(node.body if test else node.orelse)
            return
        before = dict(self._values)
        self.statements(node.body)
        after, self._values = self._values, before
        self.statements(node.orelse)
        # What the branches do not agree on is not known.
        self._values = {name: value for name, value in self._values.items() if after.get(name) == value}

    def _for(self, node: ast.For) -> None:
        start, stop, step = self._range(node.iter)
        trips = None
        if start is not None and stop is not None and step:
            trips = max(0, -(-(stop - start) // step))
            trips = -(-trips // _unroll_factor(node))
        self.seen.setdefault(node, []).append(trips)
        self._forget(node)
        if isinstance(node.target, ast.Name):
            # What the body sees halfway.
            known = start is not None and step and trips is not None
            self._values[node.target.id] = start + trips // 2 * step if known else None  # type: ignore[operator]
        self.statements(node.body)
        self._forget(node)

    def _forget(self, node: ast.AST) -> None:
        """What a statement assigns is not known after it."""
        self._values.update(dict.fromkeys(_assigned(node)))

    def _range(self, node: ast.expr) -> tuple[int | None, int | None, int | None]:
        if not isinstance(node, ast.Call) or _name(node) not in ("range", "static_range"):
            return None, None, None
        values = [self._value(argument) for argument in node.args]
        if len(values) == 1:
            return 0, values[0], 1
        if len(values) not in (2, 3) or any(item.arg == "step" for item in node.keywords):
            return None, None, None
        return values[0], values[1], values[2] if len(values) > 2 else 1

    def _value(self, node: ast.expr) -> int | None:
        match node:
            case ast.Constant(value=bool() | int() as constant):
                return int(constant)
            case ast.Name(id=name):
                return self._values.get(name)
            case ast.BinOp(left=left, op=operation, right=right):
                return self._combined(type(operation), left, right)
            case ast.Compare(left=left, ops=[operation], comparators=[right]):
                return self._combined(type(operation), left, right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._value(operand)
                return None if value is None else -value
            case ast.IfExp():
                test = self._value(node.test)
                return None if test is None else self._value(node.body if test else node.orelse)
            case ast.Call():
                return self._call(node)
        return None

    def _combined(self, operation: type[ast.AST], left: ast.expr, right: ast.expr) -> int | None:
        x, y = self._value(left), self._value(right)
        if x is None or y is None or operation not in _OPERATIONS:
            return None
        if operation in (ast.FloorDiv, ast.Mod) and not y:
            return None
        if operation in (ast.LShift, ast.RShift) and y < 0:
            return None
        return _OPERATIONS[operation](x, y)

    def _call(self, node: ast.Call) -> int | None:
        name = _name(node)
        if name == "to" and isinstance(node.func, ast.Attribute):
            return self._value(node.func.value)
        values = [self._value(argument) for argument in node.args]
        if None in values or not values:
            return None
        known = [value for value in values if value is not None]
        if name in ("program_id", "num_programs"):
            return (self._program if name == "program_id" else self._grid)[known[0]]
        if name not in _CALLS or len(known) != 2 or (name == "cdiv" and not known[1]):
            return None
        return _CALLS[name](*known)


@lru_cache(maxsize=1024)  # every program that is followed forgets the same
def _assigned(node: ast.AST) -> frozenset[str]:
    """The names that a statement assigns."""
    return frozenset(
        child.id
        for child in ast.walk(node)
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
    )


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
