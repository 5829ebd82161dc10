# selective_scan forward, fp32: split(ahead=1,block_d=2,exp=asm,lanes=16,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_split.py.j2; source 1066e3c3e4efb551.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def half_turns(x):
    # x / pi as a sum of two parts.
    wide = x.to(tl.float64) * 0.3183098861837907
    turns = wide.to(tl.float32)
    return turns, (wide - turns).to(tl.float32)


@triton.jit
def exp_complex(x, A, turns, rest):
    # exp(x (A ln 2 + i pi (turns + rest))). Whole half-turns are a sign; of what is left, f in [-1/2, 1/2], cos and sin
    # are minimax polynomials, which keep small phases exact where hardware's sine keeps 21 bits after the point.
    shifted = tl.fma(x, turns, 12582912.0)  # whole half-turns in its low bits
    f = tl.fma(x, rest, tl.fma(x, turns, 12582912.0 - shifted))
    q = f * f
    size = exp2(x * A).to(tl.int32, bitcast=True) ^ (shifted.to(tl.int32, bitcast=True) << 31)
    size = size.to(tl.float32, bitcast=True)
    c = tl.fma(q, -0.024172618985176086, 0.23479436337947845)
    c = tl.fma(c, q, -1.3351800441741943)
    c = tl.fma(c, q, 4.058706283569336)
    c = tl.fma(c, q, -4.934802055358887)
    s = tl.fma(q, 0.07723917812108994, -0.598055362701416)
    s = tl.fma(s, q, 2.5500330924987793)
    s = tl.fma(s, q, -5.1677069664001465)
    s = tl.fma(s, q, -1.6120699797284033e-07)
    return size * tl.fma(c, q, 1.0), size * tl.fma(f, 3.1415927410125732, f * s)


