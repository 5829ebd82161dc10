# selective_scan backward, fp32: sequential(block_d=32,exp=asm,interval=4,lanes=32,reread=0,states=2)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source 9c23800a06cb42f3.
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
    g0 = zero
    dA0 = zero
    g1 = zero
    dA1 = zero
    g2 = zero
    dA2 = zero
    g3 = zero
    dA3 = zero
    g4 = zero
    dA4 = zero
    g5 = zero
    dA5 = zero
    g6 = zero
    dA6 = zero
    g7 = zero
    dA7 = zero
    g8 = zero
    dA8 = zero
    g9 = zero
    dA9 = zero
    g10 = zero
    dA10 = zero
    g11 = zero
    dA11 = zero
    g12 = zero
    dA12 = zero
    g13 = zero
    dA13 = zero
    g14 = zero
    dA14 = zero
    g15 = zero
    dA15 = zero
    g16 = zero
    dA16 = zero
    g17 = zero
    dA17 = zero
    g18 = zero
    dA18 = zero
    g19 = zero
    dA19 = zero
    g20 = zero
    dA20 = zero
    g21 = zero
    dA21 = zero
    g22 = zero
    dA22 = zero
    g23 = zero
    dA23 = zero
    g24 = zero
    dA24 = zero
    g25 = zero
    dA25 = zero
    g26 = zero
    dA26 = zero
    g27 = zero
    dA27 = zero
    g28 = zero
    dA28 = zero
    g29 = zero
    dA29 = zero
    g30 = zero
    dA30 = zero
    g31 = zero
    dA31 = zero
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
        A0 = tl.load(weights + channels)
        turns0 = tl.load(weights + 16 * DIM + channels)
        rest0 = tl.load(weights + 32 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + DIM + channels)
        turns1 = tl.load(weights + 17 * DIM + channels)
        rest1 = tl.load(weights + 33 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + cells)
        h0_1 = tl.load(between + 16 + cells)
        h0_2 = tl.load(between + 32 + cells)
        h0_3 = tl.load(between + 48 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 32, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 64, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 96, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 96, BLOCK_D)
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
        C2_0, C2_1, C2_2, C2_3 = row4(C + 64, BLOCK_D)
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
        C1_0, C1_1, C1_2, C1_3 = row4(C + 32, BLOCK_D)
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
        C0_0, C0_1, C0_2, C0_3 = row4(C, BLOCK_D)
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
        tl.store(partial + place2, sums)
        A0 = tl.load(weights + 2 * DIM + channels)
        turns0 = tl.load(weights + 18 * DIM + channels)
        rest0 = tl.load(weights + 34 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 3 * DIM + channels)
        turns1 = tl.load(weights + 19 * DIM + channels)
        rest1 = tl.load(weights + 35 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 64 + cells)
        h0_1 = tl.load(between + 80 + cells)
        h0_2 = tl.load(between + 96 + cells)
        h0_3 = tl.load(between + 112 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 4, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 36, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 68, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 100, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 100, BLOCK_D)
        dh_re, dh_im, g4, g5, sum_g3, sum_q3, dA4, dA5 = step_back(
            g4,
            g5,
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
            dA4,
            dA5,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g6, g7, sum_g3, sum_q3, dA6, dA7 = step_back(
            g6,
            g7,
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
            dA6,
            dA7,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 68, BLOCK_D)
        dh_re, dh_im, g4, g5, sum_g2, sum_q2, dA4, dA5 = step_back(
            g4,
            g5,
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
            dA4,
            dA5,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g6, g7, sum_g2, sum_q2, dA6, dA7 = step_back(
            g6,
            g7,
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
            dA6,
            dA7,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 36, BLOCK_D)
        dh_re, dh_im, g4, g5, sum_g1, sum_q1, dA4, dA5 = step_back(
            g4,
            g5,
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
            dA4,
            dA5,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g6, g7, sum_g1, sum_q1, dA6, dA7 = step_back(
            g6,
            g7,
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
            dA6,
            dA7,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 4, BLOCK_D)
        dh_re, dh_im, g4, g5, sum_g0, sum_q0, dA4, dA5 = step_back(
            g4,
            g5,
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
            dA4,
            dA5,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g6, g7, sum_g0, sum_q0, dA6, dA7 = step_back(
            g6,
            g7,
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
            dA6,
            dA7,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 4, sums)
        A0 = tl.load(weights + 4 * DIM + channels)
        turns0 = tl.load(weights + 20 * DIM + channels)
        rest0 = tl.load(weights + 36 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 5 * DIM + channels)
        turns1 = tl.load(weights + 21 * DIM + channels)
        rest1 = tl.load(weights + 37 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 128 + cells)
        h0_1 = tl.load(between + 144 + cells)
        h0_2 = tl.load(between + 160 + cells)
        h0_3 = tl.load(between + 176 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 8, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 40, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 72, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 104, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 104, BLOCK_D)
        dh_re, dh_im, g8, g9, sum_g3, sum_q3, dA8, dA9 = step_back(
            g8,
            g9,
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
            dA8,
            dA9,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g10, g11, sum_g3, sum_q3, dA10, dA11 = step_back(
            g10,
            g11,
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
            dA10,
            dA11,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 72, BLOCK_D)
        dh_re, dh_im, g8, g9, sum_g2, sum_q2, dA8, dA9 = step_back(
            g8,
            g9,
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
            dA8,
            dA9,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g10, g11, sum_g2, sum_q2, dA10, dA11 = step_back(
            g10,
            g11,
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
            dA10,
            dA11,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 40, BLOCK_D)
        dh_re, dh_im, g8, g9, sum_g1, sum_q1, dA8, dA9 = step_back(
            g8,
            g9,
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
            dA8,
            dA9,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g10, g11, sum_g1, sum_q1, dA10, dA11 = step_back(
            g10,
            g11,
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
            dA10,
            dA11,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 8, BLOCK_D)
        dh_re, dh_im, g8, g9, sum_g0, sum_q0, dA8, dA9 = step_back(
            g8,
            g9,
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
            dA8,
            dA9,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g10, g11, sum_g0, sum_q0, dA10, dA11 = step_back(
            g10,
            g11,
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
            dA10,
            dA11,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 8, sums)
        A0 = tl.load(weights + 6 * DIM + channels)
        turns0 = tl.load(weights + 22 * DIM + channels)
        rest0 = tl.load(weights + 38 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 7 * DIM + channels)
        turns1 = tl.load(weights + 23 * DIM + channels)
        rest1 = tl.load(weights + 39 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 192 + cells)
        h0_1 = tl.load(between + 208 + cells)
        h0_2 = tl.load(between + 224 + cells)
        h0_3 = tl.load(between + 240 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 12, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 44, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 76, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 108, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 108, BLOCK_D)
        dh_re, dh_im, g12, g13, sum_g3, sum_q3, dA12, dA13 = step_back(
            g12,
            g13,
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
            dA12,
            dA13,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g14, g15, sum_g3, sum_q3, dA14, dA15 = step_back(
            g14,
            g15,
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
            dA14,
            dA15,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 76, BLOCK_D)
        dh_re, dh_im, g12, g13, sum_g2, sum_q2, dA12, dA13 = step_back(
            g12,
            g13,
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
            dA12,
            dA13,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g14, g15, sum_g2, sum_q2, dA14, dA15 = step_back(
            g14,
            g15,
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
            dA14,
            dA15,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 44, BLOCK_D)
        dh_re, dh_im, g12, g13, sum_g1, sum_q1, dA12, dA13 = step_back(
            g12,
            g13,
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
            dA12,
            dA13,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g14, g15, sum_g1, sum_q1, dA14, dA15 = step_back(
            g14,
            g15,
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
            dA14,
            dA15,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 12, BLOCK_D)
        dh_re, dh_im, g12, g13, sum_g0, sum_q0, dA12, dA13 = step_back(
            g12,
            g13,
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
            dA12,
            dA13,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g14, g15, sum_g0, sum_q0, dA14, dA15 = step_back(
            g14,
            g15,
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
            dA14,
            dA15,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 12, sums)
        A0 = tl.load(weights + 8 * DIM + channels)
        turns0 = tl.load(weights + 24 * DIM + channels)
        rest0 = tl.load(weights + 40 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 9 * DIM + channels)
        turns1 = tl.load(weights + 25 * DIM + channels)
        rest1 = tl.load(weights + 41 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 256 + cells)
        h0_1 = tl.load(between + 272 + cells)
        h0_2 = tl.load(between + 288 + cells)
        h0_3 = tl.load(between + 304 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 16, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 48, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 80, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 112, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 112, BLOCK_D)
        dh_re, dh_im, g16, g17, sum_g3, sum_q3, dA16, dA17 = step_back(
            g16,
            g17,
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
            dA16,
            dA17,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g18, g19, sum_g3, sum_q3, dA18, dA19 = step_back(
            g18,
            g19,
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
            dA18,
            dA19,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 80, BLOCK_D)
        dh_re, dh_im, g16, g17, sum_g2, sum_q2, dA16, dA17 = step_back(
            g16,
            g17,
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
            dA16,
            dA17,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g18, g19, sum_g2, sum_q2, dA18, dA19 = step_back(
            g18,
            g19,
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
            dA18,
            dA19,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 48, BLOCK_D)
        dh_re, dh_im, g16, g17, sum_g1, sum_q1, dA16, dA17 = step_back(
            g16,
            g17,
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
            dA16,
            dA17,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g18, g19, sum_g1, sum_q1, dA18, dA19 = step_back(
            g18,
            g19,
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
            dA18,
            dA19,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 16, BLOCK_D)
        dh_re, dh_im, g16, g17, sum_g0, sum_q0, dA16, dA17 = step_back(
            g16,
            g17,
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
            dA16,
            dA17,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g18, g19, sum_g0, sum_q0, dA18, dA19 = step_back(
            g18,
            g19,
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
            dA18,
            dA19,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 16, sums)
        A0 = tl.load(weights + 10 * DIM + channels)
        turns0 = tl.load(weights + 26 * DIM + channels)
        rest0 = tl.load(weights + 42 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 11 * DIM + channels)
        turns1 = tl.load(weights + 27 * DIM + channels)
        rest1 = tl.load(weights + 43 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 320 + cells)
        h0_1 = tl.load(between + 336 + cells)
        h0_2 = tl.load(between + 352 + cells)
        h0_3 = tl.load(between + 368 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 20, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 52, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 84, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 116, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 116, BLOCK_D)
        dh_re, dh_im, g20, g21, sum_g3, sum_q3, dA20, dA21 = step_back(
            g20,
            g21,
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
            dA20,
            dA21,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g22, g23, sum_g3, sum_q3, dA22, dA23 = step_back(
            g22,
            g23,
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
            dA22,
            dA23,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 84, BLOCK_D)
        dh_re, dh_im, g20, g21, sum_g2, sum_q2, dA20, dA21 = step_back(
            g20,
            g21,
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
            dA20,
            dA21,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g22, g23, sum_g2, sum_q2, dA22, dA23 = step_back(
            g22,
            g23,
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
            dA22,
            dA23,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 52, BLOCK_D)
        dh_re, dh_im, g20, g21, sum_g1, sum_q1, dA20, dA21 = step_back(
            g20,
            g21,
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
            dA20,
            dA21,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g22, g23, sum_g1, sum_q1, dA22, dA23 = step_back(
            g22,
            g23,
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
            dA22,
            dA23,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 20, BLOCK_D)
        dh_re, dh_im, g20, g21, sum_g0, sum_q0, dA20, dA21 = step_back(
            g20,
            g21,
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
            dA20,
            dA21,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g22, g23, sum_g0, sum_q0, dA22, dA23 = step_back(
            g22,
            g23,
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
            dA22,
            dA23,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 20, sums)
        A0 = tl.load(weights + 12 * DIM + channels)
        turns0 = tl.load(weights + 28 * DIM + channels)
        rest0 = tl.load(weights + 44 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 13 * DIM + channels)
        turns1 = tl.load(weights + 29 * DIM + channels)
        rest1 = tl.load(weights + 45 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 384 + cells)
        h0_1 = tl.load(between + 400 + cells)
        h0_2 = tl.load(between + 416 + cells)
        h0_3 = tl.load(between + 432 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 24, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 56, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 88, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 120, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 120, BLOCK_D)
        dh_re, dh_im, g24, g25, sum_g3, sum_q3, dA24, dA25 = step_back(
            g24,
            g25,
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
            dA24,
            dA25,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g26, g27, sum_g3, sum_q3, dA26, dA27 = step_back(
            g26,
            g27,
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
            dA26,
            dA27,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 88, BLOCK_D)
        dh_re, dh_im, g24, g25, sum_g2, sum_q2, dA24, dA25 = step_back(
            g24,
            g25,
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
            dA24,
            dA25,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g26, g27, sum_g2, sum_q2, dA26, dA27 = step_back(
            g26,
            g27,
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
            dA26,
            dA27,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 56, BLOCK_D)
        dh_re, dh_im, g24, g25, sum_g1, sum_q1, dA24, dA25 = step_back(
            g24,
            g25,
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
            dA24,
            dA25,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g26, g27, sum_g1, sum_q1, dA26, dA27 = step_back(
            g26,
            g27,
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
            dA26,
            dA27,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 24, BLOCK_D)
        dh_re, dh_im, g24, g25, sum_g0, sum_q0, dA24, dA25 = step_back(
            g24,
            g25,
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
            dA24,
            dA25,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g26, g27, sum_g0, sum_q0, dA26, dA27 = step_back(
            g26,
            g27,
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
            dA26,
            dA27,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 24, sums)
        A0 = tl.load(weights + 14 * DIM + channels)
        turns0 = tl.load(weights + 30 * DIM + channels)
        rest0 = tl.load(weights + 46 * DIM + channels)
        slope0 = 4.532360141827194 * turns0
        A1 = tl.load(weights + 15 * DIM + channels)
        turns1 = tl.load(weights + 31 * DIM + channels)
        rest1 = tl.load(weights + 47 * DIM + channels)
        slope1 = 4.532360141827194 * turns1
        h0_0 = tl.load(between + 448 + cells)
        h0_1 = tl.load(between + 464 + cells)
        h0_2 = tl.load(between + 480 + cells)
        h0_3 = tl.load(between + 496 + cells)
        B0_0, B0_1, B0_2, B0_3 = row4(B + 28, BLOCK_D)
        decay0_0, decay0_1 = exp_complex(delta0, A0, turns0, rest0)
        h1_0, h1_1 = advance(decay0_0, decay0_1, h0_0, h0_1, x0 * B0_0, x0 * B0_1)
        decay0_2, decay0_3 = exp_complex(delta0, A1, turns1, rest1)
        h1_2, h1_3 = advance(decay0_2, decay0_3, h0_2, h0_3, x0 * B0_2, x0 * B0_3)
        B1_0, B1_1, B1_2, B1_3 = row4(B + 60, BLOCK_D)
        decay1_0, decay1_1 = exp_complex(delta1, A0, turns0, rest0)
        h2_0, h2_1 = advance(decay1_0, decay1_1, h1_0, h1_1, x1 * B1_0, x1 * B1_1)
        decay1_2, decay1_3 = exp_complex(delta1, A1, turns1, rest1)
        h2_2, h2_3 = advance(decay1_2, decay1_3, h1_2, h1_3, x1 * B1_2, x1 * B1_3)
        B2_0, B2_1, B2_2, B2_3 = row4(B + 92, BLOCK_D)
        decay2_0, decay2_1 = exp_complex(delta2, A0, turns0, rest0)
        h3_0, h3_1 = advance(decay2_0, decay2_1, h2_0, h2_1, x2 * B2_0, x2 * B2_1)
        decay2_2, decay2_3 = exp_complex(delta2, A1, turns1, rest1)
        h3_2, h3_3 = advance(decay2_2, decay2_3, h2_2, h2_3, x2 * B2_2, x2 * B2_3)
        B3_0, B3_1, B3_2, B3_3 = row4(B + 124, BLOCK_D)
        decay3_0, decay3_1 = exp_complex(delta3, A0, turns0, rest0)
        h4_0, h4_1 = advance(decay3_0, decay3_1, h3_0, h3_1, x3 * B3_0, x3 * B3_1)
        decay3_2, decay3_3 = exp_complex(delta3, A1, turns1, rest1)
        h4_2, h4_3 = advance(decay3_2, decay3_3, h3_2, h3_3, x3 * B3_2, x3 * B3_3)
        C3_0, C3_1, C3_2, C3_3 = row4(C + 124, BLOCK_D)
        dh_re, dh_im, g28, g29, sum_g3, sum_q3, dA28, dA29 = step_back(
            g28,
            g29,
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
            dA28,
            dA29,
        )
        dB3_0 = within_lanes(dh_re, x3, LANES)
        dC3_0 = within_lanes(h4_0, pair3, LANES)
        dB3_1 = within_lanes(dh_im, x3, LANES)
        dC3_1 = within_lanes(-h4_1, pair3, LANES)
        dh_re, dh_im, g30, g31, sum_g3, sum_q3, dA30, dA31 = step_back(
            g30,
            g31,
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
            dA30,
            dA31,
        )
        dB3_2 = within_lanes(dh_re, x3, LANES)
        dC3_2 = within_lanes(h4_2, pair3, LANES)
        dB3_3 = within_lanes(dh_im, x3, LANES)
        dC3_3 = within_lanes(-h4_3, pair3, LANES)
        C2_0, C2_1, C2_2, C2_3 = row4(C + 92, BLOCK_D)
        dh_re, dh_im, g28, g29, sum_g2, sum_q2, dA28, dA29 = step_back(
            g28,
            g29,
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
            dA28,
            dA29,
        )
        dB2_0 = within_lanes(dh_re, x2, LANES)
        dC2_0 = within_lanes(h3_0, pair2, LANES)
        dB2_1 = within_lanes(dh_im, x2, LANES)
        dC2_1 = within_lanes(-h3_1, pair2, LANES)
        dh_re, dh_im, g30, g31, sum_g2, sum_q2, dA30, dA31 = step_back(
            g30,
            g31,
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
            dA30,
            dA31,
        )
        dB2_2 = within_lanes(dh_re, x2, LANES)
        dC2_2 = within_lanes(h3_2, pair2, LANES)
        dB2_3 = within_lanes(dh_im, x2, LANES)
        dC2_3 = within_lanes(-h3_3, pair2, LANES)
        C1_0, C1_1, C1_2, C1_3 = row4(C + 60, BLOCK_D)
        dh_re, dh_im, g28, g29, sum_g1, sum_q1, dA28, dA29 = step_back(
            g28,
            g29,
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
            dA28,
            dA29,
        )
        dB1_0 = within_lanes(dh_re, x1, LANES)
        dC1_0 = within_lanes(h2_0, pair1, LANES)
        dB1_1 = within_lanes(dh_im, x1, LANES)
        dC1_1 = within_lanes(-h2_1, pair1, LANES)
        dh_re, dh_im, g30, g31, sum_g1, sum_q1, dA30, dA31 = step_back(
            g30,
            g31,
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
            dA30,
            dA31,
        )
        dB1_2 = within_lanes(dh_re, x1, LANES)
        dC1_2 = within_lanes(h2_2, pair1, LANES)
        dB1_3 = within_lanes(dh_im, x1, LANES)
        dC1_3 = within_lanes(-h2_3, pair1, LANES)
        C0_0, C0_1, C0_2, C0_3 = row4(C + 28, BLOCK_D)
        dh_re, dh_im, g28, g29, sum_g0, sum_q0, dA28, dA29 = step_back(
            g28,
            g29,
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
            dA28,
            dA29,
        )
        dB0_0 = within_lanes(dh_re, x0, LANES)
        dC0_0 = within_lanes(h1_0, pair0, LANES)
        dB0_1 = within_lanes(dh_im, x0, LANES)
        dC0_1 = within_lanes(-h1_1, pair0, LANES)
        dh_re, dh_im, g30, g31, sum_g0, sum_q0, dA30, dA31 = step_back(
            g30,
            g31,
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
            dA30,
            dA31,
        )
        dB0_2 = within_lanes(dh_re, x0, LANES)
        dC0_2 = within_lanes(h1_2, pair0, LANES)
        dB0_3 = within_lanes(dh_im, x0, LANES)
        dC0_3 = within_lanes(-h1_3, pair0, LANES)
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
        tl.store(partial + place2 + 28, sums)
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
    tl.store(dA_parts + channels, dA0)
    tl.store(dA_parts + DIM + channels, dA1)
    tl.store(dA_parts + 2 * DIM + channels, dA2)
    tl.store(dA_parts + 3 * DIM + channels, dA3)
    tl.store(dA_parts + 4 * DIM + channels, dA4)
    tl.store(dA_parts + 5 * DIM + channels, dA5)
    tl.store(dA_parts + 6 * DIM + channels, dA6)
    tl.store(dA_parts + 7 * DIM + channels, dA7)
    tl.store(dA_parts + 8 * DIM + channels, dA8)
    tl.store(dA_parts + 9 * DIM + channels, dA9)
    tl.store(dA_parts + 10 * DIM + channels, dA10)
    tl.store(dA_parts + 11 * DIM + channels, dA11)
    tl.store(dA_parts + 12 * DIM + channels, dA12)
    tl.store(dA_parts + 13 * DIM + channels, dA13)
    tl.store(dA_parts + 14 * DIM + channels, dA14)
    tl.store(dA_parts + 15 * DIM + channels, dA15)
    tl.store(dA_parts + 16 * DIM + channels, dA16)
    tl.store(dA_parts + 17 * DIM + channels, dA17)
    tl.store(dA_parts + 18 * DIM + channels, dA18)
    tl.store(dA_parts + 19 * DIM + channels, dA19)
    tl.store(dA_parts + 20 * DIM + channels, dA20)
    tl.store(dA_parts + 21 * DIM + channels, dA21)
    tl.store(dA_parts + 22 * DIM + channels, dA22)
    tl.store(dA_parts + 23 * DIM + channels, dA23)
    tl.store(dA_parts + 24 * DIM + channels, dA24)
    tl.store(dA_parts + 25 * DIM + channels, dA25)
    tl.store(dA_parts + 26 * DIM + channels, dA26)
    tl.store(dA_parts + 27 * DIM + channels, dA27)
    tl.store(dA_parts + 28 * DIM + channels, dA28)
    tl.store(dA_parts + 29 * DIM + channels, dA29)
    tl.store(dA_parts + 30 * DIM + channels, dA30)
    tl.store(dA_parts + 31 * DIM + channels, dA31)


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
