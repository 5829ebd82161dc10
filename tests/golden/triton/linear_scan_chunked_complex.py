# linear_scan forward, c64: chunked(block_d=32,chunk=256,num_warps=1,unroll=2)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_chunked.py.j2; source 2a23ab73db7859d1.
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
def summarise_chunks(
    a,
    b,
    ends,
    decays,
    a_stride_batch,
    a_stride_dim,
    b_stride_batch,
    b_stride_dim,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a = a + 2 * (batch * a_stride_batch + channels * a_stride_dim + chunk * CHUNK)
    b = b + 2 * (batch * b_stride_batch + channels * b_stride_dim + chunk * CHUNK)
    h_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    h_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    decay_re = tl.full((BLOCK_D,), 1.0, tl.float32)
    decay_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    # The last chunk has no successor and no program here, so that every chunk is whole.
    steps = tl.arange(0, 4)[None, :]
    for _ in range(CHUNK // 2):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b_0, b_1, b_2, b_3 = split4(b_tile, BLOCK_D)
        decay_re, decay_im = multiply(a_0, a_1, decay_re, decay_im)
        h_re, h_im = advance(a_0, a_1, h_re, h_im, b_0, b_1)
        decay_re, decay_im = multiply(a_2, a_3, decay_re, decay_im)
        h_re, h_im = advance(a_2, a_3, h_re, h_im, b_2, b_3)
        a += 4
        b += 4
    summary = (batch * tl.num_programs(2) + chunk) * (2 * DIM)
    tl.store(ends + summary + channels, h_re)
    tl.store(ends + summary + DIM + channels, h_im)
    tl.store(decays + summary + channels, decay_re)
    tl.store(decays + summary + DIM + channels, decay_im)


@triton.jit
def scan_chunks(
    a,
    b,
    out,
    ends,
    decays,
    a_stride_batch,
    a_stride_dim,
    b_stride_batch,
    b_stride_dim,
    out_stride_batch,
    out_stride_dim,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a = a + 2 * (batch * a_stride_batch + channels * a_stride_dim + chunk * CHUNK)
    b = b + 2 * (batch * b_stride_batch + channels * b_stride_dim + chunk * CHUNK)
    out = out + 2 * (batch * out_stride_batch + channels * out_stride_dim + chunk * CHUNK)
    h_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    h_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    summary = batch * (tl.num_programs(2) - 1) * (2 * DIM)
    ends += summary
    decays += summary
    for _ in range(chunk):
        # The decay of a growing system may be infinite.
        end_re = tl.load(ends + channels)
        end_im = tl.load(ends + DIM + channels)
        decay_re = tl.load(decays + channels)
        decay_im = tl.load(decays + DIM + channels)
        zero = (h_re == 0.0) & (h_im == 0.0)
        re, im = advance(decay_re, decay_im, h_re, h_im, end_re, end_im)
        h_re = tl.where(zero, end_re, re)
        h_im = tl.where(zero, end_im, im)
        ends += 2 * DIM
        decays += 2 * DIM
    count = tl.minimum(CHUNK, seqlen - chunk * CHUNK)
    steps = tl.arange(0, 4)[None, :]
    for _ in range(count // 2):
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
    for _ in range(count % 2):
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
