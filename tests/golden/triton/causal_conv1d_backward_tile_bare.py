# causal_conv1d backward, fp32: tile(block_d=8,block_l=128,exp=asm,num_warps=4)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_backward.py.j2; source f7295c731d8efaee.
import triton
import triton.language as tl


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def causal_conv1d_backward(
    x,
    weight,
    dout,
    dx,
    sums,
    x_stride_batch,
    x_stride_dim,
    dout_stride_batch,
    dout_stride_dim,
    dx_stride_batch,
    dx_stride_dim,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    # A tile of channels down and steps along, of one sequence, and its part of the sums over steps. What a step passes on
    # reaches it from the 3 after it, which the program computes too.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    steps = tl.program_id(2) * BLOCK_L + tl.arange(0, BLOCK_L)
    x += batch * x_stride_batch
    dout += batch * dout_stride_batch
    dx += batch * dx_stride_batch
    w0 = tl.load(weight + channels * 4)[:, None]
    w1 = tl.load(weight + channels * 4 + 1)[:, None]
    w2 = tl.load(weight + channels * 4 + 2)[:, None]
    w3 = tl.load(weight + channels * 4 + 3)[:, None]
    at = steps - 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x0 = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    at = steps - 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x1 = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    at = steps - 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x2 = tl.load(x + channels[:, None] * x_stride_dim + at[None, :], mask=present, other=0.0)
    during = steps < seqlen
    present = during[None, :]
    x3 = tl.load(x + channels[:, None] * x_stride_dim + steps[None, :], mask=present, other=0.0)
    during = steps < seqlen
    present = during[None, :]
    g = tl.load(dout + channels[:, None] * dout_stride_dim + steps[None, :], mask=present, other=0.0)
    sums += (batch * tl.num_programs(2) + tl.program_id(2)) * 4 * DIM + channels
    tl.store(sums, tl.reduce(g * x0, 1, add))
    tl.store(sums + DIM, tl.reduce(g * x1, 1, add))
    tl.store(sums + 2 * DIM, tl.reduce(g * x2, 1, add))
    tl.store(sums + 3 * DIM, tl.reduce(g * x3, 1, add))
    sum = w3 * g
    at = steps + 1
    during = at < seqlen
    present = during[None, :]
    g = tl.load(dout + channels[:, None] * dout_stride_dim + at[None, :], mask=present, other=0.0)
    sum = tl.fma(w2, g, sum)
    at = steps + 2
    during = at < seqlen
    present = during[None, :]
    g = tl.load(dout + channels[:, None] * dout_stride_dim + at[None, :], mask=present, other=0.0)
    sum = tl.fma(w1, g, sum)
    at = steps + 3
    during = at < seqlen
    present = during[None, :]
    g = tl.load(dout + channels[:, None] * dout_stride_dim + at[None, :], mask=present, other=0.0)
    sum = tl.fma(w0, g, sum)
    present = (steps < seqlen)[None, :]
    tl.store(dx + channels[:, None] * dx_stride_dim + steps[None, :], sum, mask=present)


@triton.jit
def add_up(
    sums,
    dweight,
    tiles: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    # The sums over steps of a block of channels, from those of every tile, in order.
    channels = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    sums += channels
    total0 = tl.full((BLOCK_D,), 0.0, tl.float32)
    total1 = tl.full((BLOCK_D,), 0.0, tl.float32)
    total2 = tl.full((BLOCK_D,), 0.0, tl.float32)
    total3 = tl.full((BLOCK_D,), 0.0, tl.float32)
    for _ in range(tiles):
        total0 += tl.load(sums)
        total1 += tl.load(sums + DIM)
        total2 += tl.load(sums + 2 * DIM)
        total3 += tl.load(sums + 3 * DIM)
        sums += 4 * DIM
    tl.store(dweight + channels * 4, total0)
    tl.store(dweight + channels * 4 + 1, total1)
    tl.store(dweight + channels * 4 + 2, total2)
    tl.store(dweight + channels * 4 + 3, total3)
