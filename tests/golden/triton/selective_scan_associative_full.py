# selective_scan forward, bf16: associative(block_d=4,block_l=128,exp=asm,num_warps=2,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_associative.py.j2; source bf9863faea585a00.
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
def silu(x):
    return x * reciprocal(1.0 + exp2(x * -1.4426950408889634))


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
    D,
    z,
    delta_bias,
    initial_state,
    cu_seqlens,
    out,
    last_state,
    states,
    u_stride_seqlen,
    delta_stride_seqlen,
    z_stride_seqlen,
    out_stride_seqlen,
    DIM: tl.constexpr,
    SLOT: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    first = tl.load(cu_seqlens + batch)
    length = tl.load(cu_seqlens + batch + 1) - first
    begin = first.to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u += begin * u_stride_seqlen
    delta += begin * delta_stride_seqlen
    z += begin * z_stride_seqlen
    out += begin * out_stride_seqlen
    B += begin * 16
    C += begin * 16
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
    skip = tl.load(D + channels)
    bias = tl.load(delta_bias + channels)
    initial_state += batch * DIM * 16
    h0 = tl.load(initial_state + channels * 16)
    h1 = tl.load(initial_state + channels * 16 + 1)
    h2 = tl.load(initial_state + channels * 16 + 2)
    h3 = tl.load(initial_state + channels * 16 + 3)
    h4 = tl.load(initial_state + channels * 16 + 4)
    h5 = tl.load(initial_state + channels * 16 + 5)
    h6 = tl.load(initial_state + channels * 16 + 6)
    h7 = tl.load(initial_state + channels * 16 + 7)
    h8 = tl.load(initial_state + channels * 16 + 8)
    h9 = tl.load(initial_state + channels * 16 + 9)
    h10 = tl.load(initial_state + channels * 16 + 10)
    h11 = tl.load(initial_state + channels * 16 + 11)
    h12 = tl.load(initial_state + channels * 16 + 12)
    h13 = tl.load(initial_state + channels * 16 + 13)
    h14 = tl.load(initial_state + channels * 16 + 14)
    h15 = tl.load(initial_state + channels * 16 + 15)
    within = tl.arange(0, BLOCK_L)
    last = within[None, :] == BLOCK_L - 1
    states += (begin // 256 + batch) * SLOT
    cells = channels // 16 * 256 + channels % 16
    for start in range(0, length, BLOCK_L):
        if start % 256 == 0:
            tl.store(states + cells, h0)
            tl.store(states + 16 + cells, h1)
            tl.store(states + 32 + cells, h2)
            tl.store(states + 48 + cells, h3)
            tl.store(states + 64 + cells, h4)
            tl.store(states + 80 + cells, h5)
            tl.store(states + 96 + cells, h6)
            tl.store(states + 112 + cells, h7)
            tl.store(states + 128 + cells, h8)
            tl.store(states + 144 + cells, h9)
            tl.store(states + 160 + cells, h10)
            tl.store(states + 176 + cells, h11)
            tl.store(states + 192 + cells, h12)
            tl.store(states + 208 + cells, h13)
            tl.store(states + 224 + cells, h14)
            tl.store(states + 240 + cells, h15)
            states += SLOT
        during = start + within < length
        present = during[None, :]
        time = (start + within).to(tl.int64)[None, :]
        u_offsets = channels[:, None] + time * u_stride_seqlen
        u_tile = tl.load(u + u_offsets, mask=present, other=0.0).to(tl.float32)
        delta_offsets = channels[:, None] + time * delta_stride_seqlen
        delta_tile = tl.load(delta + delta_offsets, mask=present, other=0.0).to(tl.float32)
        # No step after the end: the state stays what it is.
        delta_tile = tl.where(present, softplus(delta_tile + bias[:, None]), 0.0)
        x = delta_tile * u_tile
        B_row = B + (start + within).to(tl.int64) * 16
        C_row = C + (start + within).to(tl.int64) * 16
        y = skip[:, None] * u_tile
        B0_t = tl.load(B_row, mask=during, other=0.0)[None, :]
        C0_t = tl.load(C_row, mask=during, other=0.0)[None, :]
        decay = exp2(delta_tile * A0[:, None])
        decay, state = tl.associative_scan((decay, x * B0_t), 1, combine)
        state = decay * h0[:, None] + state
        y += state * C0_t
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
        z_offsets = channels[:, None] + time * z_stride_seqlen
        y *= silu(tl.load(z + z_offsets, mask=present, other=0.0).to(tl.float32))
        out_offsets = channels[:, None] + time * out_stride_seqlen
        tl.store(out + out_offsets, y, mask=present)
    last_state += batch * DIM * 16
    tl.store(last_state + channels * 16 + 0, h0)
    tl.store(last_state + channels * 16 + 1, h1)
    tl.store(last_state + channels * 16 + 2, h2)
    tl.store(last_state + channels * 16 + 3, h3)
    tl.store(last_state + channels * 16 + 4, h4)
    tl.store(last_state + channels * 16 + 5, h5)
    tl.store(last_state + channels * 16 + 6, h6)
    tl.store(last_state + channels * 16 + 7, h7)
    tl.store(last_state + channels * 16 + 8, h8)
    tl.store(last_state + channels * 16 + 9, h9)
    tl.store(last_state + channels * 16 + 10, h10)
    tl.store(last_state + channels * 16 + 11, h11)
    tl.store(last_state + channels * 16 + 12, h12)
    tl.store(last_state + channels * 16 + 13, h13)
    tl.store(last_state + channels * 16 + 14, h14)
    tl.store(last_state + channels * 16 + 15, h15)
