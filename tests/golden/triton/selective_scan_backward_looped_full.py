# selective_scan backward, bf16: looped(block_d=64,exp=asm,flat=2,interval=4,lanes=32,reread=0,states=4)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source a2cf3c04272d29d3.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def softplus(x):
    # max(x, 0) + log1p(exp(-|x|)), with log1p(e) = e p(e) and p(0) = 1: exact to rounding where e is small, and equal to
    # x beyond 20. A minimax polynomial takes as many instructions as a division and half the special functions.
    e = exp2(tl.abs(x) * -1.4426950408889634)
    p = tl.fma(e, 0.005365422461181879, -0.030068300664424896)
    p = tl.fma(p, e, 0.07920882850885391)
    p = tl.fma(p, e, -0.13754187524318695)
    p = tl.fma(p, e, 0.1915384829044342)
    p = tl.fma(p, e, -0.24857217073440552)
    p = tl.fma(p, e, 0.33321329951286316)
    p = tl.fma(p, e, -0.49999648332595825)
    p = tl.fma(p, e, 1.0)
    return tl.fma(p, e, tl.maximum(x, 0.0))


@triton.jit
def silu_and_slope(z):
    gate = reciprocal(1.0 + exp2(z * -1.4426950408889634))
    silu = z * gate
    return silu, tl.fma(silu, 1.0 - gate, gate)


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
    delta_bias,
    cu_seqlens,
    states,
    between,
    u_stride_seqlen,
    delta_stride_seqlen,
    DIM: tl.constexpr,
    SLOT: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    first = tl.load(cu_seqlens + batch)
    length = tl.load(cu_seqlens + batch + 1) - first
    begin = first.to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u += begin * u_stride_seqlen
    delta += begin * delta_stride_seqlen
    chunk = tl.program_id(2).to(tl.int64)
    count = tl.minimum(256, length - chunk * 256)
    if count <= 0:
        return
    u += chunk * 256 * u_stride_seqlen
    delta += chunk * 256 * delta_stride_seqlen
    B += begin * 16
    B += chunk * 4096
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
    bias = tl.load(delta_bias + channels)
    between += (begin // 4 + batch) * SLOT
    cells = channels // 16 * 256 + channels % 16
    between += chunk * (64 * SLOT)
    states += (begin // 256 + batch) * SLOT
    states += chunk * SLOT
    h0 = tl.load(states + cells)
    h1 = tl.load(states + 16 + cells)
    h2 = tl.load(states + 32 + cells)
    h3 = tl.load(states + 48 + cells)
    h4 = tl.load(states + 64 + cells)
    h5 = tl.load(states + 80 + cells)
    h6 = tl.load(states + 96 + cells)
    h7 = tl.load(states + 112 + cells)
    h8 = tl.load(states + 128 + cells)
    h9 = tl.load(states + 144 + cells)
    h10 = tl.load(states + 160 + cells)
    h11 = tl.load(states + 176 + cells)
    h12 = tl.load(states + 192 + cells)
    h13 = tl.load(states + 208 + cells)
    h14 = tl.load(states + 224 + cells)
    h15 = tl.load(states + 240 + cells)
    # No state is wanted after the last chunk.
    for _ in range((count - 1) // 4):
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
        for _ in tl.static_range(4):
            u_t = tl.load(u + channels).to(tl.float32)
            delta_t = tl.load(delta + channels).to(tl.float32)
            delta_t = softplus(delta_t + bias)
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
            u += u_stride_seqlen
            delta += delta_stride_seqlen
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
    z,
    weights,
    B,
    C,
    D,
    delta_bias,
    cu_seqlens,
    dlast_state,
    between,
    du,
    ddelta,
    dz,
    dinitial_state,
    pairs,
    dA_parts,
    dD_parts,
    ddelta_bias_parts,
    partial,
    u_stride_seqlen,
    delta_stride_seqlen,
    z_stride_seqlen,
    dout_stride_seqlen,
    du_stride_seqlen,
    ddelta_stride_seqlen,
    dz_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    SLOT: tl.constexpr,
    BLOCK_D: tl.constexpr,
    LANES: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    first = tl.load(cu_seqlens + batch)
    length = tl.load(cu_seqlens + batch + 1) - first
    begin = first.to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u += begin * u_stride_seqlen
    delta += begin * delta_stride_seqlen
    dout += begin * dout_stride_seqlen
    z += begin * z_stride_seqlen
    du += begin * du_stride_seqlen
    ddelta += begin * ddelta_stride_seqlen
    dz += begin * dz_stride_seqlen
    B += begin * 16
    C += begin * 16
    between += (begin // 4 + batch) * SLOT
    cells = channels // 16 * 256 + channels % 16
    skip = tl.load(D + channels)
    bias = tl.load(delta_bias + channels)
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    dlast_state += batch * DIM * 16
    pairs += batch * 32 * DIM
    twice = tl.program_id(1) * (2 * BLOCK_D) + tl.arange(0, 2 * BLOCK_D)
    for n in range(16):
        g_n = tl.load(dlast_state + channels * 16 + n)
        both = tl.reshape(tl.join(g_n, zero), (2 * BLOCK_D,))
        tl.store(pairs + 2 * n * DIM + twice, both)
    # What is carried in memory is read by the lane that wrote it, unless the compiler lays it out anew.
    tl.debug_barrier()
    dD = zero
    ddelta_bias = zero
    sum4 = tl.arange(0, 32)
    step4 = sum4 // 8
    place4 = step4 * 16 + sum4 % 4
    place4 += sum4 // 4 % 2 * (seqlen.to(tl.int64) * 16)
    partial += (tl.program_id(1).to(tl.int64) * (2 * seqlen) + begin) * 16
    ends = tl.full((BLOCK_D,), length, tl.int32)
    # From the last chunk to the first.
    chunks = (length + 3) // 4
    time = (chunks - 1) * 4
    u += time * u_stride_seqlen
    delta += time * delta_stride_seqlen
    dout += time * dout_stride_seqlen
    z += time * z_stride_seqlen
    du += time * du_stride_seqlen
    ddelta += time * ddelta_stride_seqlen
    dz += time * dz_stride_seqlen
    B += time.to(tl.int64) * 16
    C += time.to(tl.int64) * 16
    partial += time.to(tl.int64) * 16
    between += (chunks - 1).to(tl.int64) * SLOT
    for _ in range(chunks):
        # Steps after the end have delta = u = dout = 0, which leaves h and g as they are.
        last = length - 1 - time
        present1 = time + 1 < ends
        present2 = time + 2 < ends
        present3 = time + 3 < ends
        u0 = tl.load(u + channels).to(tl.float32)
        u1 = tl.load(u + u_stride_seqlen + channels, mask=present1, other=0.0).to(tl.float32)
        u2 = tl.load(u + 2 * u_stride_seqlen + channels, mask=present2, other=0.0).to(tl.float32)
        u3 = tl.load(u + 3 * u_stride_seqlen + channels, mask=present3, other=0.0).to(tl.float32)
        delta0 = tl.load(delta + channels).to(tl.float32)
        delta1 = tl.load(delta + delta_stride_seqlen + channels, mask=present1, other=0.0).to(tl.float32)
        delta2 = tl.load(delta + 2 * delta_stride_seqlen + channels, mask=present2, other=0.0).to(tl.float32)
        delta3 = tl.load(delta + 3 * delta_stride_seqlen + channels, mask=present3, other=0.0).to(tl.float32)
        dout0 = tl.load(dout + channels).to(tl.float32)
        dout1 = tl.load(dout + dout_stride_seqlen + channels, mask=present1, other=0.0).to(tl.float32)
        dout2 = tl.load(dout + 2 * dout_stride_seqlen + channels, mask=present2, other=0.0).to(tl.float32)
        dout3 = tl.load(dout + 3 * dout_stride_seqlen + channels, mask=present3, other=0.0).to(tl.float32)
        z0 = tl.load(z + channels).to(tl.float32)
        z1 = tl.load(z + z_stride_seqlen + channels, mask=present1, other=0.0).to(tl.float32)
        z2 = tl.load(z + 2 * z_stride_seqlen + channels, mask=present2, other=0.0).to(tl.float32)
        z3 = tl.load(z + 3 * z_stride_seqlen + channels, mask=present3, other=0.0).to(tl.float32)
        raw0 = delta0 + bias
        delta0 = softplus(raw0)
        x0 = delta0 * u0
        silu0, slope0 = silu_and_slope(z0)
        dy0 = dout0 * silu0
        dz0 = dout0 * slope0
        y0 = skip * u0
        sum_g0 = zero
        sum_q0 = zero
        raw1 = delta1 + bias
        delta1 = softplus(raw1)
        delta1 = tl.where(present1, delta1, 0.0)
        x1 = delta1 * u1
        silu1, slope1 = silu_and_slope(z1)
        dy1 = dout1 * silu1
        dz1 = dout1 * slope1
        y1 = skip * u1
        sum_g1 = zero
        sum_q1 = zero
        raw2 = delta2 + bias
        delta2 = softplus(raw2)
        delta2 = tl.where(present2, delta2, 0.0)
        x2 = delta2 * u2
        silu2, slope2 = silu_and_slope(z2)
        dy2 = dout2 * silu2
        dz2 = dout2 * slope2
        y2 = skip * u2
        sum_g2 = zero
        sum_q2 = zero
        raw3 = delta3 + bias
        delta3 = softplus(raw3)
        delta3 = tl.where(present3, delta3, 0.0)
        x3 = delta3 * u3
        silu3, slope3 = silu_and_slope(z3)
        dy3 = dout3 * silu3
        dz3 = dout3 * slope3
        y3 = skip * u3
        sum_g3 = zero
        sum_q3 = zero
        for n in tl.range(0, 16, 4, loop_unroll_factor=2):
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
            B1_0, B1_1, B1_2, B1_3 = row4(B_n + tl.minimum(1, last) * 16, BLOCK_D)
            decay1_0 = exp2(delta1 * A0)
            h2_0 = tl.fma(decay1_0, h1_0, x1 * B1_0)
            decay1_1 = exp2(delta1 * A1)
            h2_1 = tl.fma(decay1_1, h1_1, x1 * B1_1)
            decay1_2 = exp2(delta1 * A2)
            h2_2 = tl.fma(decay1_2, h1_2, x1 * B1_2)
            decay1_3 = exp2(delta1 * A3)
            h2_3 = tl.fma(decay1_3, h1_3, x1 * B1_3)
            B2_0, B2_1, B2_2, B2_3 = row4(B_n + tl.minimum(2, last) * 16, BLOCK_D)
            decay2_0 = exp2(delta2 * A0)
            h3_0 = tl.fma(decay2_0, h2_0, x2 * B2_0)
            decay2_1 = exp2(delta2 * A1)
            h3_1 = tl.fma(decay2_1, h2_1, x2 * B2_1)
            decay2_2 = exp2(delta2 * A2)
            h3_2 = tl.fma(decay2_2, h2_2, x2 * B2_2)
            decay2_3 = exp2(delta2 * A3)
            h3_3 = tl.fma(decay2_3, h2_3, x2 * B2_3)
            B3_0, B3_1, B3_2, B3_3 = row4(B_n + tl.minimum(3, last) * 16, BLOCK_D)
            decay3_0 = exp2(delta3 * A0)
            h4_0 = tl.fma(decay3_0, h3_0, x3 * B3_0)
            decay3_1 = exp2(delta3 * A1)
            h4_1 = tl.fma(decay3_1, h3_1, x3 * B3_1)
            decay3_2 = exp2(delta3 * A2)
            h4_2 = tl.fma(decay3_2, h3_2, x3 * B3_2)
            decay3_3 = exp2(delta3 * A3)
            h4_3 = tl.fma(decay3_3, h3_3, x3 * B3_3)
            C3_0, C3_1, C3_2, C3_3 = row4(C_n + tl.minimum(3, last) * 16, BLOCK_D)
            y3 = tl.fma(h4_0, C3_0, y3)
            dh, g0, sum_g3, sum_q3, dA0 = step_back(
                g0, dy3, C3_0, B3_0, decay3_0, h3_0, A0, delta3, sum_g3, sum_q3, dA0
            )
            dB3_0 = within_lanes(dh, x3, LANES)
            dC3_0 = within_lanes(h4_0, dy3, LANES)
            y3 = tl.fma(h4_1, C3_1, y3)
            dh, g1, sum_g3, sum_q3, dA1 = step_back(
                g1, dy3, C3_1, B3_1, decay3_1, h3_1, A1, delta3, sum_g3, sum_q3, dA1
            )
            dB3_1 = within_lanes(dh, x3, LANES)
            dC3_1 = within_lanes(h4_1, dy3, LANES)
            y3 = tl.fma(h4_2, C3_2, y3)
            dh, g2, sum_g3, sum_q3, dA2 = step_back(
                g2, dy3, C3_2, B3_2, decay3_2, h3_2, A2, delta3, sum_g3, sum_q3, dA2
            )
            dB3_2 = within_lanes(dh, x3, LANES)
            dC3_2 = within_lanes(h4_2, dy3, LANES)
            y3 = tl.fma(h4_3, C3_3, y3)
            dh, g3, sum_g3, sum_q3, dA3 = step_back(
                g3, dy3, C3_3, B3_3, decay3_3, h3_3, A3, delta3, sum_g3, sum_q3, dA3
            )
            dB3_3 = within_lanes(dh, x3, LANES)
            dC3_3 = within_lanes(h4_3, dy3, LANES)
            C2_0, C2_1, C2_2, C2_3 = row4(C_n + tl.minimum(2, last) * 16, BLOCK_D)
            y2 = tl.fma(h3_0, C2_0, y2)
            dh, g0, sum_g2, sum_q2, dA0 = step_back(
                g0, dy2, C2_0, B2_0, decay2_0, h2_0, A0, delta2, sum_g2, sum_q2, dA0
            )
            dB2_0 = within_lanes(dh, x2, LANES)
            dC2_0 = within_lanes(h3_0, dy2, LANES)
            y2 = tl.fma(h3_1, C2_1, y2)
            dh, g1, sum_g2, sum_q2, dA1 = step_back(
                g1, dy2, C2_1, B2_1, decay2_1, h2_1, A1, delta2, sum_g2, sum_q2, dA1
            )
            dB2_1 = within_lanes(dh, x2, LANES)
            dC2_1 = within_lanes(h3_1, dy2, LANES)
            y2 = tl.fma(h3_2, C2_2, y2)
            dh, g2, sum_g2, sum_q2, dA2 = step_back(
                g2, dy2, C2_2, B2_2, decay2_2, h2_2, A2, delta2, sum_g2, sum_q2, dA2
            )
            dB2_2 = within_lanes(dh, x2, LANES)
            dC2_2 = within_lanes(h3_2, dy2, LANES)
            y2 = tl.fma(h3_3, C2_3, y2)
            dh, g3, sum_g2, sum_q2, dA3 = step_back(
                g3, dy2, C2_3, B2_3, decay2_3, h2_3, A3, delta2, sum_g2, sum_q2, dA3
            )
            dB2_3 = within_lanes(dh, x2, LANES)
            dC2_3 = within_lanes(h3_3, dy2, LANES)
            C1_0, C1_1, C1_2, C1_3 = row4(C_n + tl.minimum(1, last) * 16, BLOCK_D)
            y1 = tl.fma(h2_0, C1_0, y1)
            dh, g0, sum_g1, sum_q1, dA0 = step_back(
                g0, dy1, C1_0, B1_0, decay1_0, h1_0, A0, delta1, sum_g1, sum_q1, dA0
            )
            dB1_0 = within_lanes(dh, x1, LANES)
            dC1_0 = within_lanes(h2_0, dy1, LANES)
            y1 = tl.fma(h2_1, C1_1, y1)
            dh, g1, sum_g1, sum_q1, dA1 = step_back(
                g1, dy1, C1_1, B1_1, decay1_1, h1_1, A1, delta1, sum_g1, sum_q1, dA1
            )
            dB1_1 = within_lanes(dh, x1, LANES)
            dC1_1 = within_lanes(h2_1, dy1, LANES)
            y1 = tl.fma(h2_2, C1_2, y1)
            dh, g2, sum_g1, sum_q1, dA2 = step_back(
                g2, dy1, C1_2, B1_2, decay1_2, h1_2, A2, delta1, sum_g1, sum_q1, dA2
            )
            dB1_2 = within_lanes(dh, x1, LANES)
            dC1_2 = within_lanes(h2_2, dy1, LANES)
            y1 = tl.fma(h2_3, C1_3, y1)
            dh, g3, sum_g1, sum_q1, dA3 = step_back(
                g3, dy1, C1_3, B1_3, decay1_3, h1_3, A3, delta1, sum_g1, sum_q1, dA3
            )
            dB1_3 = within_lanes(dh, x1, LANES)
            dC1_3 = within_lanes(h2_3, dy1, LANES)
            C0_0, C0_1, C0_2, C0_3 = row4(C_n, BLOCK_D)
            y0 = tl.fma(h1_0, C0_0, y0)
            dh, g0, sum_g0, sum_q0, dA0 = step_back(
                g0, dy0, C0_0, B0_0, decay0_0, h0_0, A0, delta0, sum_g0, sum_q0, dA0
            )
            dB0_0 = within_lanes(dh, x0, LANES)
            dC0_0 = within_lanes(h1_0, dy0, LANES)
            y0 = tl.fma(h1_1, C0_1, y0)
            dh, g1, sum_g0, sum_q0, dA1 = step_back(
                g1, dy0, C0_1, B0_1, decay0_1, h0_1, A1, delta0, sum_g0, sum_q0, dA1
            )
            dB0_1 = within_lanes(dh, x0, LANES)
            dC0_1 = within_lanes(h1_1, dy0, LANES)
            y0 = tl.fma(h1_2, C0_2, y0)
            dh, g2, sum_g0, sum_q0, dA2 = step_back(
                g2, dy0, C0_2, B0_2, decay0_2, h0_2, A2, delta0, sum_g0, sum_q0, dA2
            )
            dB0_2 = within_lanes(dh, x0, LANES)
            dC0_2 = within_lanes(h1_2, dy0, LANES)
            y0 = tl.fma(h1_3, C0_3, y0)
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
            tl.store(partial_n + place4, sums, mask=time + step4 < length)
        du0 = delta0 * sum_g0
        du0 = tl.fma(skip, dy0, du0)
        dD = tl.fma(dy0, u0, dD)
        ddelta0 = tl.fma(sum_q0, 0.6931471805599453, u0 * sum_g0)
        # The slope of softplus is exp(raw - softplus(raw)).
        ddelta0 *= exp2((raw0 - delta0) * 1.4426950408889634)
        ddelta_bias += ddelta0
        dz0 *= y0
        du1 = delta1 * sum_g1
        du1 = tl.fma(skip, dy1, du1)
        dD = tl.fma(dy1, u1, dD)
        ddelta1 = tl.fma(sum_q1, 0.6931471805599453, u1 * sum_g1)
        ddelta1 *= exp2((raw1 - delta1) * 1.4426950408889634)
        ddelta_bias += tl.where(present1, ddelta1, 0.0)
        dz1 *= y1
        du2 = delta2 * sum_g2
        du2 = tl.fma(skip, dy2, du2)
        dD = tl.fma(dy2, u2, dD)
        ddelta2 = tl.fma(sum_q2, 0.6931471805599453, u2 * sum_g2)
        ddelta2 *= exp2((raw2 - delta2) * 1.4426950408889634)
        ddelta_bias += tl.where(present2, ddelta2, 0.0)
        dz2 *= y2
        du3 = delta3 * sum_g3
        du3 = tl.fma(skip, dy3, du3)
        dD = tl.fma(dy3, u3, dD)
        ddelta3 = tl.fma(sum_q3, 0.6931471805599453, u3 * sum_g3)
        ddelta3 *= exp2((raw3 - delta3) * 1.4426950408889634)
        ddelta_bias += tl.where(present3, ddelta3, 0.0)
        dz3 *= y3
        tl.store(du + channels, du0)
        tl.store(du + du_stride_seqlen + channels, du1, mask=present1)
        tl.store(du + 2 * du_stride_seqlen + channels, du2, mask=present2)
        tl.store(du + 3 * du_stride_seqlen + channels, du3, mask=present3)
        tl.store(ddelta + channels, ddelta0)
        tl.store(ddelta + ddelta_stride_seqlen + channels, ddelta1, mask=present1)
        tl.store(ddelta + 2 * ddelta_stride_seqlen + channels, ddelta2, mask=present2)
        tl.store(ddelta + 3 * ddelta_stride_seqlen + channels, ddelta3, mask=present3)
        tl.store(dz + channels, dz0)
        tl.store(dz + dz_stride_seqlen + channels, dz1, mask=present1)
        tl.store(dz + 2 * dz_stride_seqlen + channels, dz2, mask=present2)
        tl.store(dz + 3 * dz_stride_seqlen + channels, dz3, mask=present3)
        tl.debug_barrier()
        time -= 4
        u -= 4 * u_stride_seqlen
        delta -= 4 * delta_stride_seqlen
        dout -= 4 * dout_stride_seqlen
        z -= 4 * z_stride_seqlen
        du -= 4 * du_stride_seqlen
        ddelta -= 4 * ddelta_stride_seqlen
        dz -= 4 * dz_stride_seqlen
        B -= 64
        C -= 64
        partial -= 64
        between -= SLOT
    dinitial_state += batch * DIM * 16
    dA_parts += batch * 16 * DIM
    for n in range(16):
        both = tl.load(pairs + 2 * n * DIM + twice)
        g_n, dA_n = tl.split(tl.reshape(both, (BLOCK_D, 2)))
        tl.store(dA_parts + n * DIM + channels, dA_n)
        tl.store(dinitial_state + channels * 16 + n, g_n)
    tl.store(dD_parts + batch * DIM + channels, dD)
    tl.store(ddelta_bias_parts + batch * DIM + channels, ddelta_bias)


@triton.jit
def add_batches(
    dA_parts,
    dD_parts,
    ddelta_bias_parts,
    dA,
    dD,
    ddelta_bias,
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
    inside = cells < DIM
    dD_sum = tl.full((BLOCK,), 0.0, tl.float32)
    ddelta_bias_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(batch):
        dD_sum += tl.load(dD_parts + cells, mask=inside)
        dD_parts += DIM
        ddelta_bias_sum += tl.load(ddelta_bias_parts + cells, mask=inside)
        ddelta_bias_parts += DIM
    tl.store(dD + cells, dD_sum, mask=inside)
    tl.store(ddelta_bias + cells, ddelta_bias_sum, mask=inside)


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
