"""Predicted times of costs that are made up: what limits them, and how they grow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen.model import LaunchCost, predict, resident_blocks
from ssmgen.model.account import account
from ssmgen.model.alone import cycles_alone
from ssmgen.model.listing import Instruction, Jump, Listing
from ssmgen.model.predict import _LAUNCH_SECONDS, _SUSTAINED
from ssmgen.model.trips import SourceLoop
from ssmgen.targets.architectures import ARCHITECTURES
from ssmgen.targets.devices import CORES, DEVICES, device_of

H100 = DEVICES["h100"]
# Of a block of one warp that does next to nothing.
COST = LaunchCost("f", 1, 1, 32, 0, 0, 0, 0.0, {"alu": 1.0}, {}, 0.0, 10.0, 0, 0, 0)


def test_a_launch_that_only_moves_bytes_takes_what_memory_takes() -> None:
    cost = replace(COST, blocks=10_000, read=3_000_000_000, written=350_000_000, footprint=3_350_000_000)
    found = predict(cost, H100)
    assert found.limit == "memory"
    assert found.seconds == pytest.approx(3.35e9 / (H100.bandwidth * _SUSTAINED) + _LAUNCH_SECONDS)
    # What fits into the last cache is faster than memory, not free.
    small = predict(replace(cost, read=10_000_000, written=0, footprint=10_000_000), H100)
    assert small.bounds["memory"] == pytest.approx(1e7 / (H100.cache_bandwidth * _SUSTAINED))
    # What is updated in place is read and written, but takes up the cache once.
    in_place = predict(replace(cost, read=20_000_000, written=20_000_000, footprint=20_000_000), H100)
    assert in_place.bounds["memory"] == pytest.approx(4e7 / (H100.cache_bandwidth * _SUSTAINED))


def test_a_launch_of_special_functions_takes_what_their_lanes_take() -> None:
    # Each partition has four such lanes: eight cycles for a warp's 32.
    cost = replace(COST, blocks=132 * 64, pipes={"mufu": 1000.0}, alone=8000.0)
    found = predict(cost, H100)
    assert (found.limit, found.waves, found.occupied) == ("mufu", 2, 1.0)
    assert found.seconds == pytest.approx(2 * 8 * 8 * 1000 / H100.clock + _LAUNCH_SECONDS)


def test_one_block_takes_what_its_warp_waits_for() -> None:
    found = predict(replace(COST, pipes={"alu": 100.0}, alone=50_000.0), H100)
    assert (found.limit, found.waves) == ("latency", 1)
    assert found.seconds == pytest.approx(50_000 / H100.clock + _LAUNCH_SECONDS)


def test_a_last_wave_takes_as_long_as_its_fullest_unit() -> None:
    cost = replace(COST, blocks=132 * 32, pipes={"alu": 10_000.0}, alone=1.0)
    full, more = predict(cost, H100), predict(replace(cost, blocks=cost.blocks + 1), H100)
    assert (full.waves, more.waves) == (1, 2)
    one = 20_000 / H100.clock  # a single warp on one partition
    assert more.seconds - full.seconds == pytest.approx(one)
    assert more.occupied == pytest.approx((132 * 32 + 1) / (2 * 132 * 32))


@pytest.mark.parametrize(
    ("warps", "registers", "shared", "blocks"),
    [
        (1, 32, 0, 32),  # as many blocks as there may be
        (4, 32, 0, 16),  # as many warps
        (4, 128, 0, 4),  # 512 registers of a lane and partition
        (4, 129, 0, 3),  # which are given in eights
        (8, 255, 0, 1),
        (16, 255, 0, 0),  # two warps of a partition have 256 each, and no more
        (1, 32, 100 * 1024, 2),  # of 228 KiB, with 1 KiB for the system
        (1, 32, 227 * 1024, 1),
        (1, 32, 228 * 1024, 0),
    ],
)
def test_resident_blocks_are_those_of_the_occupancy_calculator(
    warps: int, registers: int, shared: int, blocks: int
) -> None:
    cost = replace(COST, warps=warps, registers=registers, shared=shared)
    assert resident_blocks(cost, H100.core) == blocks


costs = st.builds(
    lambda blocks, warps, registers, shared, pipes, alone, read: replace(
        COST,
        blocks=blocks,
        warps=warps,
        registers=registers,
        shared=shared,
        pipes=pipes,
        alone=alone,
        read=read,
        footprint=read,
    ),
    st.integers(0, 100_000),
    st.sampled_from([1, 2, 4, 8, 16, 32]),
    st.integers(0, 512),
    st.integers(0, 300_000),
    st.dictionaries(st.sampled_from(sorted(H100.core.cycles)), st.floats(0, 1e5)),
    st.floats(0, 1e6),
    st.integers(0, 1 << 34),
)
devices = st.sampled_from(sorted(DEVICES))


@given(costs, devices, st.integers(1, 5_000))
def test_more_blocks_never_take_less_time(cost: LaunchCost, name: str, more: int) -> None:
    device = DEVICES[name]
    found = predict(cost, device)
    assert predict(replace(cost, blocks=cost.blocks + more), device).seconds >= found.seconds * (1 - 1e-9)


@given(costs, devices)
def test_no_bound_is_beaten(cost: LaunchCost, name: str) -> None:
    found = predict(cost, DEVICES[name])
    assert found.seconds >= max(found.bounds.values()) * (1 - 1e-9)
    assert found.bounds[found.limit] == max(found.bounds.values())
    assert 0 <= found.occupied <= 1


def test_very_large_grids_take_no_time_to_predict() -> None:
    assert predict(replace(COST, blocks=2**31 - 1), H100).waves > 500_000


def test_every_architecture_has_a_device_that_stands_for_it() -> None:
    assert set(CORES) == set(ARCHITECTURES)
    for arch, facts in ARCHITECTURES.items():
        device = device_of(arch, arch)
        assert device.arch == arch
        assert device.core.lanes == facts.lanes
        assert device.core.shared >= facts.shared_bytes
    assert device_of("NVIDIA H200", "sm_90") is DEVICES["h200"]


LOAD = Instruction("LDG", "global", 2, marks=((0, "result"),), bytes=4, kind="load")
USE = Instruction("FADD", "fma", 2, waits=((0, 0),))
AFTER = Instruction("BRA", "control", 2, kind="branch")


def alone(items: list[Instruction], trips: float) -> float:
    listing = Listing.of(items, {len(items) - 1: Jump(0, True)}, 8)
    return cycles_alone(account(listing, [SourceLoop(1, 3, None, {trips: 1.0})]), H100.core)


def test_a_lone_warp_waits_for_each_load_that_it_uses() -> None:
    latency = H100.core.latency["global"]
    ten = alone([LOAD, USE, AFTER], 10)
    assert 10 * latency <= ten <= 10 * (latency + 10)
    assert alone([LOAD, USE, AFTER], 1000) == pytest.approx(100 * ten, rel=0.01)
    # What is used a round later is waited for once in two.
    assert alone([USE, LOAD, AFTER], 10) <= ten
    assert alone([LOAD, LOAD, USE, AFTER], 10) <= ten + 10 * 8


def test_a_counter_may_leave_some_outstanding() -> None:
    waiting = replace(USE, waits=((0, 1),))
    # Four on their way and five allowed: nothing to wait for.
    some = [LOAD, LOAD, LOAD, LOAD, replace(USE, waits=((0, 5),)), AFTER]
    assert alone(some, 1) < 100
    assert alone([LOAD, waiting, AFTER], 1) < 100 < alone([LOAD, LOAD, waiting, AFTER], 1)
