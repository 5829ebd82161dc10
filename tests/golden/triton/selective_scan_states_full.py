# selective_scan forward, bf16: states(block_d=8,exp=asm,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_states.py.j2; source 5f8c68f20a78f103.
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
    BLOCK_N: tl.constexpr,
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
    n = tl.arange(0, BLOCK_N)
    weights = channels[:, None] * 16 + n[None, :]
    B += begin * 16
    C += begin * 16
    # Padded states have A = B = 0 and stay 0.
    A_n = tl.load(A + weights) * 1.4426950408889634
    skip = tl.load(D + channels)
    bias = tl.load(delta_bias + channels)
    h_n = tl.load(initial_state + batch * DIM * 16 + weights)
    states += (begin // 256 + batch) * SLOT
    cells = channels // 16 * 256 + channels % 16
    kept = cells[:, None] + n[None, :] * 16
    for step in range(length):
        if step % 256 == 0:
            tl.store(states + kept, h_n)
            states += SLOT
        u_t = tl.load(u + channels).to(tl.float32)
        delta_t = tl.load(delta + channels).to(tl.float32)
        delta_t = softplus(delta_t + bias)
        B_n = tl.load(B + n)[None, :]
        C_n = tl.load(C + n)[None, :]
        h_n = exp2(delta_t[:, None] * A_n) * h_n + (delta_t * u_t)[:, None] * B_n
        y = tl.reduce(h_n * C_n, 1, add)
        y = tl.fma(skip, u_t, y)
        y *= silu(tl.load(z + channels).to(tl.float32))
        tl.store(out + channels, y)
        u += u_stride_seqlen
        delta += delta_stride_seqlen
        z += z_stride_seqlen
        out += out_stride_seqlen
        B += 16
        C += 16
    tl.store(last_state + batch * DIM * 16 + weights, h_n)
