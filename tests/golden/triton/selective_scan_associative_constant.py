# selective_scan forward, fp32: associative(block_d=1,block_l=128,exp=asm,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_associative.py.j2; source e9c907a4cc1e661d.
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
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u += batch * u_stride_batch
    delta += batch * delta_stride_batch
    out += batch * out_stride_batch
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
    C0 = tl.load(C + channels * 16 + 0)
    C1 = tl.load(C + channels * 16 + 1)
    C2 = tl.load(C + channels * 16 + 2)
    C3 = tl.load(C + channels * 16 + 3)
    C4 = tl.load(C + channels * 16 + 4)
    C5 = tl.load(C + channels * 16 + 5)
    C6 = tl.load(C + channels * 16 + 6)
    C7 = tl.load(C + channels * 16 + 7)
    C8 = tl.load(C + channels * 16 + 8)
    C9 = tl.load(C + channels * 16 + 9)
    C10 = tl.load(C + channels * 16 + 10)
    C11 = tl.load(C + channels * 16 + 11)
    C12 = tl.load(C + channels * 16 + 12)
    C13 = tl.load(C + channels * 16 + 13)
    C14 = tl.load(C + channels * 16 + 14)
    C15 = tl.load(C + channels * 16 + 15)
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
        decay = exp2(delta_tile * A0[:, None])
        decay, state = tl.associative_scan((decay, x * B0[:, None]), 1, combine)
        state = decay * h0[:, None] + state
        y = state * C0[:, None]
        h0 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A1[:, None])
        decay, state = tl.associative_scan((decay, x * B1[:, None]), 1, combine)
        state = decay * h1[:, None] + state
        y += state * C1[:, None]
        h1 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A2[:, None])
        decay, state = tl.associative_scan((decay, x * B2[:, None]), 1, combine)
        state = decay * h2[:, None] + state
        y += state * C2[:, None]
        h2 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A3[:, None])
        decay, state = tl.associative_scan((decay, x * B3[:, None]), 1, combine)
        state = decay * h3[:, None] + state
        y += state * C3[:, None]
        h3 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A4[:, None])
        decay, state = tl.associative_scan((decay, x * B4[:, None]), 1, combine)
        state = decay * h4[:, None] + state
        y += state * C4[:, None]
        h4 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A5[:, None])
        decay, state = tl.associative_scan((decay, x * B5[:, None]), 1, combine)
        state = decay * h5[:, None] + state
        y += state * C5[:, None]
        h5 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A6[:, None])
        decay, state = tl.associative_scan((decay, x * B6[:, None]), 1, combine)
        state = decay * h6[:, None] + state
        y += state * C6[:, None]
        h6 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A7[:, None])
        decay, state = tl.associative_scan((decay, x * B7[:, None]), 1, combine)
        state = decay * h7[:, None] + state
        y += state * C7[:, None]
        h7 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A8[:, None])
        decay, state = tl.associative_scan((decay, x * B8[:, None]), 1, combine)
        state = decay * h8[:, None] + state
        y += state * C8[:, None]
        h8 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A9[:, None])
        decay, state = tl.associative_scan((decay, x * B9[:, None]), 1, combine)
        state = decay * h9[:, None] + state
        y += state * C9[:, None]
        h9 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A10[:, None])
        decay, state = tl.associative_scan((decay, x * B10[:, None]), 1, combine)
        state = decay * h10[:, None] + state
        y += state * C10[:, None]
        h10 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A11[:, None])
        decay, state = tl.associative_scan((decay, x * B11[:, None]), 1, combine)
        state = decay * h11[:, None] + state
        y += state * C11[:, None]
        h11 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A12[:, None])
        decay, state = tl.associative_scan((decay, x * B12[:, None]), 1, combine)
        state = decay * h12[:, None] + state
        y += state * C12[:, None]
        h12 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A13[:, None])
        decay, state = tl.associative_scan((decay, x * B13[:, None]), 1, combine)
        state = decay * h13[:, None] + state
        y += state * C13[:, None]
        h13 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A14[:, None])
        decay, state = tl.associative_scan((decay, x * B14[:, None]), 1, combine)
        state = decay * h14[:, None] + state
        y += state * C14[:, None]
        h14 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        decay = exp2(delta_tile * A15[:, None])
        decay, state = tl.associative_scan((decay, x * B15[:, None]), 1, combine)
        state = decay * h15[:, None] + state
        y += state * C15[:, None]
        h15 = tl.reduce(tl.where(last, state, 0.0), 1, add)
        out_offsets = channels[:, None] * out_stride_dim + time
        tl.store(out + out_offsets, y, mask=present)
