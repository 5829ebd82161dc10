# linear_scan forward, fp32: chunked(block_d=32,chunk=256,num_warps=1,unroll=4)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_chunked.py.j2; source f27a837714d48499.
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
    states,
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
        a0, a1, a2, a3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b0, b1, b2, b3 = split4(b_tile, BLOCK_D)
        decay *= a0
        h = tl.fma(a0, h, b0)
        decay *= a1
        h = tl.fma(a1, h, b1)
        decay *= a2
        h = tl.fma(a2, h, b2)
        decay *= a3
        h = tl.fma(a3, h, b3)
        a += 4
        b += 4
    summary = (batch * tl.num_programs(2) + chunk) * DIM
    tl.store(states + summary + channels, h)
    tl.store(decays + summary + channels, decay)


@triton.jit
def scan_chunks(
    a,
    b,
    out,
    states,
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
    states += summary
    decays += summary
    for _ in range(chunk):
        end = tl.load(states + channels)
        # The decay of a growing system may be infinite.
        h = tl.where(h == 0.0, end, tl.fma(tl.load(decays + channels), h, end))
        states += DIM
        decays += DIM
    count = tl.minimum(CHUNK, seqlen - chunk * CHUNK)
    steps = tl.arange(0, 4)[None, :]
    for _ in range(count // 4):
        a_tile = tl.load(a[:, None] + steps)
        a0, a1, a2, a3 = split4(a_tile, BLOCK_D)
        b_tile = tl.load(b[:, None] + steps)
        b0, b1, b2, b3 = split4(b_tile, BLOCK_D)
        h = tl.fma(a0, h, b0)
        h0 = h
        h = tl.fma(a1, h, b1)
        h1 = h
        h = tl.fma(a2, h, b2)
        h2 = h
        h = tl.fma(a3, h, b3)
        h3 = h
        tl.store(out[:, None] + steps, join4(h0, h1, h2, h3, BLOCK_D))
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
