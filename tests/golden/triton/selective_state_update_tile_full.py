# selective_state_update forward, bf16: tile(block_d=16,block_n=16,exp=asm,num_warps=1)
# h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token
# dt = softplus(dt + dt_bias) when asked
# Rendered by ssmgen from templates/triton/selective_state_update_tile.py.j2; source 8129b8afb982d8c9.
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
def selective_state_update(
    state,
    x,
    dt,
    A,
    B,
    C,
    D,
    z,
    dt_bias,
    indices,
    out,
    states,
    state_stride_slot,
    state_stride_dim,
    x_stride_batch,
    dt_stride_batch,
    B_stride_batch,
    C_stride_batch,
    D_stride_dim,
    z_stride_batch,
    out_stride_batch,
    slots,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    # One sequence, a block of channels: a tile of channels down and states along.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    x += batch * x_stride_batch + channels
    dt += batch * dt_stride_batch
    out += batch * out_stride_batch + channels
    z += batch * z_stride_batch + channels
    slot = tl.load(indices + batch).to(tl.int64)
    if (slot < 0) | (slot >= slots):
        # Padding: no state belongs to it.
        tl.store(out, tl.full((BLOCK_D,), 0.0, tl.float32))
        return
    state += slot * state_stride_slot
    state += channels[:, None] * state_stride_dim + n[None, :]
    h = tl.load(state).to(tl.float32)
    B += batch * B_stride_batch + n
    C += batch * C_stride_batch + n
    A_log2e = tl.load(A) * 1.4426950408889634
    bias = tl.load(dt_bias)
    skip = tl.load(D + channels * D_stride_dim)
    states += batch * DIM * 16
    states += channels[:, None] * 16 + n[None, :]
    x_t = tl.load(x).to(tl.float32)
    dt_t = tl.load(dt).to(tl.float32) + bias
    dt_t = softplus(dt_t)
    decay = exp2(dt_t * A_log2e)
    dx_t = (dt_t * x_t)[:, None]
    B_t = tl.load(B).to(tl.float32)
    C_t = tl.load(C).to(tl.float32)
    h = decay * h + dx_t * B_t[None, :]
    y = h * C_t[None, :]
    y = tl.reduce(y, 1, add)
    y = tl.fma(skip, x_t, y)
    y *= silu(tl.load(z).to(tl.float32))
    tl.store(out, y)
    tl.store(states, h)
