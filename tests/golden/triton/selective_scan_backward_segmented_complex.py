# selective_scan backward, fp32: segmented(block_d=32,exp=asm,flat=1,interval=2,lanes=32,reread=0,segment=256,states=2)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source 6aca58c27c4b66cb.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def split4(tile, BLOCK_D: tl.constexpr):
    # The columns of a (BLOCK_D, 4) tile.
    even, odd = tl.split(tl.reshape(tile, (BLOCK_D, 2, 2)))
    c0, c2 = tl.split(even)
    c1, c3 = tl.split(odd)
    return c0, c1, c2, c3


@triton.jit
def row4(row, BLOCK_D: tl.constexpr):
    # Four neighbours, each as a vector over the channels: broadcast in registers, without a shuffle.
    values = tl.load(row + tl.arange(0, 4))
    tile = tl.broadcast_to(values[:, None], (4, BLOCK_D))
    return split4(tl.permute(tile, (1, 0)), BLOCK_D)


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
def multiply(x_re, x_im, y_re, y_im):
    return x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re


@triton.jit
def step_back(
    g_re,
    g_im,
    dy,
    C_re,
    C_im,
    B_re,
    B_im,
    a_re,
    a_im,
    h_re,
    h_im,
    A_re,
    A_im,
    delta,
    sum_g,
    sum_q,
    dA_re,
    dA_im,
):
    # From what later steps give to the gradient of h_t, to that gradient, and to what step t gives to h_{t-1}; h_re and
    # h_im are of h_{t-1}. Factors are conjugated.
    dh_re = tl.fma(dy, C_re, g_re)
    dh_im = tl.fma(-dy, C_im, g_im)
    g_re = tl.fma(dh_re, a_re, dh_im * a_im)
    g_im = tl.fma(dh_im, a_re, -dh_re * a_im)
    q_re = tl.fma(g_re, h_re, g_im * h_im)
    q_im = tl.fma(g_im, h_re, -g_re * h_im)
    sum_g = tl.fma(dh_re, B_re, tl.fma(dh_im, B_im, sum_g))
    sum_q = tl.fma(q_re, A_re, tl.fma(q_im, A_im, sum_q))
    return dh_re, dh_im, g_re, g_im, sum_g, sum_q, tl.fma(q_re, delta, dA_re), tl.fma(q_im, delta, dA_im)


@triton.jit
def within_lanes(x, y, LANES: tl.constexpr):
    # The products of the channels that a lane holds, summed.
    return x * y


