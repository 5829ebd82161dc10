# selective_scan backward, fp32: looped(block_d=32,exp=asm,flat=1,interval=4,lanes=32,reread=0,states=2)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source 5ab2e8e33e7fe5d0.
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
def join4(c0, c1, c2, c3, BLOCK_D: tl.constexpr):
    # The (BLOCK_D, 4) tile of these columns.
    return tl.reshape(tl.join(tl.join(c0, c2), tl.join(c1, c3)), (BLOCK_D, 4))


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
def add_lanes32(
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
    v16,
    v17,
    v18,
    v19,
    v20,
    v21,
    v22,
    v23,
    v24,
    v25,
    v26,
    v27,
    v28,
    v29,
    v30,
    v31,
    LANES: tl.constexpr,
):
    # The sum of each vector over the lanes. As rows of one tile they take one trip through shared memory.
    v0 = tl.join(v0, v16)
    v1 = tl.join(v1, v17)
    v2 = tl.join(v2, v18)
    v3 = tl.join(v3, v19)
    v4 = tl.join(v4, v20)
    v5 = tl.join(v5, v21)
    v6 = tl.join(v6, v22)
    v7 = tl.join(v7, v23)
    v8 = tl.join(v8, v24)
    v9 = tl.join(v9, v25)
    v10 = tl.join(v10, v26)
    v11 = tl.join(v11, v27)
    v12 = tl.join(v12, v28)
    v13 = tl.join(v13, v29)
    v14 = tl.join(v14, v30)
    v15 = tl.join(v15, v31)
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
    rows = tl.permute(tl.reshape(v0, (LANES, 32)), (1, 0))
    low, high = tl.split(tl.reshape(rows, (32, 16, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (32, 8, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (32, 4, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (32, 2, 2)))
    rows = low + high
    low, high = tl.split(tl.reshape(rows, (32, 1, 2)))
    rows = low + high
    return tl.reshape(rows, (32,))


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
def recompute_states(
    u,
    delta,
    A,
    B,
    between,
    u_stride_batch,
    u_stride_dim,
    delta_stride_batch,
    delta_stride_dim,
    seqlen,
    DIM: tl.constexpr,
    SLOT: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    B += batch * seqlen * 32
    A0 = tl.load(A + channels * 32 + 0) * 1.4426950408889634
    turns0, rest0 = half_turns(tl.load(A + channels * 32 + 1))
    A1 = tl.load(A + channels * 32 + 2) * 1.4426950408889634
    turns1, rest1 = half_turns(tl.load(A + channels * 32 + 3))
    A2 = tl.load(A + channels * 32 + 4) * 1.4426950408889634
    turns2, rest2 = half_turns(tl.load(A + channels * 32 + 5))
    A3 = tl.load(A + channels * 32 + 6) * 1.4426950408889634
    turns3, rest3 = half_turns(tl.load(A + channels * 32 + 7))
    A4 = tl.load(A + channels * 32 + 8) * 1.4426950408889634
    turns4, rest4 = half_turns(tl.load(A + channels * 32 + 9))
    A5 = tl.load(A + channels * 32 + 10) * 1.4426950408889634
    turns5, rest5 = half_turns(tl.load(A + channels * 32 + 11))
    A6 = tl.load(A + channels * 32 + 12) * 1.4426950408889634
    turns6, rest6 = half_turns(tl.load(A + channels * 32 + 13))
    A7 = tl.load(A + channels * 32 + 14) * 1.4426950408889634
    turns7, rest7 = half_turns(tl.load(A + channels * 32 + 15))
    A8 = tl.load(A + channels * 32 + 16) * 1.4426950408889634
    turns8, rest8 = half_turns(tl.load(A + channels * 32 + 17))
    A9 = tl.load(A + channels * 32 + 18) * 1.4426950408889634
    turns9, rest9 = half_turns(tl.load(A + channels * 32 + 19))
    A10 = tl.load(A + channels * 32 + 20) * 1.4426950408889634
    turns10, rest10 = half_turns(tl.load(A + channels * 32 + 21))
    A11 = tl.load(A + channels * 32 + 22) * 1.4426950408889634
    turns11, rest11 = half_turns(tl.load(A + channels * 32 + 23))
    A12 = tl.load(A + channels * 32 + 24) * 1.4426950408889634
    turns12, rest12 = half_turns(tl.load(A + channels * 32 + 25))
    A13 = tl.load(A + channels * 32 + 26) * 1.4426950408889634
    turns13, rest13 = half_turns(tl.load(A + channels * 32 + 27))
    A14 = tl.load(A + channels * 32 + 28) * 1.4426950408889634
    turns14, rest14 = half_turns(tl.load(A + channels * 32 + 29))
    A15 = tl.load(A + channels * 32 + 30) * 1.4426950408889634
    turns15, rest15 = half_turns(tl.load(A + channels * 32 + 31))
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = channels // 16 * 512 + channels % 16
    h0 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h1 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h2 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h3 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h4 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h5 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h6 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h7 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h8 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h9 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h10 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h11 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h12 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h13 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h14 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h15 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h16 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h17 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h18 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h19 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h20 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h21 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h22 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h23 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h24 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h25 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h26 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h27 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h28 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h29 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h30 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h31 = tl.full((BLOCK_D,), 0.0, tl.float32)
    steps = tl.arange(0, 4)[None, :]
    # No state is wanted after the last chunk.
    for _ in range((seqlen - 1) // 4):
        tl.store(between + cells, h0)
        tl.store(between + 16 + cells, h1)
        tl.store(between + 32 + cells, h2)
        tl.store(between + 48 + cells, h3)
        tl.store(between + 64 + cells, h4)
        tl.store(between + 80 + cells, h5)
        tl.store(between + 96 + cells, h6)
        tl.store(between + 112 + cells, h7)
        tl.store(between + 128 + cells, h8)
        tl.store(between + 144 + cells, h9)
        tl.store(between + 160 + cells, h10)
        tl.store(between + 176 + cells, h11)
        tl.store(between + 192 + cells, h12)
        tl.store(between + 208 + cells, h13)
        tl.store(between + 224 + cells, h14)
        tl.store(between + 240 + cells, h15)
        tl.store(between + 256 + cells, h16)
        tl.store(between + 272 + cells, h17)
        tl.store(between + 288 + cells, h18)
        tl.store(between + 304 + cells, h19)
        tl.store(between + 320 + cells, h20)
        tl.store(between + 336 + cells, h21)
        tl.store(between + 352 + cells, h22)
        tl.store(between + 368 + cells, h23)
        tl.store(between + 384 + cells, h24)
        tl.store(between + 400 + cells, h25)
        tl.store(between + 416 + cells, h26)
        tl.store(between + 432 + cells, h27)
        tl.store(between + 448 + cells, h28)
        tl.store(between + 464 + cells, h29)
        tl.store(between + 480 + cells, h30)
        tl.store(between + 496 + cells, h31)
        between += SLOT
        u_tile = tl.load(u[:, None] + steps)
        u_0, u_1, u_2, u_3 = split4(u_tile, BLOCK_D)
        delta_tile = tl.load(delta[:, None] + steps)
        delta_0, delta_1, delta_2, delta_3 = split4(delta_tile, BLOCK_D)
        u_t = u_0
        delta_t = delta_0
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        B += 32
        u_t = u_1
        delta_t = delta_1
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        B += 32
        u_t = u_2
        delta_t = delta_2
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        B += 32
        u_t = u_3
        delta_t = delta_3
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        B += 32
        u += 4
        delta += 4
    tl.store(between + cells, h0)
    tl.store(between + 16 + cells, h1)
    tl.store(between + 32 + cells, h2)
    tl.store(between + 48 + cells, h3)
    tl.store(between + 64 + cells, h4)
    tl.store(between + 80 + cells, h5)
    tl.store(between + 96 + cells, h6)
    tl.store(between + 112 + cells, h7)
    tl.store(between + 128 + cells, h8)
    tl.store(between + 144 + cells, h9)
    tl.store(between + 160 + cells, h10)
    tl.store(between + 176 + cells, h11)
    tl.store(between + 192 + cells, h12)
    tl.store(between + 208 + cells, h13)
    tl.store(between + 224 + cells, h14)
    tl.store(between + 240 + cells, h15)
    tl.store(between + 256 + cells, h16)
    tl.store(between + 272 + cells, h17)
    tl.store(between + 288 + cells, h18)
    tl.store(between + 304 + cells, h19)
    tl.store(between + 320 + cells, h20)
    tl.store(between + 336 + cells, h21)
    tl.store(between + 352 + cells, h22)
    tl.store(between + 368 + cells, h23)
    tl.store(between + 384 + cells, h24)
    tl.store(between + 400 + cells, h25)
    tl.store(between + 416 + cells, h26)
    tl.store(between + 432 + cells, h27)
    tl.store(between + 448 + cells, h28)
    tl.store(between + 464 + cells, h29)
    tl.store(between + 480 + cells, h30)
    tl.store(between + 496 + cells, h31)


@triton.jit
def selective_scan_backward(
    u,
    delta,
    dout,
    weights,
    B,
    C,
    between,
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
    LANES: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    du = du + batch * du_stride_batch + channels * du_stride_dim
    ddelta = ddelta + batch * ddelta_stride_batch + channels * ddelta_stride_dim
    B += batch * seqlen * 32
    C += batch * seqlen * 32
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = channels // 16 * 512 + channels % 16
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    pairs += batch * 64 * DIM
    twice = tl.program_id(1) * (2 * BLOCK_D) + tl.arange(0, 2 * BLOCK_D)
    for n in range(32):
        both = tl.reshape(tl.join(zero, zero), (2 * BLOCK_D,))
        tl.store(pairs + 2 * n * DIM + twice, both)
    # What is carried in memory is read by the lane that wrote it, unless the compiler lays it out anew.
    tl.debug_barrier()
    sum2 = tl.arange(0, 32)
    step2 = sum2 // 8
    place2 = step2 * 32 + sum2 % 4
    place2 += sum2 // 4 % 2 * (seqlen.to(tl.int64) * 32)
    partial += (batch * tl.num_programs(1) + tl.program_id(1)) * seqlen * 64
    within = tl.arange(0, 4)[None, :]
    # From the last chunk to the first.
    chunks = (seqlen + 3) // 4
    time = (chunks - 1) * 4
    u += time
    delta += time
    dout += time
    du += time
    ddelta += time
    B += time.to(tl.int64) * 32
    C += time.to(tl.int64) * 32
    partial += time.to(tl.int64) * 32
    between += (chunks - 1).to(tl.int64) * SLOT
    for _ in range(chunks):
        tile = tl.load(u[:, None] + within)
        u0, u1, u2, u3 = split4(tile, BLOCK_D)
        tile = tl.load(delta[:, None] + within)
        delta0, delta1, delta2, delta3 = split4(tile, BLOCK_D)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1, dy2, dy3 = split4(tile, BLOCK_D)
        x0 = delta0 * u0
        # Each state stands for a pair of conjugates.
        pair0 = 2.0 * dy0
        sum_g0 = zero
        sum_q0 = zero
        x1 = delta1 * u1
        pair1 = 2.0 * dy1
        sum_g1 = zero
        sum_q1 = zero
        x2 = delta2 * u2
        pair2 = 2.0 * dy2
        sum_g2 = zero
        sum_q2 = zero
        x3 = delta3 * u3
        pair3 = 2.0 * dy3
        sum_g3 = zero
        sum_q3 = zero
        for n in range(0, 16, 2):
            weights_n = weights + n * DIM
            between_n = between + n * 32
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
            h0_0 = tl.load(between_n + cells)
            both = tl.load(pairs_n + twice)
            g0, dA0 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_1 = tl.load(between_n + 16 + cells)
            both = tl.load(pairs_n + 2 * DIM + twice)
            g1, dA1 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_2 = tl.load(between_n + 32 + cells)
            both = tl.load(pairs_n + 4 * DIM + twice)
            g2, dA2 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            h0_3 = tl.load(between_n + 48 + cells)
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
            B2_0, B2_1, B2_2, B2_3 = row4(B_n + 64, BLOCK_D)
            decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
            h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
            decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
            h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
            B3_0, B3_1, B3_2, B3_3 = row4(B_n + 96, BLOCK_D)
            decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
            h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
            decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
            h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
            C3_0, C3_1, C3_2, C3_3 = row4(C_n + 96, BLOCK_D)
            dh_re, dh_im, g0, g1, sum_g3, sum_q3, dA0, dA1 = step_back(
                g0,
                g1,
                pair3,
                C3_0,
                C3_1,
                B3_0,
                B3_1,
                decay3_0,
                decay3_1,
                h3_0,
                h3_1,
                A0,
                slope0,
                delta3,
                sum_g3,
                sum_q3,
                dA0,
                dA1,
            )
            dB3_0 = within_lanes(dh_re, x3, LANES)
            dC3_0 = within_lanes(h4_0, pair3, LANES)
            dB3_1 = within_lanes(dh_im, x3, LANES)
            dC3_1 = within_lanes(-h4_1, pair3, LANES)
            dh_re, dh_im, g2, g3, sum_g3, sum_q3, dA2, dA3 = step_back(
                g2,
                g3,
                pair3,
                C3_2,
                C3_3,
                B3_2,
                B3_3,
                decay3_2,
                decay3_3,
                h3_2,
                h3_3,
                A1,
                slope1,
                delta3,
                sum_g3,
                sum_q3,
                dA2,
                dA3,
            )
            dB3_2 = within_lanes(dh_re, x3, LANES)
            dC3_2 = within_lanes(h4_2, pair3, LANES)
            dB3_3 = within_lanes(dh_im, x3, LANES)
            dC3_3 = within_lanes(-h4_3, pair3, LANES)
            C2_0, C2_1, C2_2, C2_3 = row4(C_n + 64, BLOCK_D)
            dh_re, dh_im, g0, g1, sum_g2, sum_q2, dA0, dA1 = step_back(
                g0,
                g1,
                pair2,
                C2_0,
                C2_1,
                B2_0,
                B2_1,
                decay2_0,
                decay2_1,
                h2_0,
                h2_1,
                A0,
                slope0,
                delta2,
                sum_g2,
                sum_q2,
                dA0,
                dA1,
            )
            dB2_0 = within_lanes(dh_re, x2, LANES)
            dC2_0 = within_lanes(h3_0, pair2, LANES)
            dB2_1 = within_lanes(dh_im, x2, LANES)
            dC2_1 = within_lanes(-h3_1, pair2, LANES)
            dh_re, dh_im, g2, g3, sum_g2, sum_q2, dA2, dA3 = step_back(
                g2,
                g3,
                pair2,
                C2_2,
                C2_3,
                B2_2,
                B2_3,
                decay2_2,
                decay2_3,
                h2_2,
                h2_3,
                A1,
                slope1,
                delta2,
                sum_g2,
                sum_q2,
                dA2,
                dA3,
            )
            dB2_2 = within_lanes(dh_re, x2, LANES)
            dC2_2 = within_lanes(h3_2, pair2, LANES)
            dB2_3 = within_lanes(dh_im, x2, LANES)
            dC2_3 = within_lanes(-h3_3, pair2, LANES)
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
            sums = add_lanes32(
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
                dB2_0,
                dB2_1,
                dB2_2,
                dB2_3,
                dC2_0,
                dC2_1,
                dC2_2,
                dC2_3,
                dB3_0,
                dB3_1,
                dB3_2,
                dB3_3,
                dC3_0,
                dC3_1,
                dC3_2,
                dC3_3,
                LANES,
            )
            tl.store(partial_n + place2, sums)
        du0 = delta0 * sum_g0
        ddelta0 = tl.fma(sum_q0, 0.6931471805599453, u0 * sum_g0)
        du1 = delta1 * sum_g1
        ddelta1 = tl.fma(sum_q1, 0.6931471805599453, u1 * sum_g1)
        du2 = delta2 * sum_g2
        ddelta2 = tl.fma(sum_q2, 0.6931471805599453, u2 * sum_g2)
        du3 = delta3 * sum_g3
        ddelta3 = tl.fma(sum_q3, 0.6931471805599453, u3 * sum_g3)
        tile = join4(du0, du1, du2, du3, BLOCK_D)
        tl.store(du[:, None] + within, tile)
        tile = join4(ddelta0, ddelta1, ddelta2, ddelta3, BLOCK_D)
        tl.store(ddelta[:, None] + within, tile)
        tl.debug_barrier()
        u -= 4
        delta -= 4
        dout -= 4
        du -= 4
        ddelta -= 4
        B -= 128
        C -= 128
        partial -= 128
        between -= SLOT
    dA_parts += batch * 32 * DIM
    for n in range(32):
        both = tl.load(pairs + 2 * n * DIM + twice)
        g_n, dA_n = tl.split(tl.reshape(both, (BLOCK_D, 2)))
        tl.store(dA_parts + n * DIM + channels, dA_n)


@triton.jit
def add_batches(
    dA_parts,
    dA,
    batch,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
):
    cells = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 32
    planes = cells % 32 * DIM + cells // 32
    dA_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(batch):
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
