# selective_state_update forward, fp32: tile(block_d=4,block_n=16,exp=asm,num_warps=1)
# h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token
# dt = softplus(dt + dt_bias) when asked
# Rendered by ssmgen from templates/triton/selective_state_update_tile.py.j2; source bdad9f4295fff9d6.
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
    state_stride_head,
    state_stride_dim,
    x_stride_batch,
    x_stride_token,
    x_stride_head,
    dt_stride_batch,
    dt_stride_token,
    dt_stride_head,
    A_stride_head,
    A_stride_dim,
    B_stride_batch,
    B_stride_token,
    B_stride_group,
    C_stride_batch,
    C_stride_token,
    C_stride_group,
    out_stride_batch,
    out_stride_token,
    out_stride_head,
    tokens,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    # One sequence, one head, a block of its channels: tiles of channels down and states along.
    batch = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    group = head // (HEADS // GROUPS)
    channels = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    held = n < 4
    x += batch * x_stride_batch + head * x_stride_head + channels
    dt += batch * dt_stride_batch + head * dt_stride_head + channels
    out += batch * out_stride_batch + head * out_stride_head + channels
    state += batch * state_stride_slot + head * state_stride_head
    state += channels[:, None] * state_stride_dim + n[None, :]
    h0 = tl.load(state)
    h1 = tl.load(state + 16, mask=held[None, :], other=0.0)
    B += batch * B_stride_batch + group * B_stride_group + n
    C += batch * C_stride_batch + group * C_stride_group + n
    A += head * A_stride_head + channels[:, None] * A_stride_dim + n[None, :]
    A0 = tl.load(A)
    A1 = tl.load(A + 16, mask=held[None, :], other=0.0)
    for _ in range(tokens):
        x_t = tl.load(x)
        dt_t = tl.load(dt)
        dt_log2e = (dt_t * 1.4426950408889634)[:, None]
        dx_t = (dt_t * x_t)[:, None]
        B0 = tl.load(B)
        C0 = tl.load(C)
        h0 = exp2(dt_log2e * A0) * h0 + dx_t * B0[None, :]
        y = h0 * C0[None, :]
        B1 = tl.load(B + 16, mask=held, other=0.0)
        C1 = tl.load(C + 16, mask=held, other=0.0)
        h1 = exp2(dt_log2e * A1) * h1 + dx_t * B1[None, :]
        # An infinite x times the zeros of padded states is NaN.
        y += tl.where(held[None, :], h1 * C1[None, :], 0.0)
        y = tl.reduce(y, 1, add)
        tl.store(out, y)
        x += x_stride_token
        dt += dt_stride_token
        out += out_stride_token
        B += B_stride_token
        C += C_stride_token
    tl.store(state, h0)
    tl.store(state + 16, h1, mask=held[None, :])
