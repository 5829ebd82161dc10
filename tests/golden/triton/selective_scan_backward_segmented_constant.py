# selective_scan backward, fp32: segmented(block_d=32,exp=asm,flat=1,interval=2,lanes=32,reread=0,segment=256,states=4)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_backward.py.j2; source ad88be4ec3b018cb.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


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
def summarise_segments(
    delta,
    dout,
    weights,
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
    # The first segment has none before it, and no program here.
    segment = 1 + tl.program_id(2)
    A0 = tl.load(weights + channels)
    C0 = tl.load(weights + 32 * DIM + channels)
    A1 = tl.load(weights + DIM + channels)
    C1 = tl.load(weights + 33 * DIM + channels)
    A2 = tl.load(weights + 2 * DIM + channels)
    C2 = tl.load(weights + 34 * DIM + channels)
    A3 = tl.load(weights + 3 * DIM + channels)
    C3 = tl.load(weights + 35 * DIM + channels)
    A4 = tl.load(weights + 4 * DIM + channels)
    C4 = tl.load(weights + 36 * DIM + channels)
    A5 = tl.load(weights + 5 * DIM + channels)
    C5 = tl.load(weights + 37 * DIM + channels)
    A6 = tl.load(weights + 6 * DIM + channels)
    C6 = tl.load(weights + 38 * DIM + channels)
    A7 = tl.load(weights + 7 * DIM + channels)
    C7 = tl.load(weights + 39 * DIM + channels)
    A8 = tl.load(weights + 8 * DIM + channels)
    C8 = tl.load(weights + 40 * DIM + channels)
    A9 = tl.load(weights + 9 * DIM + channels)
    C9 = tl.load(weights + 41 * DIM + channels)
    A10 = tl.load(weights + 10 * DIM + channels)
    C10 = tl.load(weights + 42 * DIM + channels)
    A11 = tl.load(weights + 11 * DIM + channels)
    C11 = tl.load(weights + 43 * DIM + channels)
    A12 = tl.load(weights + 12 * DIM + channels)
    C12 = tl.load(weights + 44 * DIM + channels)
    A13 = tl.load(weights + 13 * DIM + channels)
    C13 = tl.load(weights + 45 * DIM + channels)
    A14 = tl.load(weights + 14 * DIM + channels)
    C14 = tl.load(weights + 46 * DIM + channels)
    A15 = tl.load(weights + 15 * DIM + channels)
    C15 = tl.load(weights + 47 * DIM + channels)
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
    within = tl.arange(0, 2)[None, :]
    steps = tl.minimum(SEGMENT, seqlen - segment * SEGMENT)
    chunks = (steps + 1) // 2
    time = segment * SEGMENT + (chunks - 1) * 2
    delta += time
    dout += time
    for _ in range(chunks):
        tile = tl.load(delta[:, None] + within)
        delta0, delta1 = tl.split(tile)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1 = tl.split(tile)
        total += delta1
        g0 = tl.fma(dy1, C0, g0) * exp2(delta1 * A0)
        g1 = tl.fma(dy1, C1, g1) * exp2(delta1 * A1)
        g2 = tl.fma(dy1, C2, g2) * exp2(delta1 * A2)
        g3 = tl.fma(dy1, C3, g3) * exp2(delta1 * A3)
        g4 = tl.fma(dy1, C4, g4) * exp2(delta1 * A4)
        g5 = tl.fma(dy1, C5, g5) * exp2(delta1 * A5)
        g6 = tl.fma(dy1, C6, g6) * exp2(delta1 * A6)
        g7 = tl.fma(dy1, C7, g7) * exp2(delta1 * A7)
        g8 = tl.fma(dy1, C8, g8) * exp2(delta1 * A8)
        g9 = tl.fma(dy1, C9, g9) * exp2(delta1 * A9)
        g10 = tl.fma(dy1, C10, g10) * exp2(delta1 * A10)
        g11 = tl.fma(dy1, C11, g11) * exp2(delta1 * A11)
        g12 = tl.fma(dy1, C12, g12) * exp2(delta1 * A12)
        g13 = tl.fma(dy1, C13, g13) * exp2(delta1 * A13)
        g14 = tl.fma(dy1, C14, g14) * exp2(delta1 * A14)
        g15 = tl.fma(dy1, C15, g15) * exp2(delta1 * A15)
        total += delta0
        g0 = tl.fma(dy0, C0, g0) * exp2(delta0 * A0)
        g1 = tl.fma(dy0, C1, g1) * exp2(delta0 * A1)
        g2 = tl.fma(dy0, C2, g2) * exp2(delta0 * A2)
        g3 = tl.fma(dy0, C3, g3) * exp2(delta0 * A3)
        g4 = tl.fma(dy0, C4, g4) * exp2(delta0 * A4)
        g5 = tl.fma(dy0, C5, g5) * exp2(delta0 * A5)
        g6 = tl.fma(dy0, C6, g6) * exp2(delta0 * A6)
        g7 = tl.fma(dy0, C7, g7) * exp2(delta0 * A7)
        g8 = tl.fma(dy0, C8, g8) * exp2(delta0 * A8)
        g9 = tl.fma(dy0, C9, g9) * exp2(delta0 * A9)
        g10 = tl.fma(dy0, C10, g10) * exp2(delta0 * A10)
        g11 = tl.fma(dy0, C11, g11) * exp2(delta0 * A11)
        g12 = tl.fma(dy0, C12, g12) * exp2(delta0 * A12)
        g13 = tl.fma(dy0, C13, g13) * exp2(delta0 * A13)
        g14 = tl.fma(dy0, C14, g14) * exp2(delta0 * A14)
        g15 = tl.fma(dy0, C15, g15) * exp2(delta0 * A15)
        delta -= 2
        dout -= 2
    slot = batch * ((seqlen + SEGMENT - 1) // SEGMENT) + segment - 1
    incoming += slot * 16 * DIM
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
    totals += slot * DIM
    tl.store(totals + channels, total)


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
    g = tl.full((BLOCK,), 0.0, tl.float32)
    count = (seqlen + SEGMENT - 1) // SEGMENT
    segment = count - 1
    totals += (batch * count + segment - 1) * DIM + channels
    incoming += (batch * count + segment) * 16 * DIM + states
    # 8 segments at a time, so that their loads do not wait for each other.
    for _ in range((count + 7) // 8):
        later = inside & (segment > 0)
        total0 = tl.load(totals, mask=later)
        end0 = tl.load(incoming - 16 * DIM, mask=later)
        later = inside & (segment > 1)
        total1 = tl.load(totals - DIM, mask=later)
        end1 = tl.load(incoming - 32 * DIM, mask=later)
        later = inside & (segment > 2)
        total2 = tl.load(totals - 2 * DIM, mask=later)
        end2 = tl.load(incoming - 48 * DIM, mask=later)
        later = inside & (segment > 3)
        total3 = tl.load(totals - 3 * DIM, mask=later)
        end3 = tl.load(incoming - 64 * DIM, mask=later)
        later = inside & (segment > 4)
        total4 = tl.load(totals - 4 * DIM, mask=later)
        end4 = tl.load(incoming - 80 * DIM, mask=later)
        later = inside & (segment > 5)
        total5 = tl.load(totals - 5 * DIM, mask=later)
        end5 = tl.load(incoming - 96 * DIM, mask=later)
        later = inside & (segment > 6)
        total6 = tl.load(totals - 6 * DIM, mask=later)
        end6 = tl.load(incoming - 112 * DIM, mask=later)
        later = inside & (segment > 7)
        total7 = tl.load(totals - 7 * DIM, mask=later)
        end7 = tl.load(incoming - 128 * DIM, mask=later)
        tl.store(incoming, g, mask=inside & (segment >= 0))
        # The decay over a segment is exp(A * sum(delta)). It may be infinite.
        g = tl.where(g == 0.0, end0, tl.fma(exp2(total0 * A), g, end0))
        tl.store(incoming - 16 * DIM, g, mask=inside & (segment >= 1))
        g = tl.where(g == 0.0, end1, tl.fma(exp2(total1 * A), g, end1))
        tl.store(incoming - 32 * DIM, g, mask=inside & (segment >= 2))
        g = tl.where(g == 0.0, end2, tl.fma(exp2(total2 * A), g, end2))
        tl.store(incoming - 48 * DIM, g, mask=inside & (segment >= 3))
        g = tl.where(g == 0.0, end3, tl.fma(exp2(total3 * A), g, end3))
        tl.store(incoming - 64 * DIM, g, mask=inside & (segment >= 4))
        g = tl.where(g == 0.0, end4, tl.fma(exp2(total4 * A), g, end4))
        tl.store(incoming - 80 * DIM, g, mask=inside & (segment >= 5))
        g = tl.where(g == 0.0, end5, tl.fma(exp2(total5 * A), g, end5))
        tl.store(incoming - 96 * DIM, g, mask=inside & (segment >= 6))
        g = tl.where(g == 0.0, end6, tl.fma(exp2(total6 * A), g, end6))
        tl.store(incoming - 112 * DIM, g, mask=inside & (segment >= 7))
        g = tl.where(g == 0.0, end7, tl.fma(exp2(total7 * A), g, end7))
        segment -= 8
        totals -= 8 * DIM
        incoming -= 128 * DIM


@triton.jit
def selective_scan_backward(
    u,
    delta,
    dout,
    weights,
    incoming,
    states,
    du,
    ddelta,
    pairs,
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
    SEGMENT: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim
    du = du + batch * du_stride_batch + channels * du_stride_dim
    ddelta = ddelta + batch * ddelta_stride_batch + channels * ddelta_stride_dim
    segment = tl.program_id(2)
    states += batch * ((seqlen + 1) // 2) * SLOT
    cells = channels // 16 * 256 + channels % 16
    zero = tl.full((BLOCK_D,), 0.0, tl.float32)
    part = batch * tl.num_programs(2) + tl.program_id(2)
    incoming += part * 16 * DIM
    pairs += part * 32 * DIM
    twice = tl.program_id(1) * (2 * BLOCK_D) + tl.arange(0, 2 * BLOCK_D)
    dB_parts += part * 16 * DIM
    dC_parts += part * 16 * DIM
    for n in range(16):
        g_n = tl.load(incoming + n * DIM + channels)
        both = tl.reshape(tl.join(g_n, zero), (2 * BLOCK_D,))
        tl.store(pairs + 2 * n * DIM + twice, both)
        tl.store(dB_parts + n * DIM + channels, zero)
        tl.store(dC_parts + n * DIM + channels, zero)
    # What is carried in memory is read by the lane that wrote it, unless the compiler lays it out anew.
    tl.debug_barrier()

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
    states += (time // 2).to(tl.int64) * SLOT
    for _ in range(chunks):
        tile = tl.load(u[:, None] + within)
        u0, u1 = tl.split(tile)
        tile = tl.load(delta[:, None] + within)
        delta0, delta1 = tl.split(tile)
        tile = tl.load(dout[:, None] + within)
        dy0, dy1 = tl.split(tile)
        x0 = delta0 * u0
        sum_g0 = zero
        sum_q0 = zero
        x1 = delta1 * u1
        sum_g1 = zero
        sum_q1 = zero
        for n in range(0, 16, 4):
            weights_n = weights + n * DIM
            states_n = states + n * 16
            pairs_n = pairs + 2 * n * DIM
            dB_parts_n = dB_parts + n * DIM
            dC_parts_n = dC_parts + n * DIM
            A0 = tl.load(weights_n + channels)
            B0 = tl.load(weights_n + 16 * DIM + channels)
            C0 = tl.load(weights_n + 32 * DIM + channels)
            A1 = tl.load(weights_n + DIM + channels)
            B1 = tl.load(weights_n + 17 * DIM + channels)
            C1 = tl.load(weights_n + 33 * DIM + channels)
            A2 = tl.load(weights_n + 2 * DIM + channels)
            B2 = tl.load(weights_n + 18 * DIM + channels)
            C2 = tl.load(weights_n + 34 * DIM + channels)
            A3 = tl.load(weights_n + 3 * DIM + channels)
            B3 = tl.load(weights_n + 19 * DIM + channels)
            C3 = tl.load(weights_n + 35 * DIM + channels)
            h0_0 = tl.load(states_n + cells)
            both = tl.load(pairs_n + twice)
            g0, dA0 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            dB0 = tl.load(dB_parts_n + channels)
            dC0 = tl.load(dC_parts_n + channels)
            h0_1 = tl.load(states_n + 16 + cells)
            both = tl.load(pairs_n + 2 * DIM + twice)
            g1, dA1 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            dB1 = tl.load(dB_parts_n + DIM + channels)
            dC1 = tl.load(dC_parts_n + DIM + channels)
            h0_2 = tl.load(states_n + 32 + cells)
            both = tl.load(pairs_n + 4 * DIM + twice)
            g2, dA2 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            dB2 = tl.load(dB_parts_n + 2 * DIM + channels)
            dC2 = tl.load(dC_parts_n + 2 * DIM + channels)
            h0_3 = tl.load(states_n + 48 + cells)
            both = tl.load(pairs_n + 6 * DIM + twice)
            g3, dA3 = tl.split(tl.reshape(both, (BLOCK_D, 2)))
            dB3 = tl.load(dB_parts_n + 3 * DIM + channels)
            dC3 = tl.load(dC_parts_n + 3 * DIM + channels)
            decay0_0 = exp2(delta0 * A0)
            h1_0 = tl.fma(decay0_0, h0_0, x0 * B0)
            decay0_1 = exp2(delta0 * A1)
            h1_1 = tl.fma(decay0_1, h0_1, x0 * B1)
            decay0_2 = exp2(delta0 * A2)
            h1_2 = tl.fma(decay0_2, h0_2, x0 * B2)
            decay0_3 = exp2(delta0 * A3)
            h1_3 = tl.fma(decay0_3, h0_3, x0 * B3)
            decay1_0 = exp2(delta1 * A0)
            h2_0 = tl.fma(decay1_0, h1_0, x1 * B0)
            decay1_1 = exp2(delta1 * A1)
            h2_1 = tl.fma(decay1_1, h1_1, x1 * B1)
            decay1_2 = exp2(delta1 * A2)
            h2_2 = tl.fma(decay1_2, h1_2, x1 * B2)
            decay1_3 = exp2(delta1 * A3)
            h2_3 = tl.fma(decay1_3, h1_3, x1 * B3)
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
            dh, g2, sum_g1, sum_q1, dA2 = step_back(
                g2, dy1, C2, B2, decay1_2, h1_2, A2, delta1, sum_g1, sum_q1, dA2
            )
            dB2 = tl.fma(dh, x1, dB2)
            dC2 = tl.fma(h2_2, dy1, dC2)
            dh, g3, sum_g1, sum_q1, dA3 = step_back(
                g3, dy1, C3, B3, decay1_3, h1_3, A3, delta1, sum_g1, sum_q1, dA3
            )
            dB3 = tl.fma(dh, x1, dB3)
            dC3 = tl.fma(h2_3, dy1, dC3)
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
            dh, g2, sum_g0, sum_q0, dA2 = step_back(
                g2, dy0, C2, B2, decay0_2, h0_2, A2, delta0, sum_g0, sum_q0, dA2
            )
            dB2 = tl.fma(dh, x0, dB2)
            dC2 = tl.fma(h1_2, dy0, dC2)
            dh, g3, sum_g0, sum_q0, dA3 = step_back(
                g3, dy0, C3, B3, decay0_3, h0_3, A3, delta0, sum_g0, sum_q0, dA3
            )
            dB3 = tl.fma(dh, x0, dB3)
            dC3 = tl.fma(h1_3, dy0, dC3)
            both = tl.reshape(tl.join(g0, dA0), (2 * BLOCK_D,))
            tl.store(pairs_n + twice, both)
            tl.store(dB_parts_n + channels, dB0)
            tl.store(dC_parts_n + channels, dC0)
            both = tl.reshape(tl.join(g1, dA1), (2 * BLOCK_D,))
            tl.store(pairs_n + 2 * DIM + twice, both)
            tl.store(dB_parts_n + DIM + channels, dB1)
            tl.store(dC_parts_n + DIM + channels, dC1)
            both = tl.reshape(tl.join(g2, dA2), (2 * BLOCK_D,))
            tl.store(pairs_n + 4 * DIM + twice, both)
            tl.store(dB_parts_n + 2 * DIM + channels, dB2)
            tl.store(dC_parts_n + 2 * DIM + channels, dC2)
            both = tl.reshape(tl.join(g3, dA3), (2 * BLOCK_D,))
            tl.store(pairs_n + 6 * DIM + twice, both)
            tl.store(dB_parts_n + 3 * DIM + channels, dB3)
            tl.store(dC_parts_n + 3 * DIM + channels, dC3)
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
        states -= SLOT
    dA_parts += part * 16 * DIM
    for n in range(16):
        both = tl.load(pairs + 2 * n * DIM + twice)
        g_n, dA_n = tl.split(tl.reshape(both, (BLOCK_D, 2)))
        tl.store(dA_parts + n * DIM + channels, dA_n)


@triton.jit
def add_batches(
    dA_parts,
    dB_parts,
    dC_parts,
    dA,
    dB,
    dC,
    batch,
    seqlen,
    DIM: tl.constexpr,
    SEGMENT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    cells = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 16
    planes = cells % 16 * DIM + cells // 16
    dA_sum = tl.full((BLOCK,), 0.0, tl.float32)
    dB_sum = tl.full((BLOCK,), 0.0, tl.float32)
    dC_sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in tl.range(batch * ((seqlen + SEGMENT - 1) // SEGMENT), loop_unroll_factor=8):
        dA_sum += tl.load(dA_parts + planes, mask=inside)
        dA_parts += DIM * 16
        dB_sum += tl.load(dB_parts + planes, mask=inside)
        dB_parts += DIM * 16
        dC_sum += tl.load(dC_parts + planes, mask=inside)
        dC_parts += DIM * 16
    tl.store(dA + cells, dA_sum, mask=inside)
    tl.store(dB + cells, dB_sum, mask=inside)
    tl.store(dC + cells, dC_sum, mask=inside)
