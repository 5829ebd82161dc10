# selective_scan forward, fp32: split(ahead=1,block_d=2,exp=asm,lanes=16,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_split.py.j2; source a22a1936c437676b.
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
    lane = tl.arange(0, LANES)[None, :]
    # Where a lane's states begin; they lie one behind the other.
    first = tl.broadcast_to(lane, (BLOCK_D, LANES))
    weights = channels[:, None] * 16 + first
    A0 = tl.load(A + weights) * 1.4426950408889634
    B0 = tl.load(B + weights)
    C0 = tl.load(C + weights)
    h0 = tl.full((BLOCK_D, LANES), 0.0, tl.float32)
    # A tile has a step for each lane: what depends on the channel alone is computed once. Sums over states come about by
    # folding: of two steps a lane keeps one, gives its part of the other away, and in the end has the y of its own step.
    tiles = seqlen // LANES
    if tiles > 0:
        delta_next = tl.load(delta[:, None] + lane)
        u_next = tl.load(u[:, None] + lane)
        for number in range(tiles):
            delta_tile = delta_next
            u_tile = u_next
            # After the last tile there is no other: it is loaded again.
            following = tl.where(number + 1 < tiles, LANES, 0).to(tl.int64)
            delta_next = tl.load(delta[:, None] + lane + following)
            u_next = tl.load(u[:, None] + lane + following)
            x_tile = delta_tile * u_tile
            delta_t = at_step(delta_tile, 0, BLOCK_D, LANES)
            x = at_step(x_tile, 0, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y0 = h0 * C0
            delta_t = at_step(delta_tile, 1, BLOCK_D, LANES)
            x = at_step(x_tile, 1, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y1 = h0 * C0
            y0 = fold(y0, y1, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 2, BLOCK_D, LANES)
            x = at_step(x_tile, 2, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y2 = h0 * C0
            delta_t = at_step(delta_tile, 3, BLOCK_D, LANES)
            x = at_step(x_tile, 3, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y3 = h0 * C0
            y2 = fold(y2, y3, 1, BLOCK_D, LANES)
            y0 = fold(y0, y2, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 4, BLOCK_D, LANES)
            x = at_step(x_tile, 4, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y4 = h0 * C0
            delta_t = at_step(delta_tile, 5, BLOCK_D, LANES)
            x = at_step(x_tile, 5, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y5 = h0 * C0
            y4 = fold(y4, y5, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 6, BLOCK_D, LANES)
            x = at_step(x_tile, 6, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y6 = h0 * C0
            delta_t = at_step(delta_tile, 7, BLOCK_D, LANES)
            x = at_step(x_tile, 7, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y7 = h0 * C0
            y6 = fold(y6, y7, 1, BLOCK_D, LANES)
            y4 = fold(y4, y6, 2, BLOCK_D, LANES)
            y0 = fold(y0, y4, 4, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 8, BLOCK_D, LANES)
            x = at_step(x_tile, 8, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y8 = h0 * C0
            delta_t = at_step(delta_tile, 9, BLOCK_D, LANES)
            x = at_step(x_tile, 9, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y9 = h0 * C0
            y8 = fold(y8, y9, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 10, BLOCK_D, LANES)
            x = at_step(x_tile, 10, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y10 = h0 * C0
            delta_t = at_step(delta_tile, 11, BLOCK_D, LANES)
            x = at_step(x_tile, 11, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y11 = h0 * C0
            y10 = fold(y10, y11, 1, BLOCK_D, LANES)
            y8 = fold(y8, y10, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 12, BLOCK_D, LANES)
            x = at_step(x_tile, 12, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y12 = h0 * C0
            delta_t = at_step(delta_tile, 13, BLOCK_D, LANES)
            x = at_step(x_tile, 13, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y13 = h0 * C0
            y12 = fold(y12, y13, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 14, BLOCK_D, LANES)
            x = at_step(x_tile, 14, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y14 = h0 * C0
            delta_t = at_step(delta_tile, 15, BLOCK_D, LANES)
            x = at_step(x_tile, 15, BLOCK_D, LANES)
            h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
            y15 = h0 * C0
            y14 = fold(y14, y15, 1, BLOCK_D, LANES)
            y12 = fold(y12, y14, 2, BLOCK_D, LANES)
            y8 = fold(y8, y12, 4, BLOCK_D, LANES)
            y0 = fold(y0, y8, 8, BLOCK_D, LANES)
            tl.store(out[:, None] + lane, y0)
            u += LANES
            delta += LANES
            out += LANES
    for _ in range(seqlen % LANES):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        x = (delta_t * u_t)[:, None]
        delta_t = delta_t[:, None]
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y = h0 * C0
        y = tl.reduce(y, 1, add)
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
