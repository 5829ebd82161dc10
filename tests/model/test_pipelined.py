"""Loops whose loads start rounds ahead: what is written out around them, and what they wait for, counted by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ssmgen.model import amd, nvidia
from ssmgen.model.account import Account, account
from ssmgen.model.alone import cycles_alone
from ssmgen.model.listing import Instruction, Jump, Listing
from ssmgen.model.moved import moved_bytes, peeled_rounds
from ssmgen.model.trips import SourceLoop, source_loops
from ssmgen.targets.devices import DEVICES

DATA = Path(__file__).parent / "data"
SOURCE = (DATA / "pipelined.py").read_text()
LOADED, STORED = 12, 13  # lines
SASS = nvidia.parse((DATA / "pipelined.sass").read_text(), registers=25)
AMDGCN = amd.parse((DATA / "pipelined.amdgcn").read_text())


def ttgir(arch: str) -> str:
    return (DATA / f"pipelined_{arch}.ttgir").read_text()


def loops(rows: int) -> tuple[SourceLoop, ...]:
    return source_loops(SOURCE, "pipelined", {"rows": rows}, (1, 1, 1))


def counted(listing: Listing, arch: str, rows: int) -> Account:
    found = loops(rows)
    return account(listing, found, moved_bytes(ttgir(arch)), peeled_rounds(ttgir(arch), found))


def test_a_step_moves_what_the_loop_moves_and_not_what_stands_around_it() -> None:
    # Three stages on sm_90: two copies stand before the loop; a lane has 4 of 128 floats. Two on gfx942: a load stands
    # before it, a store behind; a lane has 2.
    assert moved_bytes(ttgir("sm_90")) == {LOADED: 16, STORED: 16}
    assert moved_bytes(ttgir("gfx942")) == {LOADED: 8, STORED: 8}


def test_copies_to_shared_memory_are_counted_as_by_hand() -> None:
    # .L_x_1, 0x2a0 to 0x4f0.
    (loop,) = SASS.loops
    assert (loop.header, len(loop.body)) == (0x2A, 0x4F - 0x2A + 1)
    names = Counter(SASS.instructions[index].name for index in loop.body)
    # Three LDS stand before each copy that are never executed.
    assert (names["LDGSTS.E.BYPASS.128"], names["LDGDEPBAR"], names["DEPBAR.LE"], names["NOP"]) == (
        1,
        1,
        1,
        3,
    )
    pipes = Counter(SASS.instructions[index].pipe for index in loop.body)
    # The copy, its group's end, STG; LDS, two BAR; 4 MUFU; 4 FADD, 4 IMAD.MOV or .X, IMAD; UIADD3; DEPBAR, BRA, 3 NOP.
    assert (pipes["global"], pipes["shared"], pipes["mufu"], pipes["fma"]) == (3, 3, 4, 9)
    assert (pipes["scalar"], pipes["control"]) == (1, 5)
    assert pipes["alu"] == 38 - 3 - 3 - 4 - 9 - 1 - 5

    found = counted(SASS, "sm_90", rows=5)
    assert found.unexplained == ()
    assert found.steps == {loop: 1}
    # All rounds are the loop's: the last two start copies that a predicate leaves out.
    assert found.iterations == {loop: 5}
    assert found.pipes()["mufu"] == 4 * 5
    assert (found.bytes("load"), found.bytes("store")) == (16 * (2 + 5), 16 * 5)
    barriers = [
        times for item, times in zip(SASS.instructions, found.times, strict=True) if item.kind == "barrier"
    ]
    assert barriers == [1, 5, 5, 1]


@pytest.mark.parametrize(("rows", "eights", "ones"), [(21, 2, 4), (9, 1, 0), (3, 0, 2), (1, 0, 0)])
def test_rounds_behind_the_loop_are_none_of_its_own(rows: int, eights: int, ones: int) -> None:
    # .LBB0_3 takes eight rounds and .LBB0_8 one of all but the last, which stands behind them.
    eight, one = AMDGCN.loops
    found = counted(AMDGCN, "gfx942", rows)
    assert found.unexplained == ()
    assert found.steps == {eight: 8, one: 1}
    assert found.iterations == {eight: eights, one: ones}
    assert found.pipes()["mufu"] == 2 * rows
    assert found.bytes("store") == 8 * rows
    # Scalar loads bring the kernel's arguments.
    vector = [
        item.bytes * times
        for item, times in zip(AMDGCN.instructions, found.times, strict=True)
        if item.kind == "load" and item.pipe == "global"
    ]
    assert sum(vector) == 8 * rows


LOOP = """
    %n = arith.subi %rows, %c{by}_i32 : i32 loc(#loc{at})
    %x:2 = scf.for %i = %c0_i32 to {upper} step %c{step}_i32 iter_args(%a = %b) -> (f32)  : i32 {{
    }} {{tt.num_stages = 3 : i32}} loc(#loc1)
#loc1 = loc("a.py":7:9)
#loc2 = loc("a.py":7:21)
"""


@pytest.mark.parametrize(
    ("upper", "at", "by", "step", "peeled"),
    [
        ("%n", 1, 2, 1, 2),
        ("%n", 1, 8, 4, 2),  # in steps of four
        ("%n", 2, 2, 1, 0),  # the source's own difference stands elsewhere on the line
        ("%rows", 1, 2, 1, 0),
        ("%c18_i32", 2, 2, 1, 2),  # of 20 rounds
        ("%c20_i32", 2, 2, 1, 0),
        ("%c72_i32", 2, 2, 4, 2),
    ],
)
def test_peeled_rounds_are_read_from_a_loops_bound(
    upper: str, at: int, by: int, step: int, peeled: int
) -> None:
    text = LOOP.format(upper=upper, at=at, by=by, step=step)
    found = peeled_rounds(text, [SourceLoop(7, 9, None, {20: 1.0})])
    assert found.get(7, 0) == peeled


def test_loops_that_are_not_pipelined_have_no_rounds_elsewhere() -> None:
    text = LOOP.format(upper="%n", at=1, by=2, step=1).replace(" {tt.num_stages = 3 : i32}", "")
    assert peeled_rounds(text, []) == {}


CORE = DEVICES["h100"].core
COPY = Instruction("LDGSTS", "global", 2, bytes=4, kind="load")
END_OF_GROUP = Instruction("LDGDEPBAR", "global", 2, marks=((0, "result"),))
WORK = Instruction("FADD", "fma", 2)
AGAIN = Instruction("BRA", "control", 2, kind="branch")


def alone(outstanding: int, work: int, rounds: int) -> float:
    """Cycles of a loop that waits for all but some groups of copies, works, and copies for a later round."""
    wait = Instruction("DEPBAR.LE", "control", 2, waits=((0, outstanding),))
    before = [COPY, END_OF_GROUP] * (outstanding + 1)
    items = [*before, wait, *[WORK] * work, COPY, END_OF_GROUP, AGAIN]
    listing = Listing.of(items, {len(items) - 1: Jump(len(before), True)}, 8)
    return cycles_alone(account(listing, [SourceLoop(1, 3, None, {rounds: 1.0})]), CORE)


def test_copies_are_under_way_for_as_many_rounds_as_there_are_stages_less_one() -> None:
    latency = CORE.latency["global"]
    # Two stages: one group, awaited by the next round's first instruction.
    assert alone(0, 100, 50) == pytest.approx(50 * (latency + 100), rel=0.05)
    # Three: a round of 100 cycles lies between; four: two of them.
    assert alone(1, 100, 50) == pytest.approx(50 * (latency + 100) / 2, rel=0.05)
    assert alone(2, 100, 50) == pytest.approx(50 * (latency + 100) / 3, rel=0.1)
    # Rounds that take longer than the latency wait for nothing.
    assert alone(1, 2 * latency, 50) == pytest.approx(50 * 2 * latency, rel=0.05)


def test_the_kernels_wait_for_the_latency_once_in_stages_less_one_rounds() -> None:
    latency = CORE.latency["global"]
    found = counted(SASS, "sm_90", rows=1000)
    # Two copies are under way: of each round half of the latency is left.
    assert 1000 * latency / 2 < cycles_alone(found, CORE) < 1000 * (latency / 2 + 120)
    at_once = tuple(
        replace(item, waits=((0, 0),)) if item.name == "DEPBAR.LE" else item for item in SASS.instructions
    )
    waiting = replace(found, listing=replace(SASS, instructions=at_once))
    assert cycles_alone(waiting, CORE) > 1000 * latency
