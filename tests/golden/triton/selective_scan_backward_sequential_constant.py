# selective_scan backward, fp32: sequential(block_d=64,exp=asm,interval=4,lanes=32,reread=0,states=2)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source d9f8cd2cd08444ce.
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
def step_back(g, dy, C, B, decay, h_before, A, delta, sum_g, sum_q, dA):
    # From what later steps give to the gradient of h_t, to that gradient, and to what step t gives to h_{t-1}.
    dh = tl.fma(dy, C, g)
    g = dh * decay
    q = g * h_before
    return dh, g, tl.fma(dh, B, sum_g), tl.fma(q, A, sum_q), tl.fma(q, delta, dA)


@triton.jit
def transpose_weights(
    A,
    B,
    C,
    weights,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    # A row for each state, so that neighbouring channels are neighbours in memory; A for powers of two.
    channels = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = channels < DIM
    n = tl.program_id(1)
    A_n = tl.load(A + channels * 16 + n, mask=inside) * 1.4426950408889634
    tl.store(weights + n * DIM + channels, A_n, mask=inside)
    B_n = tl.load(B + channels * 16 + n, mask=inside)
    tl.store(weights + (16 + n) * DIM + channels, B_n, mask=inside)
    C_n = tl.load(C + channels * 16 + n, mask=inside)
    tl.store(weights + (32 + n) * DIM + channels, C_n, mask=inside)


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
    A0 = tl.load(A + channels * 16 + 0) * 1.4426950408889634
    A1 = tl.load(A + channels * 16 + 1) * 1.4426950408889634
    A2 = tl.load(A + channels * 16 + 2) * 1.4426950408889634
    A3 = tl.load(A + channels * 16 + 3) * 1.4426950408889634
    A4 = tl.load(A + channels * 16 + 4) * 1.4426950408889634
    A5 = tl.load(A + channels * 16 + 5) * 1.4426950408889634
    A6 = tl.load(A + channels * 16 + 6) * 1.4426950408889634
    A7 = tl.load(A + channels * 16 + 7) * 1.4426950408889634
    A8 = tl.load(A + channels * 16 + 8) * 1.4426950408889634
    A9 = tl.load(A + channels * 16 + 9) * 1.4426950408889634
    A10 = tl.load(A + channels * 16 + 10) * 1.4426950408889634
    A11 = tl.load(A + channels * 16 + 11) * 1.4426950408889634
    A12 = tl.load(A + channels * 16 + 12) * 1.4426950408889634
    A13 = tl.load(A + channels * 16 + 13) * 1.4426950408889634
    A14 = tl.load(A + channels * 16 + 14) * 1.4426950408889634
    A15 = tl.load(A + channels * 16 + 15) * 1.4426950408889634
    B0 = tl.load(B + channels * 16 + 0)
    B1 = tl.load(B + channels * 16 + 1)
    B2 = tl.load(B + channels * 16 + 2)
    B3 = tl.load(B + channels * 16 + 3)
    B4 = tl.load(B + channels * 16 + 4)
    B5 = tl.load(B + channels * 16 + 5)
    B6 = tl.load(B + channels * 16 + 6)
    B7 = tl.load(B + channels * 16 + 7)
    B8 = tl.load(B + channels * 16 + 8)
    B9 = tl.load(B + channels * 16 + 9)
    B10 = tl.load(B + channels * 16 + 10)
    B11 = tl.load(B + channels * 16 + 11)
    B12 = tl.load(B + channels * 16 + 12)
    B13 = tl.load(B + channels * 16 + 13)
    B14 = tl.load(B + channels * 16 + 14)
    B15 = tl.load(B + channels * 16 + 15)
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = channels // 16 * 256 + channels % 16
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
        between += SLOT
        u_tile = tl.load(u[:, None] + steps)
        u_0, u_1, u_2, u_3 = split4(u_tile, BLOCK_D)
        delta_tile = tl.load(delta[:, None] + steps)
        delta_0, delta_1, delta_2, delta_3 = split4(delta_tile, BLOCK_D)
        u_t = u_0
        delta_t = delta_0
        x = delta_t * u_t
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        u_t = u_1
        delta_t = delta_1
        x = delta_t * u_t
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        u_t = u_2
        delta_t = delta_2
        x = delta_t * u_t
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        u_t = u_3
        delta_t = delta_3
        x = delta_t * u_t
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
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


@triton.jit
def selective_scan_backward(
    u,
    delta,
    dout,
    weights,
    between,
    du,
    ddelta,
    dA_parts,
    dB_parts,
    dC_parts,
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
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    du = du + batch * du_stride_batch + channels * du_stride_dim
    ddelta = ddelta + batch * ddelta_stride_batch + channels * ddelta_stride_dim
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = channels // 16 * 256 + channels % 16
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    g0 = zero
    dA0 = zero
    dB0 = zero
    dC0 = zero
    g1 = zero
    dA1 = zero
    dB1 = zero
    dC1 = zero
    g2 = zero
    dA2 = zero
    dB2 = zero
    dC2 = zero
    g3 = zero
    dA3 = zero
    dB3 = zero
    dC3 = zero
    g4 = zero
    dA4 = zero
    dB4 = zero
    dC4 = zero
    g5 = zero
    dA5 = zero
    dB5 = zero
    dC5 = zero
    g6 = zero
    dA6 = zero
    dB6 = zero
    dC6 = zero
    g7 = zero
    dA7 = zero
    dB7 = zero
    dC7 = zero
    g8 = zero
    dA8 = zero
    dB8 = zero
    dC8 = zero
    g9 = zero
    dA9 = zero
    dB9 = zero
    dC9 = zero
    g10 = zero
    dA10 = zero
    dB10 = zero
    dC10 = zero
    g11 = zero
    dA11 = zero
    dB11 = zero
    dC11 = zero
    g12 = zero
    dA12 = zero
    dB12 = zero
    dC12 = zero
    g13 = zero
    dA13 = zero
    dB13 = zero
    dC13 = zero
    g14 = zero
    dA14 = zero
    dB14 = zero
    dC14 = zero
    g15 = zero
    dA15 = zero
    dB15 = zero
    dC15 = zero

    within = tl.arange(0, 4)[None, :]
    # From the last chunk to the first.
    chunks = (seqlen + 3) // 4
    time = (chunks - 1) * 4
    u += time
    delta += time
    dout += time
    du += time
    ddelta += time
    between += (chunks - 1).to(tl.int64) * SLOT
    for _ in range(chunks):
        tile = tl.load(u[:, None] + within)
        u0, u1, u2, u3 = split4(tile, BLOCK_D)
        tile = tl.load(delta[:, None] + within)
        delta0, delta1, delta2, delta3 = split4(tile, BLOCK_D)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1, dy2, dy3 = split4(tile, BLOCK_D)
        x0 = delta0 * u0
        sum_g0 = zero
        sum_q0 = zero
        x1 = delta1 * u1
        sum_g1 = zero
        sum_q1 = zero
        x2 = delta2 * u2
        sum_g2 = zero
        sum_q2 = zero
        x3 = delta3 * u3
        sum_g3 = zero
        sum_q3 = zero
        A0 = tl.load(weights + channels)
        B0 = tl.load(weights + 16 * DIM + channels)
        C0 = tl.load(weights + 32 * DIM + channels)
        A1 = tl.load(weights + DIM + channels)
        B1 = tl.load(weights + 17 * DIM + channels)
        C1 = tl.load(weights + 33 * DIM + channels)
        h0_0 = tl.load(between + cells)
        h0_1 = tl.load(between + 16 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g0, sum_g3, sum_q3, dA0 = step_back(
            g0, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA0
        )
        dB0 = tl.fma(dh, x3, dB0)
        dC0 = tl.fma(h4_0, dy3, dC0)
        dh, g1, sum_g3, sum_q3, dA1 = step_back(
            g1, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA1
        )
        dB1 = tl.fma(dh, x3, dB1)
        dC1 = tl.fma(h4_1, dy3, dC1)
        dh, g0, sum_g2, sum_q2, dA0 = step_back(
            g0, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA0
        )
        dB0 = tl.fma(dh, x2, dB0)
        dC0 = tl.fma(h3_0, dy2, dC0)
        dh, g1, sum_g2, sum_q2, dA1 = step_back(
            g1, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA1
        )
        dB1 = tl.fma(dh, x2, dB1)
        dC1 = tl.fma(h3_1, dy2, dC1)
        dh, g0, sum_g1, sum_q1, dA0 = step_back(
            g0, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA0
        )
        dB0 = tl.fma(dh, x1, dB0)
        dC0 = tl.fma(h2_0, dy1, dC0)
        dh, g1, sum_g1, sum_q1, dA1 = step_back(
            g1, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA1
        )
        dB1 = tl.fma(dh, x1, dB1)
        dC1 = tl.fma(h2_1, dy1, dC1)
        dh, g0, sum_g0, sum_q0, dA0 = step_back(
            g0, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA0
        )
        dB0 = tl.fma(dh, x0, dB0)
        dC0 = tl.fma(h1_0, dy0, dC0)
        dh, g1, sum_g0, sum_q0, dA1 = step_back(
            g1, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA1
        )
        dB1 = tl.fma(dh, x0, dB1)
        dC1 = tl.fma(h1_1, dy0, dC1)
        A0 = tl.load(weights + 2 * DIM + channels)
        B0 = tl.load(weights + 18 * DIM + channels)
        C0 = tl.load(weights + 34 * DIM + channels)
        A1 = tl.load(weights + 3 * DIM + channels)
        B1 = tl.load(weights + 19 * DIM + channels)
        C1 = tl.load(weights + 35 * DIM + channels)
        h0_0 = tl.load(between + 32 + cells)
        h0_1 = tl.load(between + 48 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g2, sum_g3, sum_q3, dA2 = step_back(
            g2, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA2
        )
        dB2 = tl.fma(dh, x3, dB2)
        dC2 = tl.fma(h4_0, dy3, dC2)
        dh, g3, sum_g3, sum_q3, dA3 = step_back(
            g3, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA3
        )
        dB3 = tl.fma(dh, x3, dB3)
        dC3 = tl.fma(h4_1, dy3, dC3)
        dh, g2, sum_g2, sum_q2, dA2 = step_back(
            g2, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA2
        )
        dB2 = tl.fma(dh, x2, dB2)
        dC2 = tl.fma(h3_0, dy2, dC2)
        dh, g3, sum_g2, sum_q2, dA3 = step_back(
            g3, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA3
        )
        dB3 = tl.fma(dh, x2, dB3)
        dC3 = tl.fma(h3_1, dy2, dC3)
        dh, g2, sum_g1, sum_q1, dA2 = step_back(
            g2, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA2
        )
        dB2 = tl.fma(dh, x1, dB2)
        dC2 = tl.fma(h2_0, dy1, dC2)
        dh, g3, sum_g1, sum_q1, dA3 = step_back(
            g3, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA3
        )
        dB3 = tl.fma(dh, x1, dB3)
        dC3 = tl.fma(h2_1, dy1, dC3)
        dh, g2, sum_g0, sum_q0, dA2 = step_back(
            g2, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA2
        )
        dB2 = tl.fma(dh, x0, dB2)
        dC2 = tl.fma(h1_0, dy0, dC2)
        dh, g3, sum_g0, sum_q0, dA3 = step_back(
            g3, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA3
        )
        dB3 = tl.fma(dh, x0, dB3)
        dC3 = tl.fma(h1_1, dy0, dC3)
        A0 = tl.load(weights + 4 * DIM + channels)
        B0 = tl.load(weights + 20 * DIM + channels)
        C0 = tl.load(weights + 36 * DIM + channels)
        A1 = tl.load(weights + 5 * DIM + channels)
        B1 = tl.load(weights + 21 * DIM + channels)
        C1 = tl.load(weights + 37 * DIM + channels)
        h0_0 = tl.load(between + 64 + cells)
        h0_1 = tl.load(between + 80 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g4, sum_g3, sum_q3, dA4 = step_back(
            g4, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA4
        )
        dB4 = tl.fma(dh, x3, dB4)
        dC4 = tl.fma(h4_0, dy3, dC4)
        dh, g5, sum_g3, sum_q3, dA5 = step_back(
            g5, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA5
        )
        dB5 = tl.fma(dh, x3, dB5)
        dC5 = tl.fma(h4_1, dy3, dC5)
        dh, g4, sum_g2, sum_q2, dA4 = step_back(
            g4, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA4
        )
        dB4 = tl.fma(dh, x2, dB4)
        dC4 = tl.fma(h3_0, dy2, dC4)
        dh, g5, sum_g2, sum_q2, dA5 = step_back(
            g5, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA5
        )
        dB5 = tl.fma(dh, x2, dB5)
        dC5 = tl.fma(h3_1, dy2, dC5)
        dh, g4, sum_g1, sum_q1, dA4 = step_back(
            g4, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA4
        )
        dB4 = tl.fma(dh, x1, dB4)
        dC4 = tl.fma(h2_0, dy1, dC4)
        dh, g5, sum_g1, sum_q1, dA5 = step_back(
            g5, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA5
        )
        dB5 = tl.fma(dh, x1, dB5)
        dC5 = tl.fma(h2_1, dy1, dC5)
        dh, g4, sum_g0, sum_q0, dA4 = step_back(
            g4, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA4
        )
        dB4 = tl.fma(dh, x0, dB4)
        dC4 = tl.fma(h1_0, dy0, dC4)
        dh, g5, sum_g0, sum_q0, dA5 = step_back(
            g5, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA5
        )
        dB5 = tl.fma(dh, x0, dB5)
        dC5 = tl.fma(h1_1, dy0, dC5)
        A0 = tl.load(weights + 6 * DIM + channels)
        B0 = tl.load(weights + 22 * DIM + channels)
        C0 = tl.load(weights + 38 * DIM + channels)
        A1 = tl.load(weights + 7 * DIM + channels)
        B1 = tl.load(weights + 23 * DIM + channels)
        C1 = tl.load(weights + 39 * DIM + channels)
        h0_0 = tl.load(between + 96 + cells)
        h0_1 = tl.load(between + 112 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g6, sum_g3, sum_q3, dA6 = step_back(
            g6, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA6
        )
        dB6 = tl.fma(dh, x3, dB6)
        dC6 = tl.fma(h4_0, dy3, dC6)
        dh, g7, sum_g3, sum_q3, dA7 = step_back(
            g7, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA7
        )
        dB7 = tl.fma(dh, x3, dB7)
        dC7 = tl.fma(h4_1, dy3, dC7)
        dh, g6, sum_g2, sum_q2, dA6 = step_back(
            g6, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA6
        )
        dB6 = tl.fma(dh, x2, dB6)
        dC6 = tl.fma(h3_0, dy2, dC6)
        dh, g7, sum_g2, sum_q2, dA7 = step_back(
            g7, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA7
        )
        dB7 = tl.fma(dh, x2, dB7)
        dC7 = tl.fma(h3_1, dy2, dC7)
        dh, g6, sum_g1, sum_q1, dA6 = step_back(
            g6, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA6
        )
        dB6 = tl.fma(dh, x1, dB6)
        dC6 = tl.fma(h2_0, dy1, dC6)
        dh, g7, sum_g1, sum_q1, dA7 = step_back(
            g7, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA7
        )
        dB7 = tl.fma(dh, x1, dB7)
        dC7 = tl.fma(h2_1, dy1, dC7)
        dh, g6, sum_g0, sum_q0, dA6 = step_back(
            g6, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA6
        )
        dB6 = tl.fma(dh, x0, dB6)
        dC6 = tl.fma(h1_0, dy0, dC6)
        dh, g7, sum_g0, sum_q0, dA7 = step_back(
            g7, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA7
        )
        dB7 = tl.fma(dh, x0, dB7)
        dC7 = tl.fma(h1_1, dy0, dC7)
        A0 = tl.load(weights + 8 * DIM + channels)
        B0 = tl.load(weights + 24 * DIM + channels)
        C0 = tl.load(weights + 40 * DIM + channels)
        A1 = tl.load(weights + 9 * DIM + channels)
        B1 = tl.load(weights + 25 * DIM + channels)
        C1 = tl.load(weights + 41 * DIM + channels)
        h0_0 = tl.load(between + 128 + cells)
        h0_1 = tl.load(between + 144 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g8, sum_g3, sum_q3, dA8 = step_back(
            g8, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA8
        )
        dB8 = tl.fma(dh, x3, dB8)
        dC8 = tl.fma(h4_0, dy3, dC8)
        dh, g9, sum_g3, sum_q3, dA9 = step_back(
            g9, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA9
        )
        dB9 = tl.fma(dh, x3, dB9)
        dC9 = tl.fma(h4_1, dy3, dC9)
        dh, g8, sum_g2, sum_q2, dA8 = step_back(
            g8, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA8
        )
        dB8 = tl.fma(dh, x2, dB8)
        dC8 = tl.fma(h3_0, dy2, dC8)
        dh, g9, sum_g2, sum_q2, dA9 = step_back(
            g9, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA9
        )
        dB9 = tl.fma(dh, x2, dB9)
        dC9 = tl.fma(h3_1, dy2, dC9)
        dh, g8, sum_g1, sum_q1, dA8 = step_back(
            g8, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA8
        )
        dB8 = tl.fma(dh, x1, dB8)
        dC8 = tl.fma(h2_0, dy1, dC8)
        dh, g9, sum_g1, sum_q1, dA9 = step_back(
            g9, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA9
        )
        dB9 = tl.fma(dh, x1, dB9)
        dC9 = tl.fma(h2_1, dy1, dC9)
        dh, g8, sum_g0, sum_q0, dA8 = step_back(
            g8, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA8
        )
        dB8 = tl.fma(dh, x0, dB8)
        dC8 = tl.fma(h1_0, dy0, dC8)
        dh, g9, sum_g0, sum_q0, dA9 = step_back(
            g9, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA9
        )
        dB9 = tl.fma(dh, x0, dB9)
        dC9 = tl.fma(h1_1, dy0, dC9)
        A0 = tl.load(weights + 10 * DIM + channels)
        B0 = tl.load(weights + 26 * DIM + channels)
        C0 = tl.load(weights + 42 * DIM + channels)
        A1 = tl.load(weights + 11 * DIM + channels)
        B1 = tl.load(weights + 27 * DIM + channels)
        C1 = tl.load(weights + 43 * DIM + channels)
        h0_0 = tl.load(between + 160 + cells)
        h0_1 = tl.load(between + 176 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g10, sum_g3, sum_q3, dA10 = step_back(
            g10, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA10
        )
        dB10 = tl.fma(dh, x3, dB10)
        dC10 = tl.fma(h4_0, dy3, dC10)
        dh, g11, sum_g3, sum_q3, dA11 = step_back(
            g11, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA11
        )
        dB11 = tl.fma(dh, x3, dB11)
        dC11 = tl.fma(h4_1, dy3, dC11)
        dh, g10, sum_g2, sum_q2, dA10 = step_back(
            g10, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA10
        )
        dB10 = tl.fma(dh, x2, dB10)
        dC10 = tl.fma(h3_0, dy2, dC10)
        dh, g11, sum_g2, sum_q2, dA11 = step_back(
            g11, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA11
        )
        dB11 = tl.fma(dh, x2, dB11)
        dC11 = tl.fma(h3_1, dy2, dC11)
        dh, g10, sum_g1, sum_q1, dA10 = step_back(
            g10, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA10
        )
        dB10 = tl.fma(dh, x1, dB10)
        dC10 = tl.fma(h2_0, dy1, dC10)
        dh, g11, sum_g1, sum_q1, dA11 = step_back(
            g11, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA11
        )
        dB11 = tl.fma(dh, x1, dB11)
        dC11 = tl.fma(h2_1, dy1, dC11)
        dh, g10, sum_g0, sum_q0, dA10 = step_back(
            g10, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA10
        )
        dB10 = tl.fma(dh, x0, dB10)
        dC10 = tl.fma(h1_0, dy0, dC10)
        dh, g11, sum_g0, sum_q0, dA11 = step_back(
            g11, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA11
        )
        dB11 = tl.fma(dh, x0, dB11)
        dC11 = tl.fma(h1_1, dy0, dC11)
        A0 = tl.load(weights + 12 * DIM + channels)
        B0 = tl.load(weights + 28 * DIM + channels)
        C0 = tl.load(weights + 44 * DIM + channels)
        A1 = tl.load(weights + 13 * DIM + channels)
        B1 = tl.load(weights + 29 * DIM + channels)
        C1 = tl.load(weights + 45 * DIM + channels)
        h0_0 = tl.load(between + 192 + cells)
        h0_1 = tl.load(between + 208 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g12, sum_g3, sum_q3, dA12 = step_back(
            g12, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA12
        )
        dB12 = tl.fma(dh, x3, dB12)
        dC12 = tl.fma(h4_0, dy3, dC12)
        dh, g13, sum_g3, sum_q3, dA13 = step_back(
            g13, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA13
        )
        dB13 = tl.fma(dh, x3, dB13)
        dC13 = tl.fma(h4_1, dy3, dC13)
        dh, g12, sum_g2, sum_q2, dA12 = step_back(
            g12, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA12
        )
        dB12 = tl.fma(dh, x2, dB12)
        dC12 = tl.fma(h3_0, dy2, dC12)
        dh, g13, sum_g2, sum_q2, dA13 = step_back(
            g13, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA13
        )
        dB13 = tl.fma(dh, x2, dB13)
        dC13 = tl.fma(h3_1, dy2, dC13)
        dh, g12, sum_g1, sum_q1, dA12 = step_back(
            g12, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA12
        )
        dB12 = tl.fma(dh, x1, dB12)
        dC12 = tl.fma(h2_0, dy1, dC12)
        dh, g13, sum_g1, sum_q1, dA13 = step_back(
            g13, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA13
        )
        dB13 = tl.fma(dh, x1, dB13)
        dC13 = tl.fma(h2_1, dy1, dC13)
        dh, g12, sum_g0, sum_q0, dA12 = step_back(
            g12, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA12
        )
        dB12 = tl.fma(dh, x0, dB12)
        dC12 = tl.fma(h1_0, dy0, dC12)
        dh, g13, sum_g0, sum_q0, dA13 = step_back(
            g13, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA13
        )
        dB13 = tl.fma(dh, x0, dB13)
        dC13 = tl.fma(h1_1, dy0, dC13)
        A0 = tl.load(weights + 14 * DIM + channels)
        B0 = tl.load(weights + 30 * DIM + channels)
        C0 = tl.load(weights + 46 * DIM + channels)
        A1 = tl.load(weights + 15 * DIM + channels)
        B1 = tl.load(weights + 31 * DIM + channels)
        C1 = tl.load(weights + 47 * DIM + channels)
        h0_0 = tl.load(between + 224 + cells)
        h0_1 = tl.load(between + 240 + cells)
        decay0_0 = exp2(delta0 * A0)
        h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
        decay0_1 = exp2(delta0 * A1)
        h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
        decay1_0 = exp2(delta1 * A0)
        h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
        decay1_1 = exp2(delta1 * A1)
        h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
        decay2_0 = exp2(delta2 * A0)
        h3_0 = tl.fma(decay2_0, h2_0, x2 * B0)
        decay2_1 = exp2(delta2 * A1)
        h3_1 = tl.fma(decay2_1, h2_1, x2 * B1)
        decay3_0 = exp2(delta3 * A0)
        h4_0 = tl.fma(decay3_0, h3_0, x3 * B0)
        decay3_1 = exp2(delta3 * A1)
        h4_1 = tl.fma(decay3_1, h3_1, x3 * B1)
        dh, g14, sum_g3, sum_q3, dA14 = step_back(
            g14, dy3, C0, B0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA14
        )
        dB14 = tl.fma(dh, x3, dB14)
        dC14 = tl.fma(h4_0, dy3, dC14)
        dh, g15, sum_g3, sum_q3, dA15 = step_back(
            g15, dy3, C1, B1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA15
        )
        dB15 = tl.fma(dh, x3, dB15)
        dC15 = tl.fma(h4_1, dy3, dC15)
        dh, g14, sum_g2, sum_q2, dA14 = step_back(
            g14, dy2, C0, B0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA14
        )
        dB14 = tl.fma(dh, x2, dB14)
        dC14 = tl.fma(h3_0, dy2, dC14)
        dh, g15, sum_g2, sum_q2, dA15 = step_back(
            g15, dy2, C1, B1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA15
        )
        dB15 = tl.fma(dh, x2, dB15)
        dC15 = tl.fma(h3_1, dy2, dC15)
        dh, g14, sum_g1, sum_q1, dA14 = step_back(
            g14, dy1, C0, B0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA14
        )
        dB14 = tl.fma(dh, x1, dB14)
        dC14 = tl.fma(h2_0, dy1, dC14)
        dh, g15, sum_g1, sum_q1, dA15 = step_back(
            g15, dy1, C1, B1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA15
        )
        dB15 = tl.fma(dh, x1, dB15)
        dC15 = tl.fma(h2_1, dy1, dC15)
        dh, g14, sum_g0, sum_q0, dA14 = step_back(
            g14, dy0, C0, B0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA14
        )
        dB14 = tl.fma(dh, x0, dB14)
        dC14 = tl.fma(h1_0, dy0, dC14)
        dh, g15, sum_g0, sum_q0, dA15 = step_back(
            g15, dy0, C1, B1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA15
        )
        dB15 = tl.fma(dh, x0, dB15)
        dC15 = tl.fma(h1_1, dy0, dC15)
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
        between -= SLOT
    dA_parts += batch * 16 * DIM
    dB_parts += batch * 16 * DIM
    dC_parts += batch * 16 * DIM
    tl.store(dA_parts + channels, dA0)
    tl.store(dB_parts + channels, dB0)
    tl.store(dC_parts + channels, dC0)
    tl.store(dA_parts + DIM + channels, dA1)
    tl.store(dB_parts + DIM + channels, dB1)
    tl.store(dC_parts + DIM + channels, dC1)
    tl.store(dA_parts + 2 * DIM + channels, dA2)
    tl.store(dB_parts + 2 * DIM + channels, dB2)
    tl.store(dC_parts + 2 * DIM + channels, dC2)
    tl.store(dA_parts + 3 * DIM + channels, dA3)
    tl.store(dB_parts + 3 * DIM + channels, dB3)
    tl.store(dC_parts + 3 * DIM + channels, dC3)
    tl.store(dA_parts + 4 * DIM + channels, dA4)
    tl.store(dB_parts + 4 * DIM + channels, dB4)
    tl.store(dC_parts + 4 * DIM + channels, dC4)
    tl.store(dA_parts + 5 * DIM + channels, dA5)
    tl.store(dB_parts + 5 * DIM + channels, dB5)
    tl.store(dC_parts + 5 * DIM + channels, dC5)
    tl.store(dA_parts + 6 * DIM + channels, dA6)
    tl.store(dB_parts + 6 * DIM + channels, dB6)
    tl.store(dC_parts + 6 * DIM + channels, dC6)
    tl.store(dA_parts + 7 * DIM + channels, dA7)
    tl.store(dB_parts + 7 * DIM + channels, dB7)
    tl.store(dC_parts + 7 * DIM + channels, dC7)
    tl.store(dA_parts + 8 * DIM + channels, dA8)
    tl.store(dB_parts + 8 * DIM + channels, dB8)
    tl.store(dC_parts + 8 * DIM + channels, dC8)
    tl.store(dA_parts + 9 * DIM + channels, dA9)
    tl.store(dB_parts + 9 * DIM + channels, dB9)
    tl.store(dC_parts + 9 * DIM + channels, dC9)
    tl.store(dA_parts + 10 * DIM + channels, dA10)
    tl.store(dB_parts + 10 * DIM + channels, dB10)
    tl.store(dC_parts + 10 * DIM + channels, dC10)
    tl.store(dA_parts + 11 * DIM + channels, dA11)
    tl.store(dB_parts + 11 * DIM + channels, dB11)
    tl.store(dC_parts + 11 * DIM + channels, dC11)
    tl.store(dA_parts + 12 * DIM + channels, dA12)
    tl.store(dB_parts + 12 * DIM + channels, dB12)
    tl.store(dC_parts + 12 * DIM + channels, dC12)
    tl.store(dA_parts + 13 * DIM + channels, dA13)
    tl.store(dB_parts + 13 * DIM + channels, dB13)
    tl.store(dC_parts + 13 * DIM + channels, dC13)
    tl.store(dA_parts + 14 * DIM + channels, dA14)
    tl.store(dB_parts + 14 * DIM + channels, dB14)
    tl.store(dC_parts + 14 * DIM + channels, dC14)
    tl.store(dA_parts + 15 * DIM + channels, dA15)
    tl.store(dB_parts + 15 * DIM + channels, dB15)
    tl.store(dC_parts + 15 * DIM + channels, dC15)


@triton.jit
def add_batches(
    dA_parts,
    dB_parts,
    dC_parts,
    dA,
    dB,
    dC,
    batch,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
):
    cells = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 16
    planes = cells % 16 * DIM + cells // 16
    dA_sum = tl.full((BLOCK,), 0.0, tl.float32)
    dB_sum = tl.full((BLOCK,), 0.0, tl.float32)
    dC_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(batch):
        dA_sum += tl.load(dA_parts + planes, mask=inside)
        dA_parts += DIM * 16
        dB_sum += tl.load(dB_parts + planes, mask=inside)
        dB_parts += DIM * 16
        dC_sum += tl.load(dC_parts + planes, mask=inside)
        dC_parts += DIM * 16
    tl.store(dA + cells, dA_sum, mask=inside)
    tl.store(dB + cells, dB_sum, mask=inside)
    tl.store(dC + cells, dC_sum, mask=inside)
