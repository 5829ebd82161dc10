# linear_scan forward, c64: sequential(block_d=32,num_warps=1,stages=1,unroll=2)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source c4fd62d22bb6db6d.
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
    a = a + 2 * (batch * a_stride_batch + channels * a_stride_dim)
    b = b + 2 * (batch * b_stride_batch + channels * b_stride_dim)
    out = out + 2 * (batch * out_stride_batch + channels * out_stride_dim)
    h_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    h_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    steps = tl.arange(0, 4)[None, :]
    for _ in range(seqlen // 2):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b_0, b_1, b_2, b_3 = split4(b_tile, BLOCK_D)
        h_re, h_im = advance(a_0, a_1, h_re, h_im, b_0, b_1)
        out_0, out_1 = h_re, h_im
        h_re, h_im = advance(a_2, a_3, h_re, h_im, b_2, b_3)
        out_2, out_3 = h_re, h_im
        tile = join4(out_0, out_1, out_2, out_3, BLOCK_D)
        tl.store(out[:, None] + steps, tile)
        a += 4
        b += 4
        out += 4
    for _ in range(seqlen % 2):
        a_t_re = tl.load(a)
        a_t_im = tl.load(a + 1)
        b_t_re = tl.load(b)
        b_t_im = tl.load(b + 1)
        h_re, h_im = advance(a_t_re, a_t_im, h_re, h_im, b_t_re, b_t_im)
        tl.store(out, h_re)
        tl.store(out + 1, h_im)
        a += 2
        b += 2
        out += 2