@triton.jit
def add_lanes16(
    v0,
    v1,
    v2,
    v3,
    v4,
    v5,
    v6,
    v7,
    v8,
    v9,
    v10,
    v11,
    v12,
    v13,
    v14,
    v15,
    LANES: tl.constexpr,
):
    # The sum of each vector over the lanes. As rows of one tile they take one trip through shared memory.
    v0 = tl.join(v0, v8)
    v1 = tl.join(v1, v9)
    v2 = tl.join(v2, v10)
    v3 = tl.join(v3, v11)
    v4 = tl.join(v4, v12)
    v5 = tl.join(v5, v13)
    v6 = tl.join(v6, v14)
    v7 = tl.join(v7, v15)
    v0 = tl.join(v0, v4)
    v1 = tl.join(v1, v5)
    v2 = tl.join(v2, v6)
    v3 = tl.join(v3, v7)
    v0 = tl.join(v0, v2)
    v1 = tl.join(v1, v3)
    v0 = tl.join(v0, v1)
    rows = tl.permute(tl.reshape(v0, (LANES, 16)), (1, 0))
    low, high = tl.split(tl.reshape(rows, (16, 16, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (16, 8, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (16, 4, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (16, 2, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (16, 1, 2)))
    rows = low + high
    return tl.reshape(rows, (16,))


@triton.jit
def transpose_weights(
    A,
    weights,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    # A row for each state, so that neighbouring channels are neighbours in memory; A for powers of two.
    channels = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = channels < DIM
    n = tl.program_id(1)
    A_n = tl.load(A + channels * 32 + 2 * n, mask=inside) * 1.4426950408889634
    turns_n, rest_n = half_turns(tl.load(A + channels * 32 + 2 * n + 1, mask=inside))
    tl.store(weights + n * DIM + channels, A_n, mask=inside)
    tl.store(weights + (16 + n) * DIM + channels, turns_n, mask=inside)
    tl.store(weights + (32 + n) * DIM + channels, rest_n, mask=inside)


@triton.jit
def summarise_segments(
    delta,
    dout,
    weights,
    C,
    incoming,
    totals,
    delta_stride_batch,
    delta_stride_dim,
    dout_stride_batch,
    dout_stride_dim,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SEGMENT: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    # The first segment has none before it, and no program here. A program has some of the states.
    segment = 1 + tl.program_id(2) // 2
    first = tl.program_id(2) % 2 * 8
    weights += first * DIM
    C += batch * seqlen * 32
    C += first * 2
    A0 = tl.load(weights + channels)
    turns0 = tl.load(weights + 16 * DIM + channels)
    rest0 = tl.load(weights + 32 * DIM + channels)
    A1 = tl.load(weights + DIM + channels)
    turns1 = tl.load(weights + 17 * DIM + channels)
    rest1 = tl.load(weights + 33 * DIM + channels)
    A2 = tl.load(weights + 2 * DIM + channels)
    turns2 = tl.load(weights + 18 * DIM + channels)
    rest2 = tl.load(weights + 34 * DIM + channels)
    A3 = tl.load(weights + 3 * DIM + channels)
    turns3 = tl.load(weights + 19 * DIM + channels)
    rest3 = tl.load(weights + 35 * DIM + channels)
    A4 = tl.load(weights + 4 * DIM + channels)
    turns4 = tl.load(weights + 20 * DIM + channels)
    rest4 = tl.load(weights + 36 * DIM + channels)
    A5 = tl.load(weights + 5 * DIM + channels)
    turns5 = tl.load(weights + 21 * DIM + channels)
    rest5 = tl.load(weights + 37 * DIM + channels)
    A6 = tl.load(weights + 6 * DIM + channels)
    turns6 = tl.load(weights + 22 * DIM + channels)
    rest6 = tl.load(weights + 38 * DIM + channels)
    A7 = tl.load(weights + 7 * DIM + channels)
    turns7 = tl.load(weights + 23 * DIM + channels)
    rest7 = tl.load(weights + 39 * DIM + channels)
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    g0 = zero
    g1 = zero
    g2 = zero
    g3 = zero
    g4 = zero
    g5 = zero
    g6 = zero
    g7 = zero
    g8 = zero
    g9 = zero
    g10 = zero
    g11 = zero
    g12 = zero
    g13 = zero
    g14 = zero
    g15 = zero
    total = zero
    lost = zero
    within = tl.arange(0, 2)[None, :]
    steps = tl.minimum(SEGMENT, seqlen - segment * SEGMENT)
    chunks = (steps + 1) // 2
    time = segment * SEGMENT + (chunks - 1) * 2
    delta += time
    dout += time
    C += time.to(tl.int64) * 32
    for _ in range(chunks):
        tile = tl.load(delta[:, None] + within)
        delta0, delta1 = tl.split(tile)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1 = tl.split(tile)
        # Each state stands for a pair of conjugates. What the sum's rounding loses is summed too.
        dy1 *= 2.0
        before = total
        total += delta1
        added = total - before
        lost += (before - (total - added)) + (delta1 - added)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 32, BLOCK_D)
        a_re, a_im = exp_complex(delta1, A0, turns0, rest0)
        dh_re = tl.fma(dy1, C1_0, g0)
        dh_im = tl.fma(-dy1, C1_1, g1)
        g0 = tl.fma(dh_re, a_re, dh_im * a_im)
        g1 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta1, A1, turns1, rest1)
        dh_re = tl.fma(dy1, C1_2, g2)
        dh_im = tl.fma(-dy1, C1_3, g3)
        g2 = tl.fma(dh_re, a_re, dh_im * a_im)
        g3 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 36, BLOCK_D)
        a_re, a_im = exp_complex(delta1, A2, turns2, rest2)
        dh_re = tl.fma(dy1, C1_0, g4)
        dh_im = tl.fma(-dy1, C1_1, g5)
        g4 = tl.fma(dh_re, a_re, dh_im * a_im)
        g5 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta1, A3, turns3, rest3)
        dh_re = tl.fma(dy1, C1_2, g6)
        dh_im = tl.fma(-dy1, C1_3, g7)
        g6 = tl.fma(dh_re, a_re, dh_im * a_im)
        g7 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 40, BLOCK_D)
        a_re, a_im = exp_complex(delta1, A4, turns4, rest4)
        dh_re = tl.fma(dy1, C1_0, g8)
        dh_im = tl.fma(-dy1, C1_1, g9)
        g8 = tl.fma(dh_re, a_re, dh_im * a_im)
        g9 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta1, A5, turns5, rest5)
        dh_re = tl.fma(dy1, C1_2, g10)
        dh_im = tl.fma(-dy1, C1_3, g11)
        g10 = tl.fma(dh_re, a_re, dh_im * a_im)
        g11 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 44, BLOCK_D)
        a_re, a_im = exp_complex(delta1, A6, turns6, rest6)
        dh_re = tl.fma(dy1, C1_0, g12)
        dh_im = tl.fma(-dy1, C1_1, g13)
        g12 = tl.fma(dh_re, a_re, dh_im * a_im)
        g13 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta1, A7, turns7, rest7)
        dh_re = tl.fma(dy1, C1_2, g14)
        dh_im = tl.fma(-dy1, C1_3, g15)
        g14 = tl.fma(dh_re, a_re, dh_im * a_im)
        g15 = tl.fma(dh_im, a_re, -dh_re * a_im)
        dy0 *= 2.0
        before = total
        total += delta0
        added = total - before
        lost += (before - (total - added)) + (delta0 - added)
        C0_0, C0_1, C0_2, C0_3 = row4(C, BLOCK_D)
        a_re, a_im = exp_complex(delta0, A0, turns0, rest0)
        dh_re = tl.fma(dy0, C0_0, g0)
        dh_im = tl.fma(-dy0, C0_1, g1)
        g0 = tl.fma(dh_re, a_re, dh_im * a_im)
        g1 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta0, A1, turns1, rest1)
        dh_re = tl.fma(dy0, C0_2, g2)
        dh_im = tl.fma(-dy0, C0_3, g3)
        g2 = tl.fma(dh_re, a_re, dh_im * a_im)
        g3 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 4, BLOCK_D)
        a_re, a_im = exp_complex(delta0, A2, turns2, rest2)
        dh_re = tl.fma(dy0, C0_0, g4)
        dh_im = tl.fma(-dy0, C0_1, g5)
        g4 = tl.fma(dh_re, a_re, dh_im * a_im)
        g5 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta0, A3, turns3, rest3)
        dh_re = tl.fma(dy0, C0_2, g6)
        dh_im = tl.fma(-dy0, C0_3, g7)
        g6 = tl.fma(dh_re, a_re, dh_im * a_im)
        g7 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 8, BLOCK_D)
        a_re, a_im = exp_complex(delta0, A4, turns4, rest4)
        dh_re = tl.fma(dy0, C0_0, g8)
        dh_im = tl.fma(-dy0, C0_1, g9)
        g8 = tl.fma(dh_re, a_re, dh_im * a_im)
        g9 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta0, A5, turns5, rest5)
        dh_re = tl.fma(dy0, C0_2, g10)
        dh_im = tl.fma(-dy0, C0_3, g11)
        g10 = tl.fma(dh_re, a_re, dh_im * a_im)
        g11 = tl.fma(dh_im, a_re, -dh_re * a_im)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 12, BLOCK_D)
        a_re, a_im = exp_complex(delta0, A6, turns6, rest6)
        dh_re = tl.fma(dy0, C0_0, g12)
        dh_im = tl.fma(-dy0, C0_1, g13)
        g12 = tl.fma(dh_re, a_re, dh_im * a_im)
        g13 = tl.fma(dh_im, a_re, -dh_re * a_im)
        a_re, a_im = exp_complex(delta0, A7, turns7, rest7)
        dh_re = tl.fma(dy0, C0_2, g14)
        dh_im = tl.fma(-dy0, C0_3, g15)
        g14 = tl.fma(dh_re, a_re, dh_im * a_im)
        g15 = tl.fma(dh_im, a_re, -dh_re * a_im)
        delta -= 2
        dout -= 2
        C -= 64
    slot = batch * ((seqlen + SEGMENT - 1) // SEGMENT) + segment - 1
    incoming += slot * 32 * DIM + first * 2 * DIM
    tl.store(incoming + channels, g0)
    tl.store(incoming + DIM + channels, g1)
    tl.store(incoming + 2 * DIM + channels, g2)
    tl.store(incoming + 3 * DIM + channels, g3)
    tl.store(incoming + 4 * DIM + channels, g4)
    tl.store(incoming + 5 * DIM + channels, g5)
    tl.store(incoming + 6 * DIM + channels, g6)
    tl.store(incoming + 7 * DIM + channels, g7)
    tl.store(incoming + 8 * DIM + channels, g8)
    tl.store(incoming + 9 * DIM + channels, g9)
    tl.store(incoming + 10 * DIM + channels, g10)
    tl.store(incoming + 11 * DIM + channels, g11)
    tl.store(incoming + 12 * DIM + channels, g12)
    tl.store(incoming + 13 * DIM + channels, g13)
    tl.store(incoming + 14 * DIM + channels, g14)
    tl.store(incoming + 15 * DIM + channels, g15)
    totals += slot * 2 * DIM
    if first == 0:
        tl.store(totals + channels, total)
        tl.store(totals + DIM + channels, lost)


@triton.jit
def compose_segments(
    weights,
    incoming,
    totals,
    seqlen,
    DIM: tl.constexpr,
    SEGMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    states = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = states < 16 * DIM
    channels = states % DIM
    A = tl.load(weights + states, mask=inside)
    turns = tl.load(weights + 16 * DIM + states, mask=inside)
    rest = tl.load(weights + 32 * DIM + states, mask=inside)
    g_re = tl.full((BLOCK,), 0.0, tl.float32)
    g_im = tl.full((BLOCK,), 0.0, tl.float32)
    count = (seqlen + SEGMENT - 1) // SEGMENT
    segment = count - 1
    totals += (batch * count + segment - 1) * 2 * DIM + channels
    incoming += (batch * count + segment) * 32 * DIM + states // DIM * (2 * DIM) + channels
    # 8 segments at a time, so that their loads do not wait for each other.
    for _ in range((count + 7) // 8):
        later = inside & (segment > 0)
        total0 = tl.load(totals, mask=later)
        lost0 = tl.load(totals + DIM, mask=later)
        end0_re = tl.load(incoming - 32 * DIM, mask=later)
        end0_im = tl.load(incoming - 32 * DIM + DIM, mask=later)
        later = inside & (segment > 1)
        total1 = tl.load(totals - 2 * DIM, mask=later)
        lost1 = tl.load(totals - 2 * DIM + DIM, mask=later)
        end1_re = tl.load(incoming - 64 * DIM, mask=later)
        end1_im = tl.load(incoming - 64 * DIM + DIM, mask=later)
        later = inside & (segment > 2)
        total2 = tl.load(totals - 4 * DIM, mask=later)
        lost2 = tl.load(totals - 4 * DIM + DIM, mask=later)
        end2_re = tl.load(incoming - 96 * DIM, mask=later)
        end2_im = tl.load(incoming - 96 * DIM + DIM, mask=later)
        later = inside & (segment > 3)
        total3 = tl.load(totals - 6 * DIM, mask=later)
        lost3 = tl.load(totals - 6 * DIM + DIM, mask=later)
        end3_re = tl.load(incoming - 128 * DIM, mask=later)
        end3_im = tl.load(incoming - 128 * DIM + DIM, mask=later)
        later = inside & (segment > 4)
        total4 = tl.load(totals - 8 * DIM, mask=later)
        lost4 = tl.load(totals - 8 * DIM + DIM, mask=later)
        end4_re = tl.load(incoming - 160 * DIM, mask=later)
        end4_im = tl.load(incoming - 160 * DIM + DIM, mask=later)
        later = inside & (segment > 5)
        total5 = tl.load(totals - 10 * DIM, mask=later)
        lost5 = tl.load(totals - 10 * DIM + DIM, mask=later)
        end5_re = tl.load(incoming - 192 * DIM, mask=later)
        end5_im = tl.load(incoming - 192 * DIM + DIM, mask=later)
        later = inside & (segment > 6)
        total6 = tl.load(totals - 12 * DIM, mask=later)
        lost6 = tl.load(totals - 12 * DIM + DIM, mask=later)
        end6_re = tl.load(incoming - 224 * DIM, mask=later)
        end6_im = tl.load(incoming - 224 * DIM + DIM, mask=later)
        later = inside & (segment > 7)
        total7 = tl.load(totals - 14 * DIM, mask=later)
        lost7 = tl.load(totals - 14 * DIM + DIM, mask=later)
        end7_re = tl.load(incoming - 256 * DIM, mask=later)
        end7_im = tl.load(incoming - 256 * DIM + DIM, mask=later)
        tl.store(incoming, g_re, mask=inside & (segment >= 0))
        tl.store(incoming + DIM, g_im, mask=inside & (segment >= 0))
        # The decay over a segment is exp(A * sum(delta)). It may be infinite.
        lost_re, lost_im = exp_complex(lost0, A, turns, rest)
        a_re, a_im = exp_complex(total0, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end0_re, end0_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end0_re, re)
        g_im = tl.where(zero, end0_im, im)
        tl.store(incoming - 32 * DIM, g_re, mask=inside & (segment >= 1))
        tl.store(incoming - 32 * DIM + DIM, g_im, mask=inside & (segment >= 1))
        lost_re, lost_im = exp_complex(lost1, A, turns, rest)
        a_re, a_im = exp_complex(total1, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end1_re, end1_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end1_re, re)
        g_im = tl.where(zero, end1_im, im)
        tl.store(incoming - 64 * DIM, g_re, mask=inside & (segment >= 2))
        tl.store(incoming - 64 * DIM + DIM, g_im, mask=inside & (segment >= 2))
        lost_re, lost_im = exp_complex(lost2, A, turns, rest)
        a_re, a_im = exp_complex(total2, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end2_re, end2_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end2_re, re)
        g_im = tl.where(zero, end2_im, im)
        tl.store(incoming - 96 * DIM, g_re, mask=inside & (segment >= 3))
        tl.store(incoming - 96 * DIM + DIM, g_im, mask=inside & (segment >= 3))
        lost_re, lost_im = exp_complex(lost3, A, turns, rest)
        a_re, a_im = exp_complex(total3, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end3_re, end3_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end3_re, re)
        g_im = tl.where(zero, end3_im, im)
        tl.store(incoming - 128 * DIM, g_re, mask=inside & (segment >= 4))
        tl.store(incoming - 128 * DIM + DIM, g_im, mask=inside & (segment >= 4))
        lost_re, lost_im = exp_complex(lost4, A, turns, rest)
        a_re, a_im = exp_complex(total4, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end4_re, end4_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end4_re, re)
        g_im = tl.where(zero, end4_im, im)
        tl.store(incoming - 160 * DIM, g_re, mask=inside & (segment >= 5))
        tl.store(incoming - 160 * DIM + DIM, g_im, mask=inside & (segment >= 5))
        lost_re, lost_im = exp_complex(lost5, A, turns, rest)
        a_re, a_im = exp_complex(total5, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end5_re, end5_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end5_re, re)
        g_im = tl.where(zero, end5_im, im)
        tl.store(incoming - 192 * DIM, g_re, mask=inside & (segment >= 6))
        tl.store(incoming - 192 * DIM + DIM, g_im, mask=inside & (segment >= 6))
        lost_re, lost_im = exp_complex(lost6, A, turns, rest)
        a_re, a_im = exp_complex(total6, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end6_re, end6_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end6_re, re)
        g_im = tl.where(zero, end6_im, im)
        tl.store(incoming - 224 * DIM, g_re, mask=inside & (segment >= 7))
        tl.store(incoming - 224 * DIM + DIM, g_im, mask=inside & (segment >= 7))
        lost_re, lost_im = exp_complex(lost7, A, turns, rest)
        a_re, a_im = exp_complex(total7, A, turns, rest)
        a_re, a_im = multiply(a_re, a_im, lost_re, lost_im)
        re, im = advance(a_re, -a_im, g_re, g_im, end7_re, end7_im)
        zero = (g_re == 0.0) & (g_im == 0.0)
        g_re = tl.where(zero, end7_re, re)
        g_im = tl.where(zero, end7_im, im)
        segment -= 8
        totals -= 16 * DIM
        incoming -= 256 * DIM


@triton.jit
def selective_scan_backward(
    u,
    delta,
    dout,
    weights,
    B,
    C,
    incoming,
    states,
    du,
    ddelta,
    pairs,
    dA_parts,
    partial,
    u_stride_batch,
    u_stride_dim,
    delta_stride_batch,
    delta_stride_dim,
    dout_stride_batch,
    dout_stride_dim,
    du_stride_batch,
    du_stride_dim,
    ddelta_stride_batch,
    ddelta_stride_dim,
    seqlen,
    DIM: tl.constexpr,
    SLOT: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SEGMENT: tl.constexpr,
    LANES: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    du = du + batch * du_stride_batch + channels * du_stride_dim
    ddelta = ddelta + batch * ddelta_stride_batch + channels * ddelta_stride_dim
    segment = tl.program_id(2)
    B += batch * seqlen * 32
    C += batch * seqlen * 32
    states += batch * ((seqlen + 1) // 2) * SLOT
    cells = channels // 16 * 512 + channels % 16
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    part = batch * tl.num_programs(2) + tl.program_id(2)
    incoming += part * 32 * DIM
    pairs += part * 64 * DIM
    twice = tl.program_id(1) * (2 * BLOCK_D) + tl.arange(0, 2 * BLOCK_D)
    for n in range(32):
        g_n = tl.load(incoming + n * DIM + channels)
        both = tl.reshape(tl.join(g_n, zero), (2 * BLOCK_D,))
        tl.store(pairs + 2 * n * DIM + twice, both)
    # What is carried in memory is read by the lane that wrote it, unless the compiler lays it out anew.
    tl.debug_barrier()
    sum2 = tl.arange(0, 16)
    step2 = sum2 // 8
    place2 = step2 * 32 + sum2 % 4
    place2 += sum2 // 4 % 2 * (seqlen.to(tl.int64) * 32)
    partial += (batch * tl.num_programs(1) + tl.program_id(1)) * seqlen * 64
    within = tl.arange(0, 2)[None, :]
    # From the last chunk to the first.
    steps = tl.minimum(SEGMENT, seqlen - segment * SEGMENT)
    chunks = (steps + 1) // 2
    time = segment * SEGMENT + (chunks - 1) * 2
    u += time
    delta += time
    dout += time
    du += time
    ddelta += time
    B += time.to(tl.int64) * 32
    C += time.to(tl.int64) * 32
    partial += time.to(tl.int64) * 32
    states += (time // 2).to(tl.int64) * SLOT
    for _ in range(chunks):
        tile = tl.load(u[:, None] + within)
        u0, u1 = tl.split(tile)
        tile = tl.load(delta[:, None] + within)
        delta0, delta1 = tl.split(tile)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1 = tl.split(tile)
        x0 = delta0 * u0
        # Each state stands for a pair of conjugates.
        pair0 = 2.0 * dy0
        sum_g0 = zero
        sum_q0 = zero
        x1 = delta1 * u1
        pair1 = 2.0 * dy1
        sum_g1 = zero
        sum_q1 = zero
        for n in range(0, 16, 2):
            weights_n = weights + n * DIM
            states_n = states + n * 32
            B_n = B + 2 * n
            C_n = C + 2 * n
            partial_n = partial + 2 * n
            pairs_n = pairs + 4 * n * DIM
            A0 = tl.load(weights_n + channels)
            turns0 = tl.load(weights_n + 16 * DIM + channels)
            rest0 = tl.load(weights_n + 32 * DIM + channels)
            slope0 = 4.532360141827194 * turns0
            A1 = tl.load(weights_n + DIM + channels)
            turns1 = tl.load(weights_n + 17 * DIM + channels)
            rest1 = tl.load(weights_n + 33 * DIM + channels)
            slope1 = 4.532360141827194 * turns1
            h0_0 = tl.load(states_n + cells)
            both = tl.load(pairs_n + twice)
            g0, dA0 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_1 = tl.load(states_n + 16 + cells)
            both = tl.load(pairs_n + 2 * DIM + twice)
            g1, dA1 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_2 = tl.load(states_n + 32 + cells)
            both = tl.load(pairs_n + 4 * DIM + twice)
            g2, dA2 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_3 = tl.load(states_n + 48 + cells)
            both = tl.load(pairs_n + 6 * DIM + twice)
            g3, dA3 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            B0_0, B0_1, B0_2, B0_3 = row4(B_n, BLOCK_D)
            decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
            h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
            decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
            h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
            B1_0, B1_1, B1_2, B1_3 = row4(B_n + 32, BLOCK_D)
            decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
            h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
            decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
            h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
            C1_0, C1_1, C1_2, C1_3 = row4(C_n + 32, BLOCK_D)
            dh_re, dh_im, g0, g1, sum_g1, sum_q1, dA0, dA1 = step_back(
                g0,
                g1,
                pair1,
                C1_0,
                C1_1,
                B1_0,
                B1_1,
                decay1_0,
                decay1_1,
                h1_0,
                h1_1,
                A0,
                slope0,
                delta1,
                sum_g1,
                sum_q1,
                dA0,
                dA1,
            )
            dB1_0 = within_lanes(dh_re, x1, LANES)
            dC1_0 = within_lanes(h2_0, pair1, LANES)
            dB1_1 = within_lanes(dh_im, x1, LANES)
            dC1_1 = within_lanes(-h2_1, pair1, LANES)
            dh_re, dh_im, g2, g3, sum_g1, sum_q1, dA2, dA3 = step_back(
                g2,
                g3,
                pair1,
                C1_2,
                C1_3,
                B1_2,
                B1_3,
                decay1_2,
                decay1_3,
                h1_2,
                h1_3,
                A1,
                slope1,
                delta1,
                sum_g1,
                sum_q1,
                dA2,
                dA3,
            )
            dB1_2 = within_lanes(dh_re, x1, LANES)
            dC1_2 = within_lanes(h2_2, pair1, LANES)
            dB1_3 = within_lanes(dh_im, x1, LANES)
            dC1_3 = within_lanes(-h2_3, pair1, LANES)
            C0_0, C0_1, C0_2, C0_3 = row4(C_n, BLOCK_D)
            dh_re, dh_im, g0, g1, sum_g0, sum_q0, dA0, dA1 = step_back(
                g0,
                g1,
                pair0,
                C0_0,
                C0_1,
                B0_0,
                B0_1,
                decay0_0,
                decay0_1,
                h0_0,
                h0_1,
                A0,
                slope0,
                delta0,
                sum_g0,
                sum_q0,
                dA0,
                dA1,
            )
            dB0_0 = within_lanes(dh_re, x0, LANES)
            dC0_0 = within_lanes(h1_0, pair0, LANES)
            dB0_1 = within_lanes(dh_im, x0, LANES)
            dC0_1 = within_lanes(-h1_1, pair0, LANES)
            dh_re, dh_im, g2, g3, sum_g0, sum_q0, dA2, dA3 = step_back(
                g2,
                g3,
                pair0,
                C0_2,
                C0_3,
                B0_2,
                B0_3,
                decay0_2,
                decay0_3,
                h0_2,
                h0_3,
                A1,
                slope1,
                delta0,
                sum_g0,
                sum_q0,
                dA2,
                dA3,
            )
            dB0_2 = within_lanes(dh_re, x0, LANES)
            dC0_2 = within_lanes(h1_2, pair0, LANES)
            dB0_3 = within_lanes(dh_im, x0, LANES)
            dC0_3 = within_lanes(-h1_3, pair0, LANES)
            both = tl.reshape(tl.join(g0, dA0), (2 * BLOCK_D,))
            tl.store(pairs_n + twice, both)
            both = tl.reshape(tl.join(g1, dA1), (2 * BLOCK_D,))
            tl.store(pairs_n + 2 * DIM + twice, both)
            both = tl.reshape(tl.join(g2, dA2), (2 * BLOCK_D,))
            tl.store(pairs_n + 4 * DIM + twice, both)
            both = tl.reshape(tl.join(g3, dA3), (2 * BLOCK_D,))
            tl.store(pairs_n + 6 * DIM + twice, both)
            sums = add_lanes16(
                dB0_0,
                dB0_1,
                dB0_2,
                dB0_3,
                dC0_0,
                dC0_1,
                dC0_2,
                dC0_3,
                dB1_0,
                dB1_1,
                dB1_2,
                dB1_3,
                dC1_0,
                dC1_1,
                dC1_2,
                dC1_3,
                LANES,
            )
            tl.store(partial_n + place2, sums)
        du0 = delta0 * sum_g0
        ddelta0 = tl.fma(sum_q0, 0.6931471805599453, u0 * sum_g0)
        du1 = delta1 * sum_g1
        ddelta1 = tl.fma(sum_q1, 0.6931471805599453, u1 * sum_g1)
        tile = tl.join(du0, du1)
        tl.store(du[:, None] + within, tile)
        tile = tl.join(ddelta0, ddelta1)
        tl.store(ddelta[:, None] + within, tile)
        tl.debug_barrier()
        u -= 2
        delta -= 2
        dout -= 2
        du -= 2
        ddelta -= 2
        B -= 64
        C -= 64
        partial -= 64
        states -= SLOT
    dA_parts += part * 32 * DIM
    for n in range(32):
        both = tl.load(pairs + 2 * n * DIM + twice)
        g_n, dA_n = tl.split(tl.reshape(both, (BLOCK_D, 2)))
        tl.store(dA_parts + n * DIM + channels, dA_n)


@triton.jit
def add_batches(
    dA_parts,
    dA,
    batch,
    seqlen,
    DIM: tl.constexpr,
    SEGMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    cells = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 32
    planes = cells % 32 * DIM + cells // 32
    dA_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in tl.range(batch * ((seqlen + SEGMENT - 1) // SEGMENT), loop_unroll_factor=8):
        dA_sum += tl.load(dA_parts + planes, mask=inside)
        dA_parts += DIM * 32
    tl.store(dA + cells, dA_sum, mask=inside)


@triton.jit
def add_blocks(
    partial,
    dB,
    dC,
    seqlen,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    size = seqlen.to(tl.int64) * 32
    pieces = (size + BLOCK - 1) // BLOCK
    group = tl.program_id(0) // pieces
    cells = tl.program_id(0) % pieces * BLOCK + tl.arange(0, BLOCK)
    inside = cells < size
    partial += group * BLOCKS * 2 * size + cells
    dB_sum = tl.full((BLOCK,), 0.0, tl.float32)
    dC_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in tl.range(BLOCKS, loop_unroll_factor=4):
        dB_sum += tl.load(partial, mask=inside)
        partial += size
        dC_sum += tl.load(partial, mask=inside)
        partial += size
    tl.store(dB + group * size + cells, dB_sum, mask=inside)
    tl.store(dC + group * size + cells, dC_sum, mask=inside)
