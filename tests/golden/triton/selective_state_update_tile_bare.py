# selective_state_update forward, fp32: tile(block_d=8,block_n=16,exp=asm,num_warps=1)
# h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token
# dt = softplus(dt + dt_bias) when asked
# Rendered by ssmgen from templates/triton/selective_state_update_tile.py.j2; source a083b4a4b3599d35.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


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
    out,
    state_stride_slot,
    state_stride_dim,
    x_stride_batch,
    dt_stride_batch,
    A_stride_dim,
    B_stride_batch,
    C_stride_batch,
    out_stride_batch,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    # One sequence, a block of channels: a tile of channels down and states along.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    x += batch * x_stride_batch + channels
    dt += batch * dt_stride_batch + channels
    out += batch * out_stride_batch + channels
    state += batch * state_stride_slot
    state += channels[:, None] * state_stride_dim + n[None, :]
    h = tl.load(state)
    B += batch * B_stride_batch + n
    C += batch * C_stride_batch + n
    A += channels[:, None] * A_stride_dim + n[None, :]
    A_t = tl.load(A)
    x_t = tl.load(x)
    dt_t = tl.load(dt)
    dt_log2e = (dt_t * 1.4426950408889634)[:, None]
    dx_t = (dt_t * x_t)[:, None]
    B_t = tl.load(B)
    C_t = tl.load(C)
    h = exp2(dt_log2e * A_t) * h + dx_t * B_t[None, :]
    y = h * C_t[None, :]
    y = tl.reduce(y, 1, add)
    tl.store(out, y)
    tl.store(state, h)
