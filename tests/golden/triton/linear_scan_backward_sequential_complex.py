# linear_scan backward, c64: sequential(block_d=32,num_warps=1,stages=1,unroll=2)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source a5eee5c52944bcbd.
import triton
import triton.language as tl


@triton.jit
def split4(tile, BLOCK_D: tl.constexpr):
    # The columns of a (BLOCK_D, 4) tile.
    even, odd = tl.split(tl.reshape(tile, (BLOCK_D, 2, 2)))
    c0, c2 = tl.split(even)
    c1, c3 = tl.split(odd)
    return c0, c1, c2, c3


@triton.jit
def join4(c0, c1, c2, c3, BLOCK_D: tl.constexpr):
    # The (BLOCK_D, 4) tile of these columns.
    return tl.reshape(tl.join(tl.join(c0, c2), tl.join(c1, c3)), (BLOCK_D, 4))


@triton.jit
def multiply(x_re, x_im, y_re, y_im):
    return x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re


@triton.jit
def advance(a_re, a_im, h_re, h_im, b_re, b_im):
    # a h + b.
    return tl.fma(a_re, h_re, tl.fma(-a_im, h_im, b_re)), tl.fma(a_re, h_im, tl.fma(a_im, h_re, b_im))


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
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a = a + 2 * (batch * a_stride_batch + channels * a_stride_dim + (seqlen - 1))
    dout = dout + 2 * (batch * dout_stride_batch + channels * dout_stride_dim + (seqlen - 1))
    h = h + 2 * (batch * h_stride_batch + channels * h_stride_dim + ((seqlen - 1) - 1))
    da = da + 2 * (batch * da_stride_batch + channels * da_stride_dim + (seqlen - 1))
    db = db + 2 * (batch * db_stride_batch + channels * db_stride_dim + (seqlen - 1))
    g_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    g_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    count = seqlen - 1
    # Pointers stand at the last step of a tile.
    steps = tl.arange(0, 4)[None, :] - 2
    for _ in range(count // 2):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        dout_tile = tl.load(dout[:, None] + steps)
        dout_0, dout_1, dout_2, dout_3 = split4(dout_tile, BLOCK_D)
        h_tile = tl.load(h[:, None] + steps)
        h_0, h_1, h_2, h_3 = split4(h_tile, BLOCK_D)
        db_2 = dout_2 + g_re
        db_3 = dout_3 + g_im
        da_2, da_3 = multiply(db_2, db_3, h_2, -h_3)
        g_re, g_im = multiply(a_2, -a_3, db_2, db_3)
        db_0 = dout_0 + g_re
        db_1 = dout_1 + g_im
        da_0, da_1 = multiply(db_0, db_1, h_0, -h_1)
        g_re, g_im = multiply(a_0, -a_1, db_0, db_1)
        tile = join4(da_0, da_1, da_2, da_3, BLOCK_D)
        tl.store(da[:, None] + steps, tile)
        tile = join4(db_0, db_1, db_2, db_3, BLOCK_D)
        tl.store(db[:, None] + steps, tile)
        a -= 4
        dout -= 4
        h -= 4
        da -= 4
        db -= 4
    for _ in range(count % 2):
        a_t_re = tl.load(a)
        a_t_im = tl.load(a + 1)
        dout_t_re = tl.load(dout)
        dout_t_im = tl.load(dout + 1)
        h_t_re = tl.load(h)
        h_t_im = tl.load(h + 1)
        db_t_re = dout_t_re + g_re
        db_t_im = dout_t_im + g_im
        da_t_re, da_t_im = multiply(db_t_re, db_t_im, h_t_re, -h_t_im)
        g_re, g_im = multiply(a_t_re, -a_t_im, db_t_re, db_t_im)
        tl.store(da, da_t_re)
        tl.store(da + 1, da_t_im)
        tl.store(db, db_t_re)
        tl.store(db + 1, db_t_im)
        a -= 2
        dout -= 2
        h -= 2
        da -= 2
        db -= 2
    initial_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    initial_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    a_t_re = tl.load(a)
    a_t_im = tl.load(a + 1)
    dout_t_re = tl.load(dout)
    dout_t_im = tl.load(dout + 1)
    db_t_re = dout_t_re + g_re
    db_t_im = dout_t_im + g_im
    da_t_re, da_t_im = multiply(db_t_re, db_t_im, initial_re, -initial_im)
    g_re, g_im = multiply(a_t_re, -a_t_im, db_t_re, db_t_im)
    tl.store(da, da_t_re)
    tl.store(da + 1, da_t_im)
    tl.store(db, db_t_re)
    tl.store(db + 1, db_t_im)
