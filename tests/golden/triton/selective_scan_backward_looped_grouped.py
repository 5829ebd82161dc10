# selective_scan backward, fp32: looped(block_d=64,exp=asm,flat=1,interval=4,lanes=32,reread=0,states=4)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source 5ca48e4faa59bf46.
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
def step_back(g, dy, C, B, decay, h_before, A, delta, sum_g, sum_q, dA):
    # From what later steps give to the gradient of h_t, to that gradient, and to what step t gives to h_{t-1}.
    dh = tl.fma(dy, C, g)
    g = dh * decay
    q = g * h_before
    return dh, g, tl.fma(dh, B, sum_g), tl.fma(q, A, sum_q), tl.fma(q, delta, dA)


@triton.jit
def within_lanes(x, y, LANES: tl.constexpr):
    # The products of the channels that a lane holds, summed.
    x0, x1 = tl.split(tl.reshape(x, (LANES, 2)))
    y0, y1 = tl.split(tl.reshape(y, (LANES, 2)))
    total = x0 * y0
    return tl.fma(x1, y1, total)


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
    A_n = tl.load(A + channels * 16 + n, mask=inside) * 1.4426950408889634
    tl.store(weights + n * DIM + channels, A_n, mask=inside)


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
    blocks = (DIM // 4 + BLOCK_D - 1) // BLOCK_D
    group = tl.program_id(1) // blocks
    member = tl.program_id(1) % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    channels = group * (DIM // 4) + member
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    B += (batch * 4 + group) * seqlen * 16
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
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = (group * ((DIM // 4 + 15) // 16) + member // 16) * 256 + member % 16
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
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        B += 16
        u_t = u_1
        delta_t = delta_1
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        B += 16
        u_t = u_2
        delta_t = delta_2
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        B += 16
        u_t = u_3
        delta_t = delta_3
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        h7 = tl.fma(exp2(delta_t * A7), h7, x * B7)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        h15 = tl.fma(exp2(delta_t * A15), h15, x * B15)
        B += 16
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
    blocks = (DIM // 4 + BLOCK_D - 1) // BLOCK_D
    group = tl.program_id(1) // blocks
    member = tl.program_id(1) % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    channels = group * (DIM // 4) + member
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    du = du + batch * du_stride_batch + channels * du_stride_dim
    ddelta = ddelta + batch * ddelta_stride_batch + channels * ddelta_stride_dim
    B += (batch * 4 + group) * seqlen * 16
    C += (batch * 4 + group) * seqlen * 16
    between += batch * ((seqlen + 3) // 4) * SLOT
    cells = (group * ((DIM // 4 + 15) // 16) + member // 16) * 256 + member % 16
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    pairs += batch * 32 * DIM
    twice = tl.program_id(1) % blocks * (2 * BLOCK_D) + tl.arange(0, 2 * BLOCK_D)
    twice += group * (DIM // 4 * 2)
    for n in range(16):
        both = tl.reshape(tl.join(zero, zero), (2 * BLOCK_D,))
        tl.store(pairs + 2 * n * DIM + twice, both)
    # What is carried in memory is read by the lane that wrote it, unless the compiler lays it out anew.
    tl.debug_barrier()
    sum4 = tl.arange(0, 32)
    step4 = sum4 // 8
    place4 = step4 * 16 + sum4 % 4
    place4 += sum4 // 4 % 2 * (seqlen.to(tl.int64) * 16)
    partial += (batch * tl.num_programs(1) + tl.program_id(1)) * seqlen * 32
    within = tl.arange(0, 4)[None, :]
    # From the last chunk to the first.
    chunks = (seqlen + 3) // 4
    time = (chunks - 1) * 4
    u += time
    delta += time
    dout += time
    du += time
    ddelta += time
    B += time.to(tl.int64) * 16
    C += time.to(tl.int64) * 16
    partial += time.to(tl.int64) * 16
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
        for n in range(0, 16, 4):
            weights_n = weights + n * DIM
            between_n = between + n * 16
            B_n = B + n
            C_n = C + n
            partial_n = partial + n
            pairs_n = pairs + 2 * n * DIM
            A0 = tl.load(weights_n + channels)
            A1 = tl.load(weights_n + DIM + channels)
            A2 = tl.load(weights_n + 2 * DIM + channels)
            A3 = tl.load(weights_n + 3 * DIM + channels)
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
            decay0_0 = exp2(delta0 * A0)
            h1_0 = tl.fma(decay0_0, h0_0, x0 * B0_0)
            decay0_1 = exp2(delta0 * A1)
            h1_1 = tl.fma(decay0_1, h0_1, x0 * B0_1)
            decay0_2 = exp2(delta0 * A2)
            h1_2 = tl.fma(decay0_2, h0_2, x0 * B0_2)
            decay0_3 = exp2(delta0 * A3)
            h1_3 = tl.fma(decay0_3, h0_3, x0 * B0_3)
            B1_0, B1_1, B1_2, B1_3 = row4(B_n + 16, BLOCK_D)
            decay1_0 = exp2(delta1 * A0)
            h2_0 = tl.fma(decay1_0, h1_0, x1 * B1_0)
            decay1_1 = exp2(delta1 * A1)
            h2_1 = tl.fma(decay1_1, h1_1, x1 * B1_1)
            decay1_2 = exp2(delta1 * A2)
            h2_2 = tl.fma(decay1_2, h1_2, x1 * B1_2)
            decay1_3 = exp2(delta1 * A3)
            h2_3 = tl.fma(decay1_3, h1_3, x1 * B1_3)
            B2_0, B2_1, B2_2, B2_3 = row4(B_n + 32, BLOCK_D)
            decay2_0 = exp2(delta2 * A0)
            h3_0 = tl.fma(decay2_0, h2_0, x2 * B2_0)
            decay2_1 = exp2(delta2 * A1)
            h3_1 = tl.fma(decay2_1, h2_1, x2 * B2_1)
            decay2_2 = exp2(delta2 * A2)
            h3_2 = tl.fma(decay2_2, h2_2, x2 * B2_2)
            decay2_3 = exp2(delta2 * A3)
            h3_3 = tl.fma(decay2_3, h2_3, x2 * B2_3)
            B3_0, B3_1, B3_2, B3_3 = row4(B_n + 48, BLOCK_D)
            decay3_0 = exp2(delta3 * A0)
            h4_0 = tl.fma(decay3_0, h3_0, x3 * B3_0)
            decay3_1 = exp2(delta3 * A1)
            h4_1 = tl.fma(decay3_1, h3_1, x3 * B3_1)
            decay3_2 = exp2(delta3 * A2)
            h4_2 = tl.fma(decay3_2, h3_2, x3 * B3_2)
            decay3_3 = exp2(delta3 * A3)
            h4_3 = tl.fma(decay3_3, h3_3, x3 * B3_3)
            C3_0, C3_1, C3_2, C3_3 = row4(C_n + 48, BLOCK_D)
            dh, g0, sum_g3, sum_q3, dA0 = step_back(
                g0, dy3, C3_0, B3_0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA0
            )
            dB3_0 = within_lanes(dh, x3, LANES)
            dC3_0 = within_lanes(h4_0, dy3, LANES)
            dh, g1, sum_g3, sum_q3, dA1 = step_back(
                g1, dy3, C3_1, B3_1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA1
            )
            dB3_1 = within_lanes(dh, x3, LANES)
            dC3_1 = within_lanes(h4_1, dy3, LANES)
            dh, g2, sum_g3, sum_q3, dA2 = step_back(
                g2, dy3, C3_2, B3_2, decay3_2, h3_2, A2, delta3, sum_g3, sum_q3, dA2
            )
            dB3_2 = within_lanes(dh, x3, LANES)
            dC3_2 = within_lanes(h4_2, dy3, LANES)
            dh, g3, sum_g3, sum_q3, dA3 = step_back(
                g3, dy3, C3_3, B3_3, decay3_3, h3_3, A3, delta3, sum_g3, sum_q3, dA3
            )
            dB3_3 = within_lanes(dh, x3, LANES)
            dC3_3 = within_lanes(h4_3, dy3, LANES)
            C2_0, C2_1, C2_2, C2_3 = row4(C_n + 32, BLOCK_D)
            dh, g0, sum_g2, sum_q2, dA0 = step_back(
                g0, dy2, C2_0, B2_0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA0
            )
            dB2_0 = within_lanes(dh, x2, LANES)
            dC2_0 = within_lanes(h3_0, dy2, LANES)
            dh, g1, sum_g2, sum_q2, dA1 = step_back(
                g1, dy2, C2_1, B2_1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA1
            )
            dB2_1 = within_lanes(dh, x2, LANES)
            dC2_1 = within_lanes(h3_1, dy2, LANES)
            dh, g2, sum_g2, sum_q2, dA2 = step_back(
                g2, dy2, C2_2, B2_2, decay2_2, h2_2, A2, delta2, sum_g2, sum_q2, dA2
            )
            dB2_2 = within_lanes(dh, x2, LANES)
            dC2_2 = within_lanes(h3_2, dy2, LANES)
            dh, g3, sum_g2, sum_q2, dA3 = step_back(
                g3, dy2, C2_3, B2_3, decay2_3, h2_3, A3, delta2, sum_g2, sum_q2, dA3
            )
            dB2_3 = within_lanes(dh, x2, LANES)
            dC2_3 = within_lanes(h3_3, dy2, LANES)
            C1_0, C1_1, C1_2, C1_3 = row4(C_n + 16, BLOCK_D)
            dh, g0, sum_g1, sum_q1, dA0 = step_back(
                g0, dy1, C1_0, B1_0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA0
            )
            dB1_0 = within_lanes(dh, x1, LANES)
            dC1_0 = within_lanes(h2_0, dy1, LANES)
            dh, g1, sum_g1, sum_q1, dA1 = step_back(
                g1, dy1, C1_1, B1_1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA1
            )
            dB1_1 = within_lanes(dh, x1, LANES)
            dC1_1 = within_lanes(h2_1, dy1, LANES)
            dh, g2, sum_g1, sum_q1, dA2 = step_back(
                g2, dy1, C1_2, B1_2, decay1_2, h1_2, A2, delta1, sum_g1, sum_q1, dA2
            )
            dB1_2 = within_lanes(dh, x1, LANES)
            dC1_2 = within_lanes(h2_2, dy1, LANES)
            dh, g3, sum_g1, sum_q1, dA3 = step_back(
                g3, dy1, C1_3, B1_3, decay1_3, h1_3, A3, delta1, sum_g1, sum_q1, dA3
            )
            dB1_3 = within_lanes(dh, x1, LANES)
            dC1_3 = within_lanes(h2_3, dy1, LANES)
            C0_0, C0_1, C0_2, C0_3 = row4(C_n, BLOCK_D)
            dh, g0, sum_g0, sum_q0, dA0 = step_back(
                g0, dy0, C0_0, B0_0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA0
            )
            dB0_0 = within_lanes(dh, x0, LANES)
            dC0_0 = within_lanes(h1_0, dy0, LANES)
            dh, g1, sum_g0, sum_q0, dA1 = step_back(
                g1, dy0, C0_1, B0_1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA1
            )
            dB0_1 = within_lanes(dh, x0, LANES)
            dC0_1 = within_lanes(h1_1, dy0, LANES)
            dh, g2, sum_g0, sum_q0, dA2 = step_back(
                g2, dy0, C0_2, B0_2, decay0_2, h0_2, A2, delta0, sum_g0, sum_q0, dA2
            )
            dB0_2 = within_lanes(dh, x0, LANES)
            dC0_2 = within_lanes(h1_2, dy0, LANES)
            dh, g3, sum_g0, sum_q0, dA3 = step_back(
                g3, dy0, C0_3, B0_3, decay0_3, h0_3, A3, delta0, sum_g0, sum_q0, dA3
            )
            dB0_3 = within_lanes(dh, x0, LANES)
            dC0_3 = within_lanes(h1_3, dy0, LANES)
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
            tl.store(partial_n + place4, sums)
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
        B -= 64
        C -= 64
        partial -= 64
        between -= SLOT
    dA_parts += batch * 16 * DIM
    for n in range(16):
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
    inside = cells < DIM * 16
    planes = cells % 16 * DIM + cells // 16
    dA_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(batch):
        dA_sum += tl.load(dA_parts + planes, mask=inside)
        dA_parts += DIM * 16
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
    size = seqlen.to(tl.int64) * 16
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
