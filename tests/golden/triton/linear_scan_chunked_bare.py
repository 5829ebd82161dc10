# linear_scan forward, fp32: chunked(block_d=32,chunk=256,num_warps=1,unroll=4)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_chunked.py.j2; source 61dd1ed70a05d56c.
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
    a = a + batch * a_stride_batch + channels * a_stride_dim + chunk * CHUNK
    b = b + batch * b_stride_batch + channels * b_stride_dim + chunk * CHUNK
    h = tl.full((BLOCK_D,), 0.0, tl.float32)
    decay = tl.full((BLOCK_D,), 1.0, tl.float32)
    # The last chunk has no successor and no program here, so that every chunk is whole.
    steps = tl.arange(0, 4)[None, :]
    for _ in range(CHUNK // 4):
        a_tile = tl.load(a[:, None] + steps)
        a_0, a_1, a_2, a_3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b_0, b_1, b_2, b_3 = split4(b_tile, BLOCK_D)
        decay *= a_0
        h = tl.fma(a_0, h, b_0)
        decay *= a_1
        h = tl.fma(a_1, h, b_1)
        decay *= a_2
        h = tl.fma(a_2, h, b_2)
        decay *= a_3
        h = tl.fma(a_3, h, b_3)
        a += 4
        b += 4
    summary = (batch * tl.num_programs(2) + chunk) * DIM
    tl.store(ends + summary + channels, h)
    tl.store(decays + summary + channels, decay)


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
    a = a + batch * a_stride_batch + channels * a_stride_dim + chunk * CHUNK
    b = b + batch * b_stride_batch + channels * b_stride_dim + chunk * CHUNK
    out = out + batch * out_stride_batch + channels * out_stride_dim + chunk * CHUNK
    h = tl.full((BLOCK_D,), 0.0, tl.float32)
    summary = batch * (tl.num_programs(2) - 1) * DIM
    ends += summary
    decays += summary
    for _ in range(chunk):
        # The decay of a growing system may be infinite.
        end = tl.load(ends + channels)
        h = tl.where(h == 0.0, end, tl.fma(tl.load(decays + channels), h, end))
        ends += DIM
        decays += DIM
    count = tl.minimum(CHUNK, seqlen - chunk * CHUNK)
    steps = tl.arange(0, 4)[None, :]
    for _ in range(count // 4):
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
    for _ in range(count % 4):
        a_t = tl.load(a)
        b_t = tl.load(b)
        h = tl.fma(a_t, h, b_t)
        tl.store(out, h)
        a += 1
        b += 1
        out += 1