@triton.jit
def advance(a_re, a_im, h_re, h_im, b_re, b_im):
    # a h + b.
    return tl.fma(a_re, h_re, tl.fma(-a_im, h_im, b_re)), tl.fma(a_re, h_im, tl.fma(a_im, h_re, b_im))


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def load2(row, BLOCK_D: tl.constexpr, LANES: tl.constexpr):
    # Two neighbours for each lane.
    return tl.split(tl.load(row[:, :, None] + tl.arange(0, 2)))


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
    B += batch * seqlen * 32
    C += batch * seqlen * 32
    lane = tl.arange(0, LANES)[None, :]
    # Where a lane's states begin; they lie one behind the other.
    first = tl.broadcast_to(lane * 2, (BLOCK_D, LANES))
    weights = channels[:, None] * 32 + first
    A0 = tl.load(A + weights) * 1.4426950408889634
    turns0, rest0 = half_turns(tl.load(A + weights + 1))
    h0 = tl.full((BLOCK_D, LANES), 0.0, tl.float32)
    h1 = tl.full((BLOCK_D, LANES), 0.0, tl.float32)
    # A tile has a step for each lane: what depends on the channel alone is computed once. Sums over states come about by
    # folding: of two steps a lane keeps one, gives its part of the other away, and in the end has the y of its own step.
    tiles = seqlen // LANES
    if tiles > 0:
        delta_next = tl.load(delta[:, None] + lane)
        u_next = tl.load(u[:, None] + lane)
        B_next = B + first
        B0_0, B0_1 = load2(B_next, BLOCK_D, LANES)
        B1_0, B1_1 = load2(B_next + 32, BLOCK_D, LANES)
        B2_0, B2_1 = load2(B_next + 64, BLOCK_D, LANES)
        B3_0, B3_1 = load2(B_next + 96, BLOCK_D, LANES)
        B4_0, B4_1 = load2(B_next + 128, BLOCK_D, LANES)
        B5_0, B5_1 = load2(B_next + 160, BLOCK_D, LANES)
        B6_0, B6_1 = load2(B_next + 192, BLOCK_D, LANES)
        B7_0, B7_1 = load2(B_next + 224, BLOCK_D, LANES)
        B8_0, B8_1 = load2(B_next + 256, BLOCK_D, LANES)
        B9_0, B9_1 = load2(B_next + 288, BLOCK_D, LANES)
        B10_0, B10_1 = load2(B_next + 320, BLOCK_D, LANES)
        B11_0, B11_1 = load2(B_next + 352, BLOCK_D, LANES)
        B12_0, B12_1 = load2(B_next + 384, BLOCK_D, LANES)
        B13_0, B13_1 = load2(B_next + 416, BLOCK_D, LANES)
        B14_0, B14_1 = load2(B_next + 448, BLOCK_D, LANES)
        B15_0, B15_1 = load2(B_next + 480, BLOCK_D, LANES)
        C_next = C + first
        C0_0, C0_1 = load2(C_next, BLOCK_D, LANES)
        C1_0, C1_1 = load2(C_next + 32, BLOCK_D, LANES)
        C2_0, C2_1 = load2(C_next + 64, BLOCK_D, LANES)
        C3_0, C3_1 = load2(C_next + 96, BLOCK_D, LANES)
        C4_0, C4_1 = load2(C_next + 128, BLOCK_D, LANES)
        C5_0, C5_1 = load2(C_next + 160, BLOCK_D, LANES)
        C6_0, C6_1 = load2(C_next + 192, BLOCK_D, LANES)
        C7_0, C7_1 = load2(C_next + 224, BLOCK_D, LANES)
        C8_0, C8_1 = load2(C_next + 256, BLOCK_D, LANES)
        C9_0, C9_1 = load2(C_next + 288, BLOCK_D, LANES)
        C10_0, C10_1 = load2(C_next + 320, BLOCK_D, LANES)
        C11_0, C11_1 = load2(C_next + 352, BLOCK_D, LANES)
        C12_0, C12_1 = load2(C_next + 384, BLOCK_D, LANES)
        C13_0, C13_1 = load2(C_next + 416, BLOCK_D, LANES)
        C14_0, C14_1 = load2(C_next + 448, BLOCK_D, LANES)
        C15_0, C15_1 = load2(C_next + 480, BLOCK_D, LANES)
        for number in range(tiles):
            delta_tile = delta_next
            u_tile = u_next
            # After the last tile there is no other: it is loaded again.
            following = tl.where(number + 1 < tiles, LANES, 0).to(tl.int64)
            delta_next = tl.load(delta[:, None] + lane + following)
            u_next = tl.load(u[:, None] + lane + following)
            x_tile = delta_tile * u_tile
            B_next = B + first + following * 32
            C_next = C + first + following * 32
            delta_t = at_step(delta_tile, 0, BLOCK_D, LANES)
            x = at_step(x_tile, 0, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B0_0, x * B0_1)
            y0 = h0 * C0_0
            y0 = tl.fma(-h1, C0_1, y0)
            B0_0, B0_1 = load2(B_next, BLOCK_D, LANES)
            C0_0, C0_1 = load2(C_next, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 1, BLOCK_D, LANES)
            x = at_step(x_tile, 1, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B1_0, x * B1_1)
            y1 = h0 * C1_0
            y1 = tl.fma(-h1, C1_1, y1)
            B1_0, B1_1 = load2(B_next + 32, BLOCK_D, LANES)
            C1_0, C1_1 = load2(C_next + 32, BLOCK_D, LANES)
            y0 = fold(y0, y1, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 2, BLOCK_D, LANES)
            x = at_step(x_tile, 2, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B2_0, x * B2_1)
            y2 = h0 * C2_0
            y2 = tl.fma(-h1, C2_1, y2)
            B2_0, B2_1 = load2(B_next + 64, BLOCK_D, LANES)
            C2_0, C2_1 = load2(C_next + 64, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 3, BLOCK_D, LANES)
            x = at_step(x_tile, 3, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B3_0, x * B3_1)
            y3 = h0 * C3_0
            y3 = tl.fma(-h1, C3_1, y3)
            B3_0, B3_1 = load2(B_next + 96, BLOCK_D, LANES)
            C3_0, C3_1 = load2(C_next + 96, BLOCK_D, LANES)
            y2 = fold(y2, y3, 1, BLOCK_D, LANES)
            y0 = fold(y0, y2, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 4, BLOCK_D, LANES)
            x = at_step(x_tile, 4, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B4_0, x * B4_1)
            y4 = h0 * C4_0
            y4 = tl.fma(-h1, C4_1, y4)
            B4_0, B4_1 = load2(B_next + 128, BLOCK_D, LANES)
            C4_0, C4_1 = load2(C_next + 128, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 5, BLOCK_D, LANES)
            x = at_step(x_tile, 5, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B5_0, x * B5_1)
            y5 = h0 * C5_0
            y5 = tl.fma(-h1, C5_1, y5)
            B5_0, B5_1 = load2(B_next + 160, BLOCK_D, LANES)
            C5_0, C5_1 = load2(C_next + 160, BLOCK_D, LANES)
            y4 = fold(y4, y5, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 6, BLOCK_D, LANES)
            x = at_step(x_tile, 6, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B6_0, x * B6_1)
            y6 = h0 * C6_0
            y6 = tl.fma(-h1, C6_1, y6)
            B6_0, B6_1 = load2(B_next + 192, BLOCK_D, LANES)
            C6_0, C6_1 = load2(C_next + 192, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 7, BLOCK_D, LANES)
            x = at_step(x_tile, 7, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B7_0, x * B7_1)
            y7 = h0 * C7_0
            y7 = tl.fma(-h1, C7_1, y7)
            B7_0, B7_1 = load2(B_next + 224, BLOCK_D, LANES)
            C7_0, C7_1 = load2(C_next + 224, BLOCK_D, LANES)
            y6 = fold(y6, y7, 1, BLOCK_D, LANES)
            y4 = fold(y4, y6, 2, BLOCK_D, LANES)
            y0 = fold(y0, y4, 4, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 8, BLOCK_D, LANES)
            x = at_step(x_tile, 8, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B8_0, x * B8_1)
            y8 = h0 * C8_0
            y8 = tl.fma(-h1, C8_1, y8)
            B8_0, B8_1 = load2(B_next + 256, BLOCK_D, LANES)
            C8_0, C8_1 = load2(C_next + 256, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 9, BLOCK_D, LANES)
            x = at_step(x_tile, 9, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B9_0, x * B9_1)
            y9 = h0 * C9_0
            y9 = tl.fma(-h1, C9_1, y9)
            B9_0, B9_1 = load2(B_next + 288, BLOCK_D, LANES)
            C9_0, C9_1 = load2(C_next + 288, BLOCK_D, LANES)
            y8 = fold(y8, y9, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 10, BLOCK_D, LANES)
            x = at_step(x_tile, 10, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B10_0, x * B10_1)
            y10 = h0 * C10_0
            y10 = tl.fma(-h1, C10_1, y10)
            B10_0, B10_1 = load2(B_next + 320, BLOCK_D, LANES)
            C10_0, C10_1 = load2(C_next + 320, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 11, BLOCK_D, LANES)
            x = at_step(x_tile, 11, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B11_0, x * B11_1)
            y11 = h0 * C11_0
            y11 = tl.fma(-h1, C11_1, y11)
            B11_0, B11_1 = load2(B_next + 352, BLOCK_D, LANES)
            C11_0, C11_1 = load2(C_next + 352, BLOCK_D, LANES)
            y10 = fold(y10, y11, 1, BLOCK_D, LANES)
            y8 = fold(y8, y10, 2, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 12, BLOCK_D, LANES)
            x = at_step(x_tile, 12, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B12_0, x * B12_1)
            y12 = h0 * C12_0
            y12 = tl.fma(-h1, C12_1, y12)
            B12_0, B12_1 = load2(B_next + 384, BLOCK_D, LANES)
            C12_0, C12_1 = load2(C_next + 384, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 13, BLOCK_D, LANES)
            x = at_step(x_tile, 13, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B13_0, x * B13_1)
            y13 = h0 * C13_0
            y13 = tl.fma(-h1, C13_1, y13)
            B13_0, B13_1 = load2(B_next + 416, BLOCK_D, LANES)
            C13_0, C13_1 = load2(C_next + 416, BLOCK_D, LANES)
            y12 = fold(y12, y13, 1, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 14, BLOCK_D, LANES)
            x = at_step(x_tile, 14, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B14_0, x * B14_1)
            y14 = h0 * C14_0
            y14 = tl.fma(-h1, C14_1, y14)
            B14_0, B14_1 = load2(B_next + 448, BLOCK_D, LANES)
            C14_0, C14_1 = load2(C_next + 448, BLOCK_D, LANES)
            delta_t = at_step(delta_tile, 15, BLOCK_D, LANES)
            x = at_step(x_tile, 15, BLOCK_D, LANES)
            re, im = exp_complex(delta_t, A0, turns0, rest0)
            h0, h1 = advance(re, im, h0, h1, x * B15_0, x * B15_1)
            y15 = h0 * C15_0
            y15 = tl.fma(-h1, C15_1, y15)
            B15_0, B15_1 = load2(B_next + 480, BLOCK_D, LANES)
            C15_0, C15_1 = load2(C_next + 480, BLOCK_D, LANES)
            y14 = fold(y14, y15, 1, BLOCK_D, LANES)
            y12 = fold(y12, y14, 2, BLOCK_D, LANES)
            y8 = fold(y8, y12, 4, BLOCK_D, LANES)
            y0 = fold(y0, y8, 8, BLOCK_D, LANES)
            y0 *= 2.0
            tl.store(out[:, None] + lane, y0)
            u += LANES
            delta += LANES
            out += LANES
            B += LANES * 32
            C += LANES * 32
    for _ in range(seqlen % LANES):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        x = (delta_t * u_t)[:, None]
        delta_t = delta_t[:, None]
        B_row = B + first
        C_row = C + first
        B0, B1 = load2(B_row, BLOCK_D, LANES)
        C0, C1 = load2(C_row, BLOCK_D, LANES)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        y = h0 * C0
        y = tl.fma(-h1, C1, y)
        y = tl.reduce(y, 1, add)
        y *= 2.0
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
        B += 32
        C += 32
