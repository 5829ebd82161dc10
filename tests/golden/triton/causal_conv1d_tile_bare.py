# causal_conv1d forward, fp32: tile(block_d=8,block_l=128,exp=asm,num_warps=4)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_tile.py.j2; source 44dd9458bb1391f8.
import triton
import triton.language as tl


@triton.jit
def causal_conv1d(
    x,
    weight,
    out,
    x_stride_batch,
    x_stride_dim,
    out_stride_batch,
    out_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    # A tile of channels down and steps along, of one sequence.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    steps = tl.program_id(2) * BLOCK_L + tl.arange(0, BLOCK_L)
    x += batch * x_stride_batch
    out += batch * out_stride_batch
    y = tl.full((BLOCK_D, BLOCK_L), 0.0, tl.float32)
    w = tl.load(weight + channels * 4)
    at = steps - 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 1)
    at = steps - 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 2)
    at = steps - 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    y = tl.fma(w[:, None], x_t, y)
    w = tl.load(weight + channels * 4 + 3)
    during = steps < seqlen
    present = during[None, :]
    x_t = tl.load(x + channels[:, None] * x_stride_dim + steps[None, :], mask=present, other=0.0)
    y = tl.fma(w[:, None], x_t, y)
    present = (steps < seqlen)[None, :]
    tl.store(out + channels[:, None] * out_stride_dim + steps[None, :], y, mask=present)
