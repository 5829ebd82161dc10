# linear_scan backward, fp32: sequential(block_d=32,num_warps=1,stages=1,unroll=4)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source e8f0f879a8e43d5c.
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
    a = a + batch * a_stride_batch + channels * a_stride_dim + (seqlen - 1)
    dout = dout + batch * dout_stride_batch + channels * dout_stride_dim + (seqlen - 1)
    h = h + batch * h_stride_batch + channels * h_stride_dim + ((seqlen - 1) - 1)
    da = da + batch * da_stride_batch + channels * da_stride_dim + (seqlen - 1)
    db = db + batch * db_stride_batch + channels * db_stride_dim + (seqlen - 1)
    g = tl.full((BLOCK_D,), 0.0, tl.float32)
    count = seqlen - 1
    # Pointers stand at the last step of a tile.
    steps = tl.arange(0, 4)[None, :] - 3
    for _ in range(count // 4):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        dout_tile = tl.load(dout[:, None] + steps)
        dout_0, dout_1, dout_2, dout_3 = split4(dout_tile, BLOCK_D)
        h_tile = tl.load(h[:, None] + steps)
        h_0, h_1, h_2, h_3 = split4(h_tile, BLOCK_D)
        db_3 = dout_3 + g
        da_3 = db_3 * h_3
        g = a_3 * db_3
        db_2 = dout_2 + g
        da_2 = db_2 * h_2
        g = a_2 * db_2
        db_1 = dout_1 + g
        da_1 = db_1 * h_1
        g = a_1 * db_1
        db_0 = dout_0 + g
        da_0 = db_0 * h_0
        g = a_0 * db_0
        tile = join4(da_0, da_1, da_2, da_3, BLOCK_D)
        tl.store(da[:, None] + steps, tile)
        tile = join4(db_0, db_1, db_2, db_3, BLOCK_D)
        tl.store(db[:, None] + steps, tile)
        a -= 4
        dout -= 4
        h -= 4
        da -= 4
        db -= 4
    for _ in range(count % 4):
        a_t = tl.load(a)
        dout_t = tl.load(dout)
        h_t = tl.load(h)
        db_t = dout_t + g
        da_t = db_t * h_t
        g = a_t * db_t
        tl.store(da, da_t)
        tl.store(db, db_t)
        a -= 1
        dout -= 1
        h -= 1
        da -= 1
        db -= 1
    initial = tl.full((BLOCK_D,), 0.0, tl.float32)
    a_t = tl.load(a)
    dout_t = tl.load(dout)
    db_t = dout_t + g
    da_t = db_t * initial
    g = a_t * db_t
    tl.store(da, da_t)
    tl.store(db, db_t)
