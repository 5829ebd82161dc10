# causal_conv1d backward, bf16: tile(block_d=128,block_l=8,exp=asm,num_warps=4)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_backward.py.j2; source 0ffcdbdf04c7f372.
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
def sigmoid(x):
    return reciprocal(1.0 + exp2(x * -1.4426950408889634))


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def causal_conv1d_backward(
    x,
    weight,
    bias,
    initial_state,
    dout,
    dlast_state,
    dx,
    dinitial_state,
    sums,
    x_stride_batch,
    x_stride_seqlen,
    dout_stride_batch,
    dout_stride_seqlen,
    dx_stride_batch,
    dx_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    # A tile of channels down and steps along, of one sequence, and its part of the sums over steps. What a step passes on
    # reaches it from the 3 after it, which the program computes too.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    steps = tl.program_id(2) * BLOCK_L + tl.arange(0, BLOCK_L) - 3
    x += batch * x_stride_batch
    dout += batch * dout_stride_batch
    dx += batch * dx_stride_batch
    initial_state += batch * DIM * 3 + channels[:, None] * 3
    w0 = tl.load(weight + channels * 4)[:, None]
    w1 = tl.load(weight + channels * 4 + 1)[:, None]
    w2 = tl.load(weight + channels * 4 + 2)[:, None]
    w3 = tl.load(weight + channels * 4 + 3)[:, None]
    b = tl.load(bias + channels)[:, None]
    at = steps - 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x0 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x0 = x0.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x0 += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    at = steps - 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x1 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x1 = x1.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x1 += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    at = steps - 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x2 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x2 = x2.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x2 += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    during = (steps >= 0) & (steps < seqlen)
    present = during[None, :]
    x3 = tl.load(x + channels[:, None] + steps[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x3 = x3.to(tl.float32)
    early = ((steps < 0) & (steps >= -3))[None, :]
    x3 += tl.load(initial_state + (steps + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    at = steps + 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x4 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x4 = x4.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x4 += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    at = steps + 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x5 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x5 = x5.to(tl.float32)
    early = ((at < 0) & (at >= -3))[None, :]
    x5 += tl.load(initial_state + (at + 3)[None, :], mask=early, other=0.0).to(tl.float32)
    at = steps + 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    x6 = tl.load(x + channels[:, None] + at[None, :] * x_stride_seqlen, mask=present, other=0.0)
    x6 = x6.to(tl.float32)
    during = (steps >= 0) & (steps < seqlen)
    present = during[None, :]
    g = tl.load(dout + channels[:, None] + steps[None, :] * dout_stride_seqlen, mask=present, other=0.0)
    g = g.to(tl.float32)
    y = tl.fma(w0, x0, b)
    y = tl.fma(w1, x1, y)
    y = tl.fma(w2, x2, y)
    y = tl.fma(w3, x3, y)
    s = sigmoid(y)
    g *= s * tl.fma(y, 1.0 - s, 1.0)
    sums += (batch * tl.num_programs(2) + tl.program_id(2)) * 5 * DIM + channels
    tl.store(sums, tl.reduce(g * x0, 1, add))
    tl.store(sums + DIM, tl.reduce(g * x1, 1, add))
    tl.store(sums + 2 * DIM, tl.reduce(g * x2, 1, add))
    tl.store(sums + 3 * DIM, tl.reduce(g * x3, 1, add))
    tl.store(sums + 4 * DIM, tl.reduce(g, 1, add))
    sum = w3 * g
    at = steps + 1
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    g = tl.load(dout + channels[:, None] + at[None, :] * dout_stride_seqlen, mask=present, other=0.0)
    g = g.to(tl.float32)
    y = tl.fma(w0, x1, b)
    y = tl.fma(w1, x2, y)
    y = tl.fma(w2, x3, y)
    y = tl.fma(w3, x4, y)
    s = sigmoid(y)
    g *= s * tl.fma(y, 1.0 - s, 1.0)
    sum = tl.fma(w2, g, sum)
    at = steps + 2
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    g = tl.load(dout + channels[:, None] + at[None, :] * dout_stride_seqlen, mask=present, other=0.0)
    g = g.to(tl.float32)
    y = tl.fma(w0, x2, b)
    y = tl.fma(w1, x3, y)
    y = tl.fma(w2, x4, y)
    y = tl.fma(w3, x5, y)
    s = sigmoid(y)
    g *= s * tl.fma(y, 1.0 - s, 1.0)
    sum = tl.fma(w1, g, sum)
    at = steps + 3
    during = (at >= 0) & (at < seqlen)
    present = during[None, :]
    g = tl.load(dout + channels[:, None] + at[None, :] * dout_stride_seqlen, mask=present, other=0.0)
    g = g.to(tl.float32)
    y = tl.fma(w0, x3, b)
    y = tl.fma(w1, x4, y)
    y = tl.fma(w2, x5, y)
    y = tl.fma(w3, x6, y)
    s = sigmoid(y)
    g *= s * tl.fma(y, 1.0 - s, 1.0)
    sum = tl.fma(w0, g, sum)
    # The last steps are the last state, too.
    dlast_state += batch * DIM * 3 + channels[:, None] * 3
    from_last = steps - (seqlen - 3)
    kept = ((from_last >= 0) & (from_last < 3))[None, :]
    sum += tl.load(dlast_state + from_last[None, :], mask=kept, other=0.0).to(tl.float32)
    present = ((steps >= 0) & (steps < seqlen))[None, :]
    tl.store(dx + channels[:, None] + steps[None, :] * dx_stride_seqlen, sum, mask=present)
    dinitial_state += batch * DIM * 3 + channels[:, None] * 3
    tl.store(dinitial_state + (steps + 3)[None, :], sum, mask=(steps < 0)[None, :])


@triton.jit
def add_up(
    sums,
    dweight,
    dbias,
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
    total4 = tl.full((BLOCK_D,), 0.0, tl.float32)
    for _ in range(tiles):
        total0 += tl.load(sums)
        total1 += tl.load(sums + DIM)
        total2 += tl.load(sums + 2 * DIM)
        total3 += tl.load(sums + 3 * DIM)
        total4 += tl.load(sums + 4 * DIM)
        sums += 5 * DIM
    tl.store(dweight + channels * 4, total0)
    tl.store(dweight + channels * 4 + 1, total1)
    tl.store(dweight + channels * 4 + 2, total2)
    tl.store(dweight + channels * 4 + 3, total3)
    tl.store(dbias + channels, total4)
