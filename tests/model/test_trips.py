"""How often loops of a source run, against running them."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen.model.trips import SourceLoop, source_loops

SIZES = {"n": 37, "m": 12, "BLOCK": 8}


def loops_of(body: str, grid: tuple[int, int, int] = (1, 1, 1), **sizes: int) -> tuple[SourceLoop, ...]:
    text = "def kernel():\n" + "\n".join(f"    {line}" for line in body.splitlines())
    return source_loops(text, "kernel", {**SIZES, **sizes}, grid)


def test_a_single_round_is_written_out_only_where_the_compiler_knows_that_it_is_one() -> None:
    text = """
def kernel(batch, BLOCK: tl.constexpr):
    for _ in tl.range(0, BLOCK, 2, loop_unroll_factor=4):
        pass
    for _ in tl.range(batch, loop_unroll_factor=4):
        pass
"""
    constant, runtime = source_loops(text, "kernel", {"batch": 4, "BLOCK": 8}, (1, 1, 1))
    assert (constant.trips, runtime.trips) == (1, 1)
    assert (constant.unrolled, runtime.unrolled) == (True, False)


numbers = st.sampled_from(["n", "m", "BLOCK", "x", "1", "5", "tl.program_id(0)", "tl.num_programs(0)"])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(numbers)
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    operator = draw(st.sampled_from(["+", "-", "*", "//", "%", "min", "max", "cdiv", "if"]))
    if operator in ("//", "%"):
        return f"({left}) {operator} {draw(st.integers(1, 9))}"
    if operator == "cdiv":
        return f"tl.cdiv({left}, {draw(st.integers(1, 9))})"
    if operator == "if":
        return f"(({left}) if ({left}) < ({right}) else ({right}))"
    return f"{operator}({left}, {right})" if operator in ("min", "max") else f"({left}) {operator} ({right})"


@st.composite
def bodies(draw: st.DrawFn) -> str:
    lines = []
    for number in range(draw(st.integers(1, 3))):
        value = draw(expressions())
        match draw(st.sampled_from(["assign", "augment", "if"])):
            case "assign":
                lines.append(f"x = {value}")
            case "augment":
                lines.append(f"x {draw(st.sampled_from(['+=', '-=']))} {value}")
            case "if":
                lines += [f"if x < {value}:", "    x += 3", "else:", "    x = m"]
        lines.append("x = min(x, 99)")  # short runs
        bounds = draw(st.sampled_from(["x", "BLOCK, x", "0, x, BLOCK", "x, 0, -3"]))
        lines += [f"for i in range({bounds}):", f"    ran[{number}] += 1"]
        if draw(st.booleans()):
            lines += [
                f"    for j in range({draw(st.sampled_from(['n', 'x % 5', 'n // 4, n']))}):",
                "        inner += 1",
            ]
        if draw(st.booleans()):
            lines.append("    x = 0")
            lines.append("x = n")
    return "\n".join(lines)


def run(body: str, grid: tuple[int, int, int]) -> list[float]:
    """Average trips of the outer loops over all programs."""
    totals = [0.0, 0.0, 0.0]
    for program in product(*map(range, grid)):
        language = SimpleNamespace(
            program_id=lambda axis, program=program: program[axis],
            num_programs=lambda axis: grid[axis],
            cdiv=lambda x, y: -(-x // y),
        )
        names: dict[str, Any] = {**SIZES, "x": 7, "tl": language, "ran": [0, 0, 0], "inner": 0}
        exec(body, names)
        totals = [total + count for total, count in zip(totals, names["ran"], strict=True)]
    return [total / (grid[0] * grid[1] * grid[2]) for total in totals]


@settings(max_examples=60)
@given(bodies(), st.integers(1, 6))
def test_trips_are_those_of_a_run(body: str, programs: int) -> None:
    grid = (programs, 1, 1)
    found = [loop for loop in loops_of(body, grid, x=7) if loop.parent is None]
    for loop, ran in zip(found, run(body, grid), strict=False):
        assert loop.trips == pytest.approx(ran), body
        assert loop.counts is not None
        assert sum(loop.counts.values()) == pytest.approx(1)


def test_what_programs_do_keeps_its_spread() -> None:
    (loop,) = loops_of("for _ in range(tl.program_id(2)):\n    pass", (1, 3, 8))
    assert loop.counts == dict.fromkeys(range(8), 1 / 8)
    # Of a long axis some places stand for all, but each end for itself: the last block is often a short one.
    (last,) = loops_of(
        "for _ in range(min(BLOCK, 1000 * BLOCK - 3 - BLOCK * tl.program_id(0))):\n    pass", (1000, 1, 1)
    )
    assert last.counts is not None
    assert last.counts[5] == pytest.approx(1 / 1000)
    assert last.counts[8] == pytest.approx(999 / 1000)


def test_loops_nest_and_static_ones_are_marked() -> None:
    body = """for i in tl.range(n // 4):
    for j in tl.static_range(4):
        y += 1
    for k in range(2, n, 4):
        y += 1"""
    outer, static, inner = loops_of(body)
    assert [outer.trips, static.trips, inner.trips] == [9, 4, 9]
    assert (static.unrolled, outer.unrolled, inner.unrolled) == (True, False, False)
    assert static.parent is outer
    assert inner.parent is outer
    assert (outer.first, outer.last) == (2, 6)


@pytest.mark.parametrize(
    "body",
    [
        "x = tl.load(p)\nfor i in range(x):\n    pass",
        "while n < m:\n    n += 1",
        "for i in range(n, BLOCK, n - n):\n    pass",
        "for i in range(n // (m - m)):\n    pass",
        "for i in range(1 << (0 - 1)):\n    pass",
        "for i in range(tl.cdiv(n, m - m)):\n    pass",
        "for i in range(min(n)):\n    pass",
        "for i in zip(n, m):\n    pass",
        "for i in range(0, n, step=2):\n    pass",
        # What a loop carries from one round to the next is not followed.
        "x = 1\nfor i in range(3):\n    x = x + x\nfor i in range(x):\n    pass",
        # Nor what one of two branches assigns, where data decide between them.
        "if tl.load(p):\n    x = 1\nelse:\n    x = 2\nfor i in range(x):\n    pass",
    ],
)
def test_what_cannot_be_worked_out_is_unknown(body: str) -> None:
    assert loops_of(body)[-1].trips is None


def test_branches_that_agree_leave_what_they_agree_on() -> None:
    body = "x = 4\nif tl.load(p):\n    y = 1\nelse:\n    y = 2\nfor i in range(x):\n    pass"
    assert loops_of(body)[0].trips == 4


def test_an_empty_grid_and_no_loops() -> None:
    assert loops_of("x = 1") == ()
    assert loops_of("for i in range(n):\n    pass", (0, 1, 1))[0].trips == 37
