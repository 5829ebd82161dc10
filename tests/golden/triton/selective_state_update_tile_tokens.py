# selective_state_update forward, fp32: tile(block_d=32,exp=asm,num_warps=2)
# h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token
# dt = softplus(dt + dt_bias) when asked
# Rendered by ssmgen from templates/triton/selective_state_update_tile.py.j2; source de6aa7fe4c416e2c.
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
    # One sequence, one head, a block of its channels: a tile of channels down and states along.
    batch = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    group = head // (HEADS // GROUPS)
    channels = tl.program_id(2) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    held = n < 20
    present = held[None, :]
    x += batch * x_stride_batch + head * x_stride_head + channels
    dt += batch * dt_stride_batch + head * dt_stride_head + channels
    out += batch * out_stride_batch + head * out_stride_head + channels
    state += batch * state_stride_slot + head * state_stride_head
    state += channels[:, None] * state_stride_dim + n[None, :]
    h = tl.load(state, mask=present, other=0.0)
    B += batch * B_stride_batch + group * B_stride_group + n
    C += batch * C_stride_batch + group * C_stride_group + n
    A += head * A_stride_head + channels[:, None] * A_stride_dim + n[None, :]
    A_log2e = tl.load(A, mask=present, other=0.0) * 1.4426950408889634
    for _ in range(tokens):
        x_t = tl.load(x)
        dt_t = tl.load(dt)
        B_t = tl.load(B, mask=held, other=0.0)
        C_t = tl.load(C, mask=held, other=0.0)
        h = exp2(dt_t[:, None] * A_log2e) * h + (dt_t * x_t)[:, None] * B_t[None, :]
        # An infinite x times the zeros of padded states is NaN.
        y = tl.reduce(tl.where(held[None, :], h * C_t[None, :], 0.0), 1, add)
        tl.store(out, y)
        x += x_stride_token
        dt += dt_stride_token
        out += out_stride_token
        B += B_stride_token
        C += C_stride_token
    tl.store(state, h, mask=present)
