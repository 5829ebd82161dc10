# linear_scan backward, c64: associative(block_d=1,block_l=256,num_warps=1)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_associative.py.j2; source 9a744a4d157138a0.
import triton
import triton.language as tl


@triton.jit
def multiply(x_re, x_im, y_re, y_im):
    return x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re


@triton.jit
def advance(a_re, a_im, h_re, h_im, b_re, b_im):
    # a h + b.
    return tl.fma(a_re, h_re, tl.fma(-a_im, h_im, b_re)), tl.fma(a_re, h_im, tl.fma(a_im, h_re, b_im))


@triton.jit
def combine(a_re, a_im, h_re, h_im, next_re, next_im, b_re, b_im):
    # h -> a h + state, then h -> next a h + next state, of complex numbers.
    re, im = advance(next_re, next_im, h_re, h_im, b_re, b_im)
    return a_re * next_re - a_im * next_im, a_re * next_im + a_im * next_re, re, im


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def linear_scan_backward(
    a,
    h,
    dout,
    da,
    db,
    a_stride_batch,
    a_stride_dim,
    h_stride_batch,
    h_stride_dim,
    dout_stride_batch,
    dout_stride_dim,
    da_stride_batch,
    da_stride_dim,
    db_stride_batch,
    db_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    within = tl.arange(0, BLOCK_L)[None, :]
    a += 2 * batch * a_stride_batch
    dout += 2 * batch * dout_stride_batch
    h += 2 * batch * h_stride_batch
    da += 2 * batch * da_stride_batch
    db += 2 * batch * db_stride_batch
    g_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    g_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    for start in range(0, seqlen, BLOCK_L):
        present = start + within < seqlen
        # A scan over reversed indices: what `reverse=True` gives for pairs has been wrong on GPUs.
        time = (seqlen - 1 - start - within).to(tl.int64)
        # db_t = dout_t + a_{t+1} db_{t+1}: the a of the step before, in this order; nothing comes before the first.
        step = (seqlen - 1 - (start + within - 1)).to(tl.int64)
        a_offsets = 2 * (channels[:, None] * a_stride_dim + step)
        a_tile_re = tl.load(a + a_offsets, mask=present & (start + within > 0), other=0.0)
        a_tile_im = tl.load(a + a_offsets + 1, mask=present & (start + within > 0), other=0.0)
        dout_offsets = 2 * (channels[:, None] * dout_stride_dim + time)
        dout_tile_re = tl.load(dout + dout_offsets, mask=present, other=0.0)
        dout_tile_im = tl.load(dout + dout_offsets + 1, mask=present, other=0.0)
        steps = (a_tile_re, -a_tile_im, dout_tile_re, dout_tile_im)
        decay_re, decay_im, state_re, state_im = tl.associative_scan(steps, 1, combine)
        db_tile_re, db_tile_im = advance(decay_re, decay_im, g_re[:, None], g_im[:, None], state_re, state_im)
        db_offsets = 2 * (channels[:, None] * db_stride_dim + time)
        tl.store(db + db_offsets, db_tile_re, mask=present)
        tl.store(db + db_offsets + 1, db_tile_im, mask=present)
        step = (seqlen - 1 - (start + within + 1)).to(tl.int64)
        further = present & (start + within + 1 < seqlen)
        h_offsets = 2 * (channels[:, None] * h_stride_dim + step)
        h_tile_re = tl.load(h + h_offsets, mask=further, other=0.0)
        h_tile_im = tl.load(h + h_offsets + 1, mask=further, other=0.0)
        da_tile_re, da_tile_im = multiply(db_tile_re, db_tile_im, h_tile_re, -h_tile_im)
        da_offsets = 2 * (channels[:, None] * da_stride_dim + time)
        tl.store(da + da_offsets, da_tile_re, mask=present)
        tl.store(da + da_offsets + 1, da_tile_im, mask=present)
        g_re = tl.reduce(tl.where(within == BLOCK_L - 1, db_tile_re, 0.0), 1, add)
        g_im = tl.reduce(tl.where(within == BLOCK_L - 1, db_tile_im, 0.0), 1, add)
