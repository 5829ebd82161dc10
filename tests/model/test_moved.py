"""Bytes that a lane moves at each line, read from a stage of Triton's."""

from __future__ import annotations

from ssmgen.model.moved import moved_bytes

TTGIR = """
#blocked = #ttg.blocked<{sizePerThread = [1, 4], threadsPerWarp = [8, 4], warpsPerCTA = [2, 1], order = [1, 0]}>
#linear = #ttg.linear<{register = [[1, 0], [0, 0], [2, 0]], lane = [[0, 1], [0, 2], [0, 4], [0, 8], [0, 16]]}>
#loc = loc("kernel a.py":3:1)
    %h = tt.load %p : tensor<32x16x!tt.ptr<f32>, #blocked> loc(#loc12)
    %B = tt.load %q, %m, %other : tensor<16x!tt.ptr<bf16>, #ttg.slice<{dim = 0, parent = #blocked}>> loc(#loc13)
    %x = tt.load %r : !tt.ptr<i64> loc(#loc14)
    tt.store %s, %y : tensor<8x32x!tt.ptr<f16>, #linear> loc(#loc4)
    tt.store %s, %z : tensor<8x32x!tt.ptr<f16>, #linear> loc(#loc4)
    %v = amdg.buffer_load %t[%offset] cacheModifier = ca : tensor<64x16xf32, #blocked> loc(#loc5)
    %u = tt.load %p : tensor<32x16x!tt.ptr<f32>, #mma> loc(#loc6)
    tt.return loc(#loc)
#loc1 = loc(unknown)
#loc2 = loc("kernel a.py":10:9)
#loc3 = loc("kernel a.py":20:9)
#loc4 = loc("kernel a.py":30:9)
#loc5 = loc("kernel a.py":40:9)
#loc6 = loc("kernel a.py":50:9)
#loc12 = loc("h"(#loc2))
#loc13 = loc(callsite(#loc2 at #loc3))
#loc14 = loc(callsite(#loc2 at #loc13))
"""


def test_bytes_follow_from_layouts() -> None:
    assert moved_bytes(TTGIR) == {
        # 32 rows over 8 lanes of 2 warps, 16 columns over 4 lanes with 4 each: 2 elements by 4, of 4 bytes.
        10: 2 * 4 * 4,
        # The 16 columns alone, 4 elements of 2 bytes; and a scalar of a helper's helper, which the same line calls.
        20: 4 * 2 + 8,
        # Two stores; a register basis of zeros holds what another holds: 4 elements of 2 bytes in each.
        30: 2 * 4 * 2,
        # 4 rows by 4 columns.
        40: 4 * 4 * 4,
        # Line 50 has a layout that is not worked out.
    }


def test_nothing_moves_nothing() -> None:
    assert moved_bytes("") == {}
