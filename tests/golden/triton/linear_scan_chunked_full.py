# linear_scan forward, bf16: chunked(block_d=32,chunk=256,num_warps=1,unroll=8)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_chunked.py.j2; source f47ce5d651979e4e.
import triton
import triton.language as tl


@triton.jit
def summarise_chunks(
    a,
    b,
    ends,
    decays,
    a_stride_batch,
    a_stride_seqlen,
    b_stride_batch,
    b_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch + (seqlen - 1 - chunk * CHUNK) * a_stride_seqlen
    b += batch * b_stride_batch + (seqlen - 1 - chunk * CHUNK) * b_stride_seqlen
    h = tl.full((BLOCK_D,), 0.0, tl.float32)
    decay = tl.full((BLOCK_D,), 1.0, tl.float32)
    # The last chunk has no successor and no program here, so that every chunk is whole.
    for _ in range(CHUNK // 8):
        for _ in tl.static_range(8):
            a_t = tl.load(a + channels).to(tl.float32)
            b_t = tl.load(b + channels).to(tl.float32)
            decay *= a_t
            h = tl.fma(a_t, h, b_t)
            a -= a_stride_seqlen
            b -= b_stride_seqlen
    summary = (batch * tl.num_programs(2) + chunk) * DIM
    tl.store(ends + summary + channels, h)
    tl.store(decays + summary + channels, decay)


@triton.jit
def scan_chunks(
    a,
    b,
    initial_state,
    out,
    ends,
    decays,
    a_stride_batch,
    a_stride_seqlen,
    b_stride_batch,
    b_stride_seqlen,
    out_stride_batch,
    out_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch + (seqlen - 1 - chunk * CHUNK) * a_stride_seqlen
    b += batch * b_stride_batch + (seqlen - 1 - chunk * CHUNK) * b_stride_seqlen
    out += batch * out_stride_batch + (seqlen - 1 - chunk * CHUNK) * out_stride_seqlen
    h = tl.load(initial_state + batch * DIM + channels)
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
    for _ in range(count // 8):
        for _ in tl.static_range(8):
            a_t = tl.load(a + channels).to(tl.float32)
            b_t = tl.load(b + channels).to(tl.float32)
            h = tl.fma(a_t, h, b_t)
            tl.store(out + channels, h)
            a -= a_stride_seqlen
            b -= b_stride_seqlen
            out -= out_stride_seqlen
    for _ in range(count % 8):
        a_t = tl.load(a + channels).to(tl.float32)
        b_t = tl.load(b + channels).to(tl.float32)
        h = tl.fma(a_t, h, b_t)
        tl.store(out + channels, h)
        a -= a_stride_seqlen
        b -= b_stride_seqlen
        out -= out_stride_seqlen
