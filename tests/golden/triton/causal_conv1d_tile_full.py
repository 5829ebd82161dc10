# causal_conv1d forward, bf16: tile(block_d=128,block_l=8,exp=asm,num_warps=4)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_tile.py.j2; source 53270ad514eb49a5.
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
def silu(x):
    return x * reciprocal(1.0 + exp2(x * -1.4426950408889634))


@triton.jit
def causal_conv1d(
    x,
    weight,
    bias,
    initial_state,
    out,
    last_state,
    x_stride_batch,
    x_stride_seqlen,
    out_stride_batch,
    out_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    # A tile of channels down and steps along, of one sequence.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    steps = tl.program_id(2) * BLOCK_L + tl.arange(0, BLOCK_L)
    x += batch * x_stride_batch
    out += batch * out_stride_batch
    initial_state += batch * DIM * 3 + channels[:, None] * 3
    y = tl.full((BLOCK_D, BLOCK_L), 0.0, tl.float32)
    y += tl.load(bias + channels)[:, None]
    w = tl.load(weight + channels * 4)
    at = steps - 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x_t = x_t.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x_t += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 1)
    at = steps - 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x_t = x_t.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x_t += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 2)
    at = steps - 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x_t = x_t.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x_t += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 3)
    during = steps < seqlen
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] + steps[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x_t = x_t.to(tl.float32)
    y = tl.fma(w[:, None], x_t, y)
    y = silu(y)
    present = (steps < seqlen)[None, :]
    tl.store(out + channels[:, None] + steps[None, :] * out_stride_seqlen, y, mask=present)
    # The last steps of all; of a sequence that is shorter, what stood before it.
    last_state += batch * DIM * 3 + channels[:, None] * 3
    from_last = steps - (seqlen - 3)
    kept = ((from_last >= 0) & (steps < seqlen))[None, :]
    tl.store(last_state + from_last[None, :], x_t, mask=kept)
    rest = (steps < 3 - seqlen)[None, :]
    early = tl.load(initial_state + (steps + seqlen)[None, :], mask=rest)
    tl.store(last_state + steps[None, :], early, mask=rest)
