# selective_scan forward, fp32: split(ahead=1,block_d=2,exp=asm,lanes=16,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_split.py.j2; source a0074711b23ae32d.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def at_step(tile, step, BLOCK_D: tl.constexpr, LANES: tl.constexpr):
    # What the lane of this step has, in every lane of its channel.
    return tl.gather(tile, tl.full((BLOCK_D, LANES), step, tl.int32), 1)


@triton.jit
def fold(x, y, half, BLOCK_D: tl.constexpr, LANES: tl.constexpr):
    # Sums of lanes that are `half` apart: the lower one gets that of x, the upper one that of y.
    lane = tl.broadcast_to(tl.arange(0, LANES)[None, :], (BLOCK_D, LANES))
    upper = (lane & half) != 0
    return tl.where(upper, y, x) + tl.gather(tl.where(upper, x, y), lane ^ half, 1)


@triton.jit
def selective_scan(
    u,
    delta,
    A,
    B,
    C,
    out,
    u_stride_batch,
    u_stride_dim,
    delta_stride_batch,
    delta_stride_dim,
    out_stride_batch,
    out_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
    LANES: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    out = out + batch * out_stride_batch + channels * out_stride_dim
    B += batch * seqlen * 16
    C += batch * seqlen * 16
    lane = tl.arange(0, LANES)[None, :]
    # Where a lane's states begin; they lie one behind the other.
    first = tl.broadcast_to(lane, (BLOCK_D, LANES))
    weights = channels[:, None] * 16 + first
    A0 = tl.load(A + weights) * 1.4426950408889634
    h0 = tl.full((BLOCK_D, LANES), 0.0, tl.float32)
    # A tile has a step for each lane: what depends on the channel alone is computed once. Sums over states come about by
    # folding: of two steps a lane keeps one, gives its part of the other away, and in the end has the y of its own step.
    tiles = seqlen // LANES
    if tiles > 0:
        delta_next = tl.load(delta[:, None] + lane)
        u_next = tl.load(u[:, None] + lane)
        B_next = B + first
        B0_0 = tl.load(B_next)
        B1_0 = tl.load(B_next + 16)
        B2_0 = tl.load(B_next + 32)
        B3_0 = tl.load(B_next + 48)
        B4_0 = tl.load(B_next + 64)
        B5_0 = tl.load(B_next + 80)
        B6_0 = tl.load(B_next + 96)
        B7_0 = tl.load(B_next + 112)
        B8_0 = tl.load(B_next + 128)
        B9_0 = tl.load(B_next + 144)
        B10_0 = tl.load(B_next + 160)
        B11_0 = tl.load(B_next + 176)
        B12_0 = tl.load(B_next + 192)
        B13_0 = tl.load(B_next + 208)
        B14_0 = tl.load(B_next + 224)
        B15_0 = tl.load(B_next + 240)
        C_next = C + first
        C0_0 = tl.load(C_next)
        C1_0 = tl.load(C_next + 16)
        C2_0 = tl.load(C_next + 32)
        C3_0 = tl.load(C_next + 48)
        C4_0 = tl.load(C_next + 64)
        C5_0 = tl.load(C_next + 80)
        C6_0 = tl.load(C_next + 96)
        C7_0 = tl.load(C_next + 112)
        C8_0 = tl.load(C_next + 128)
        C9_0 = tl.load(C_next + 144)
        C10_0 = tl.load(C_next + 160)
        C11_0 = tl.load(C_next + 176)
        C12_0 = tl.load(C_next + 192)
        C13_0 = tl.load(C_next + 208)
        C14_0 = tl.load(C_next + 224)
        C15_0 = tl.load(C_next + 240)
        for number in range(tiles):
            delta_tile = delta_next
            u_tile = u_next
            # After the last tile there is no other: it is loaded again.
            following = tl.where(number + 1 < tiles, LANES, 0).to(tl.int64)
            delta_next = tl.load(delta[:, None] + lane + following)
            u_next = tl.load(u[:, None] + lane + following)
            x_tile = delta_tile * u_tile
            B_next = B + first + following * 16
            C_next = C + first + following * 16
            delta_t = at_step(delta_tile, 0, BLOCK_D, LANES)
            x = at_step(x_tile, 0, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0_0)
            y0 = h0 * C0_0
            B0_0 = tl.load(B_next)
            C0_0 = tl.load(C_next)
            delta_t = at_step(delta_tile, 1, BLOCK_D, LANES)
            x = at_step(x_tile, 1, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B1_0)
            y1 = h0 * C1_0
            B1_0 = tl.load(B_next + 16)
            C1_0 = tl.load(C_next + 16)
            y0 = fold(y0, y1, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 2, BLOCK_D, LANES)
            x = at_step(x_tile, 2, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B2_0)
            y2 = h0 * C2_0
            B2_0 = tl.load(B_next + 32)
            C2_0 = tl.load(C_next + 32)
            delta_t = at_step(delta_tile, 3, BLOCK_D, LANES)
            x = at_step(x_tile, 3, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B3_0)
            y3 = h0 * C3_0
            B3_0 = tl.load(B_next + 48)
            C3_0 = tl.load(C_next + 48)
            y2 = fold(y2, y3, 1, BLOCK_D, LANES)
            y0 = fold(y0, y2, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 4, BLOCK_D, LANES)
            x = at_step(x_tile, 4, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B4_0)
            y4 = h0 * C4_0
            B4_0 = tl.load(B_next + 64)
            C4_0 = tl.load(C_next + 64)
            delta_t = at_step(delta_tile, 5, BLOCK_D, LANES)
            x = at_step(x_tile, 5, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B5_0)
            y5 = h0 * C5_0
            B5_0 = tl.load(B_next + 80)
            C5_0 = tl.load(C_next + 80)
            y4 = fold(y4, y5, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 6, BLOCK_D, LANES)
            x = at_step(x_tile, 6, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B6_0)
            y6 = h0 * C6_0
            B6_0 = tl.load(B_next + 96)
            C6_0 = tl.load(C_next + 96)
            delta_t = at_step(delta_tile, 7, BLOCK_D, LANES)
            x = at_step(x_tile, 7, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B7_0)
            y7 = h0 * C7_0
            B7_0 = tl.load(B_next + 112)
            C7_0 = tl.load(C_next + 112)
            y6 = fold(y6, y7, 1, BLOCK_D, LANES)
            y4 = fold(y4, y6, 2, BLOCK_D, LANES)
            y0 = fold(y0, y4, 4, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 8, BLOCK_D, LANES)
            x = at_step(x_tile, 8, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B8_0)
            y8 = h0 * C8_0
            B8_0 = tl.load(B_next + 128)
            C8_0 = tl.load(C_next + 128)
            delta_t = at_step(delta_tile, 9, BLOCK_D, LANES)
            x = at_step(x_tile, 9, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B9_0)
            y9 = h0 * C9_0
            B9_0 = tl.load(B_next + 144)
            C9_0 = tl.load(C_next + 144)
            y8 = fold(y8, y9, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 10, BLOCK_D, LANES)
            x = at_step(x_tile, 10, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B10_0)
            y10 = h0 * C10_0
            B10_0 = tl.load(B_next + 160)
            C10_0 = tl.load(C_next + 160)
            delta_t = at_step(delta_tile, 11, BLOCK_D, LANES)
            x = at_step(x_tile, 11, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B11_0)
            y11 = h0 * C11_0
            B11_0 = tl.load(B_next + 176)
            C11_0 = tl.load(C_next + 176)
            y10 = fold(y10, y11, 1, BLOCK_D, LANES)
            y8 = fold(y8, y10, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 12, BLOCK_D, LANES)
            x = at_step(x_tile, 12, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B12_0)
            y12 = h0 * C12_0
            B12_0 = tl.load(B_next + 192)
            C12_0 = tl.load(C_next + 192)
            delta_t = at_step(delta_tile, 13, BLOCK_D, LANES)
            x = at_step(x_tile, 13, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B13_0)
            y13 = h0 * C13_0
            B13_0 = tl.load(B_next + 208)
            C13_0 = tl.load(C_next + 208)
            y12 = fold(y12, y13, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 14, BLOCK_D, LANES)
            x = at_step(x_tile, 14, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B14_0)
            y14 = h0 * C14_0
            B14_0 = tl.load(B_next + 224)
            C14_0 = tl.load(C_next + 224)
            delta_t = at_step(delta_tile, 15, BLOCK_D, LANES)
            x = at_step(x_tile, 15, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B15_0)
            y15 = h0 * C15_0
            B15_0 = tl.load(B_next + 240)
            C15_0 = tl.load(C_next + 240)
            y14 = fold(y14, y15, 1, BLOCK_D, LANES)
            y12 = fold(y12, y14, 2, BLOCK_D, LANES)
            y8 = fold(y8, y12, 4, BLOCK_D, LANES)
            y0 = fold(y0, y8, 8, BLOCK_D, LANES)
            tl.store(out[:, None] + lane, y0)
            u += LANES
            delta += LANES
            out += LANES
            B += LANES * 16
            C += LANES * 16
    for _ in range(seqlen % LANES):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        x = (delta_t * u_t)[:, None]
        delta_t = delta_t[:, None]
        B_row = B + first
        C_row = C + first
        B0 = tl.load(B_row)
        C0 = tl.load(C_row)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y = h0 * C0
        y = tl.reduce(y, 1, add)
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
        B += 16
        C += 16
