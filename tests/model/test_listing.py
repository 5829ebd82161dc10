"""Machine code read by hand and by the parsers, and loops against brute force."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen.model import amd, nvidia
from ssmgen.model.account import Account, account
from ssmgen.model.listing import Jump, Listing, Loop, natural_loops
from ssmgen.model.trips import source_loops

DATA = Path(__file__).parent / "data"


def pipes(listing: Listing, loop: Loop) -> Counter[str]:
    return Counter(listing.instructions[index].pipe for index in loop.body)


def counted(listing: Listing, **sizes: int) -> Account:
    text = (DATA / "row_sums.py").read_text()
    return account(listing, source_loops(text, "row_sums", sizes, (1, 1, 1)))


@pytest.fixture(scope="module")
def sass() -> Listing:
    return nvidia.parse((DATA / "row_sums.sass").read_text(), registers=28)


@pytest.fixture(scope="module")
def amdgcn() -> Listing:
    return amd.parse((DATA / "row_sums.amdgcn").read_text())


def test_nvidia_instructions_and_loops_are_those_counted_by_hand(sass: Listing) -> None:
    # Addresses 0x000 to 0xae0, 16 bytes each; the NOPs behind are padding.
    assert len(sass.instructions) == 0xAE + 1
    rows, four, zeros, one, zero = sass.loops
    # .L_x_6, 0x110 to 0x6b0; in it .L_x_2, four columns from 0x240 to 0x400, .L_x_5, one from 0x560 to 0x600. Where
    # there are no columns, .L_x_8 writes four rows of zeros from 0x7f0 to 0x920, .L_x_10 one from 0xa50 to 0xac0.
    assert [(loop.header, len(loop.body)) for loop in sass.loops] == [
        (0x11, 91),
        (0x24, 29),
        (0x7F, 20),
        (0x56, 11),
        (0xA5, 8),
    ]
    assert [sass.parent(loop) for loop in (rows, four, one, zeros, zero)] == [None, rows, rows, None, None]
    assert len(sass.own(rows)) == 91 - 29 - 11
    # 4 LEA, 4 LEA.HI, 4 VIADD, 2 IADD3, 2 ISETP; 4 FADD; 4 MUFU; 4 LDG; 1 BRA.
    assert pipes(sass, four) == {"alu": 16, "fma": 4, "mufu": 4, "global": 4, "control": 1}
    # LEA, LEA.HI, VIADD, 2 IADD3, 2 ISETP; FADD; MUFU; LDG; BRA.
    assert pipes(sass, one) == {"alu": 7, "fma": 1, "mufu": 1, "global": 1, "control": 1}
    assert (sass.registers, sass.spills, sass.count("atomic")) == (28, 0, 0)


def test_nvidia_control_bits_say_what_waits_for_what(sass: Listing) -> None:
    # 0x0010 LDC R12, high word 0x000e6400...: >> 9 = 0x732 = 0 111 001 1 0010: no wait, result 1, 2 cycles.
    load = sass.instructions[1]
    assert (load.stall, load.marks, load.waits) == (2, ((1, "result"),), ())
    # 0x0020 ISETP R12, high word 0x002fda00...: >> 9 = 0x17ed = 10 111 111 0 1101: waits for 1, no marks, 13 cycles.
    compare = sass.instructions[2]
    assert (compare.stall, compare.marks, compare.waits) == (13, (), ((1, 0),))
    # The store keeps its operands until they are read, and gives no result.
    (store,) = [
        sass.instructions[index]
        for index in sass.own(sass.loops[0])
        if sass.instructions[index].kind == "store"
    ]
    assert [what for _, what in store.marks] == ["operands"]
    assert store.bytes == 4


def test_amd_instructions_loops_and_waits_are_those_counted_by_hand(amdgcn: Listing) -> None:
    rows, eight, one = amdgcn.loops
    assert [amdgcn.parent(loop) for loop in amdgcn.loops] == [None, rows, rows]
    # .LBB0_7: eight buffer_load, v_exp and v_add; .LBB0_11: one of each.
    for loop, steps in ((eight, 8), (one, 1)):
        found = pipes(amdgcn, loop)
        assert (found["global"], found["mufu"], found["fma"]) == (steps, steps, steps)
    # Each of the eight is awaited by itself, the first while seven are on their way.
    waits = [wait for index in eight.body for wait in amdgcn.instructions[index].waits]
    assert waits == [(0, outstanding) for outstanding in (7, 6, 5, 4, 3, 2, 1, 0)]
    # .LBB0_11 lies in one piece: 6 scalar for the address, the load, 3 scalar, wait, v_exp, s_nop, v_add, branch.
    assert len(one.body) == 5 + 1 + 3 + 1 + 1 + 1 + 1 + 1
    assert (amdgcn.registers, amdgcn.spills) == (10, 0)


def test_rounds_follow_from_the_source(sass: Listing, amdgcn: Listing) -> None:
    found = counted(sass, rows=3, cols=7)
    rows, four, zeros, one, zero = sass.loops
    assert found.iterations == {rows: 3, four: 1, one: 3, zeros: 0, zero: 0}
    assert found.steps[four] == 4
    # Exponentials of a row: a round of four, three of one, and three that stand between the loops, taken or not.
    assert found.pipes()["mufu"] == 3 * (4 + 3 + 3)
    assert found.pipes(one)["mufu"] == 1
    assert found.main() is rows
    assert found.unexplained == ()

    rows, eight, one = amdgcn.loops
    found = counted(amdgcn, rows=3, cols=21)
    assert found.iterations == {rows: 3, eight: 2, one: 5}
    assert found.pipes()["mufu"] == 3 * 21
    assert found.bytes("store") == 3 * 4


def test_a_loop_of_no_known_length_is_said_to_be_one(sass: Listing) -> None:
    found = counted(sass, rows=3)
    assert found.unexplained == ("how often the loop at line 12 runs depends on the data",)


def test_ways_out_for_diverged_warps_are_not_taken() -> None:
    line = "        /*0000*/   {name} ;   /* 0x0000000000000000 */\n   /* 0x0000000000000000 */\n"
    text = ".L_x_0:\n" + "".join(
        line.format(name=name)
        for name in ("MOV R1, R2", "BRA.DIV ~UR4, `(.L_x_1)", "@P0 BRA `(.L_x_0)", "EXIT")
    )
    text += ".L_x_1:\n" + "".join(line.format(name=name) for name in ("MOV R3, R2", "BRA `(.L_x_0)"))
    (loop,) = nvidia.parse(text).loops
    assert loop.body == (0, 1, 2)


def test_stores_count_apart_on_gfx11_alone() -> None:
    text = '	.amdgcn_target "amdgcn-amd-amdhsa--{arch}"\n	global_store_b32 v[0:1], v2, off\n'
    wait = "	s_waitcnt_vscnt null, 0x3\n	s_waitcnt vmcnt(2) lgkmcnt(0)\n"
    store, apart, other = amd.parse(text.format(arch="gfx1100") + wait).instructions
    assert (store.marks, apart.waits, other.waits) == (((2, "result"),), ((2, 3),), ((0, 2), (1, 0)))
    assert amd.parse(text.format(arch="gfx942")).instructions[0].marks == ((0, "result"),)


@pytest.mark.parametrize(
    ("comment", "line"),
    [
        ("a b.py:40:5", 40),
        ("a b.py:40:5 @[ a b.py:271:8 ]", 271),
        ("a b.py:40:5 @[ a b.py:271:8 @[ a b.py:300:3 ] ]", 300),
    ],
)
def test_what_was_inlined_is_at_the_line_of_the_kernel(comment: str, line: int) -> None:
    text = f"	.loc	1 40 5 is_stmt 1                ; {comment}\n	v_mov_b32_e32 v0, v1\n"
    assert amd.parse(text).instructions[0].line == line


Graph = tuple[int, dict[int, Jump]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 9))
    targets = st.none() | st.integers(0, count)  # a label may stand behind the last
    jumps = st.builds(Jump, targets, st.booleans())
    return count, draw(st.dictionaries(st.integers(0, count - 1), jumps, max_size=count))


def ways(graph: Graph, start: int, without: frozenset[int] = frozenset()) -> set[int]:
    """Instructions that can be reached from one, itself among them, on ways that avoid some."""
    count, jumps = graph
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        index = waiting.pop()
        if index in seen or index in without or index >= count:
            continue
        seen.add(index)
        jump = jumps.get(index, Jump(None, True))
        waiting += [index + 1] if jump.passes else []
        waiting += [] if jump.target is None else [jump.target]
    return seen


@given(graphs())
def test_natural_loops_are_those_of_the_definition(graph: Graph) -> None:
    count, jumps = graph
    reached = ways(graph, 0)
    expected = {}
    for header in reached:
        # All that the header dominates: what cannot be reached without it.
        dominated = reached - ways(graph, 0, frozenset({header}))
        back = [
            index
            for index in dominated
            for jump in [jumps.get(index, Jump(None, True))]
            if jump.target == header or (jump.passes and index + 1 == header)
        ]
        # The body: whatever leads to one of those edges without coming past the header.
        body = {header} if back else set()
        for index in reached - {header}:
            body |= {index} if ways(graph, index, frozenset({header})) & set(back) else set()
        if len(body) > 1:
            expected[header] = tuple(sorted(body))
    assert {loop.header: loop.body for loop in natural_loops(count, jumps)} == expected


def test_no_instructions_have_no_loops() -> None:
    assert natural_loops(0, {}) == ()
    assert nvidia.parse("").instructions == ()
    assert amd.parse("").instructions == ()
