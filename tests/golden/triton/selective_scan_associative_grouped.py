# selective_scan forward, fp32: associative(block_d=1,block_l=128,exp=asm,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_associative.py.j2; source 228fa0a7ef1c488d.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def combine(decay, state, next_decay, next_state):
    # h -> decay h + state, then h -> next_decay h + next_state.
    return decay * next_decay, tl.fma(next_decay, state, next_state)


@triton.jit
def add(x, y):
    return x + y


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
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    blocks = (DIM // 4 + BLOCK_D - 1) // BLOCK_D
    group = tl.program_id(1) // blocks
    member = tl.program_id(1) % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    channels = group * (DIM // 4) + member
    u += batch * u_stride_batch
    delta += batch * delta_stride_batch
    out += batch * out_stride_batch
    B += (batch * 4 + group) * seqlen * 16
    C += (batch * 4 + group) * seqlen * 16
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
    within = tl.arange(0, BLOCK_L)
    last = within[None, :] == BLOCK_L - 1
    for start in range(0, seqlen, BLOCK_L):
        during = start + within < seqlen
        present = during[None, :]
        time = (start + within).to(tl.int64)[None, :]
        u_offsets = channels[:, None] * u_stride_dim + time
        u_tile = tl.load(u + u_offsets, mask=present, other=0.0)
        delta_offsets = channels[:, None] * delta_stride_dim + time
        delta_tile = tl.load(delta + delta_offsets, mask=present, other=0.0)
        x = delta_tile * u_tile
        B_row = B + (start + within).to(tl.int64) * 16
        C_row = C + (start + within).to(tl.int64) * 16
        B0_t = tl.load(B_row, mask=during, other=0.0)[None, :]
        C0_t = tl.load(C_row, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A0[:, None])
        decay, state = tl.associative_scan((decay, x * B0_t), 1, combine)
        state = decay * h0[:, None] + state
        y = state * C0_t
        h0 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B1_t = tl.load(B_row + 1, mask=during, other=0.0)[None, :]
        C1_t = tl.load(C_row + 1, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A1[:, None])
        decay, state = tl.associative_scan((decay, x * B1_t), 1, combine)
        state = decay * h1[:, None] + state
        y += state * C1_t
        h1 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B2_t = tl.load(B_row + 2, mask=during, other=0.0)[None, :]
        C2_t = tl.load(C_row + 2, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A2[:, None])
        decay, state = tl.associative_scan((decay, x * B2_t), 1, combine)
        state = decay * h2[:, None] + state
        y += state * C2_t
        h2 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B3_t = tl.load(B_row + 3, mask=during, other=0.0)[None, :]
        C3_t = tl.load(C_row + 3, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A3[:, None])
        decay, state = tl.associative_scan((decay, x * B3_t), 1, combine)
        state = decay * h3[:, None] + state
        y += state * C3_t
        h3 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B4_t = tl.load(B_row + 4, mask=during, other=0.0)[None, :]
        C4_t = tl.load(C_row + 4, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A4[:, None])
        decay, state = tl.associative_scan((decay, x * B4_t), 1, combine)
        state = decay * h4[:, None] + state
        y += state * C4_t
        h4 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B5_t = tl.load(B_row + 5, mask=during, other=0.0)[None, :]
        C5_t = tl.load(C_row + 5, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A5[:, None])
        decay, state = tl.associative_scan((decay, x * B5_t), 1, combine)
        state = decay * h5[:, None] + state
        y += state * C5_t
        h5 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B6_t = tl.load(B_row + 6, mask=during, other=0.0)[None, :]
        C6_t = tl.load(C_row + 6, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A6[:, None])
        decay, state = tl.associative_scan((decay, x * B6_t), 1, combine)
        state = decay * h6[:, None] + state
        y += state * C6_t
        h6 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B7_t = tl.load(B_row + 7, mask=during, other=0.0)[None, :]
        C7_t = tl.load(C_row + 7, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A7[:, None])
        decay, state = tl.associative_scan((decay, x * B7_t), 1, combine)
        state = decay * h7[:, None] + state
        y += state * C7_t
        h7 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B8_t = tl.load(B_row + 8, mask=during, other=0.0)[None, :]
        C8_t = tl.load(C_row + 8, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A8[:, None])
        decay, state = tl.associative_scan((decay, x * B8_t), 1, combine)
        state = decay * h8[:, None] + state
        y += state * C8_t
        h8 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B9_t = tl.load(B_row + 9, mask=during, other=0.0)[None, :]
        C9_t = tl.load(C_row + 9, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A9[:, None])
        decay, state = tl.associative_scan((decay, x * B9_t), 1, combine)
        state = decay * h9[:, None] + state
        y += state * C9_t
        h9 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B10_t = tl.load(B_row + 10, mask=during, other=0.0)[None, :]
        C10_t = tl.load(C_row + 10, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A10[:, None])
        decay, state = tl.associative_scan((decay, x * B10_t), 1, combine)
        state = decay * h10[:, None] + state
        y += state * C10_t
        h10 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B11_t = tl.load(B_row + 11, mask=during, other=0.0)[None, :]
        C11_t = tl.load(C_row + 11, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A11[:, None])
        decay, state = tl.associative_scan((decay, x * B11_t), 1, combine)
        state = decay * h11[:, None] + state
        y += state * C11_t
        h11 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B12_t = tl.load(B_row + 12, mask=during, other=0.0)[None, :]
        C12_t = tl.load(C_row + 12, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A12[:, None])
        decay, state = tl.associative_scan((decay, x * B12_t), 1, combine)
        state = decay * h12[:, None] + state
        y += state * C12_t
        h12 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B13_t = tl.load(B_row + 13, mask=during, other=0.0)[None, :]
        C13_t = tl.load(C_row + 13, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A13[:, None])
        decay, state = tl.associative_scan((decay, x * B13_t), 1, combine)
        state = decay * h13[:, None] + state
        y += state * C13_t
        h13 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B14_t = tl.load(B_row + 14, mask=during, other=0.0)[None, :]
        C14_t = tl.load(C_row + 14, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A14[:, None])
        decay, state = tl.associative_scan((decay, x * B14_t), 1, combine)
        state = decay * h14[:, None] + state
        y += state * C14_t
        h14 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        B15_t = tl.load(B_row + 15, mask=during, other=0.0)[None, :]
        C15_t = tl.load(C_row + 15, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A15[:, None])
        decay, state = tl.associative_scan((decay, x * B15_t), 1, combine)
        state = decay * h15[:, None] + state
        y += state * C15_t
        h15 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        out_offsets = channels[:, None] * out_stride_dim + time
        tl.store(out + out_offsets, y, mask=present)
