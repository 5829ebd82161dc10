# linear_scan forward, fp32: sequential(block_d=32,num_warps=1,stages=1,unroll=4)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source a065bc927508005c.
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
def linear_scan(
    a,
    b,
    out,
    a_stride_batch,
    a_stride_dim,
    b_stride_batch,
    b_stride_dim,
    out_stride_batch,
    out_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a = a + batch * a_stride_batch + channels * a_stride_dim
    b = b + batch * b_stride_batch + channels * b_stride_dim
    out = out + batch * out_stride_batch + channels * out_stride_dim
    h = tl.full((BLOCK_D,), 0.0, tl.float32)
    steps = tl.arange(0, 4)[None, :]
    for _ in range(seqlen // 4):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b_0, b_1, b_2, b_3 = split4(b_tile, BLOCK_D)
        h = tl.fma(a_0, h, b_0)
        out_0 = h
        h = tl.fma(a_1, h, b_1)
        out_1 = h
        h = tl.fma(a_2, h, b_2)
        out_2 = h
        h = tl.fma(a_3, h, b_3)
        out_3 = h
        tile = join4(out_0, out_1, out_2, out_3, BLOCK_D)
        tl.store(out[:, None] + steps, tile)
        a += 4
        b += 4
        out += 4
    for _ in range(seqlen % 4):
        a_t = tl.load(a)
        b_t = tl.load(b)
        h = tl.fma(a_t, h, b_t)
        tl.store(out, h)
        a += 1
        b += 1
        out += 1
