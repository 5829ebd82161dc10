# linear_scan backward, bf16: chunked(block_d=32,chunk=256,num_warps=1,unroll=8)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_chunked.py.j2; source 95586de5dca28f07.
import triton
import triton.language as tl


@triton.jit
def summarise_chunks(
    a,
    dout,
    ends,
    decays,
    a_stride_batch,
    a_stride_seqlen,
    dout_stride_batch,
    dout_stride_seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch + chunk * CHUNK * a_stride_seqlen
    dout += batch * dout_stride_batch + chunk * CHUNK * dout_stride_seqlen
    g = tl.full((BLOCK_D,), 0.0, tl.float32)
    decay = tl.full((BLOCK_D,), 1.0, tl.float32)
    # The last chunk has no successor and no program here, so that every chunk is whole.
    for _ in range(CHUNK // 8):
        for _ in tl.static_range(8):
            a_t = tl.load(a + channels).to(tl.float32)
            dout_t = tl.load(dout + channels).to(tl.float32)
            decay *= a_t
            g = a_t * (dout_t + g)
            a += a_stride_seqlen
            dout += dout_stride_seqlen
    summary = (batch * tl.num_programs(2) + chunk) * DIM
    tl.store(ends + summary + channels, g)
    tl.store(decays + summary + channels, decay)


@triton.jit
def scan_chunks(
    a,
    h,
    initial_state,
    dout,
    da,
    db,
    dinitial_state,
    ends,
    decays,
    a_stride_batch,
    a_stride_seqlen,
    h_stride_batch,
    h_stride_seqlen,
    dout_stride_batch,
    dout_stride_seqlen,
    da_stride_batch,
    da_stride_seqlen,
    db_stride_batch,
    db_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
    CHUNK: tl.constexpr,
):
    chunk = tl.program_id(2).to(tl.int64)
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch + chunk * CHUNK * a_stride_seqlen
    dout += batch * dout_stride_batch + chunk * CHUNK * dout_stride_seqlen
    h += batch * h_stride_batch + (chunk * CHUNK + 1) * h_stride_seqlen
    da += batch * da_stride_batch + chunk * CHUNK * da_stride_seqlen
    db += batch * db_stride_batch + chunk * CHUNK * db_stride_seqlen
    g = tl.full((BLOCK_D,), 0.0, tl.float32)
    summary = batch * (tl.num_programs(2) - 1) * DIM
    ends += summary
    decays += summary
    for _ in range(chunk):
        # The decay of a growing system may be infinite.
        end = tl.load(ends + channels)
        g = tl.where(g == 0.0, end, tl.fma(tl.load(decays + channels), g, end))
        ends += DIM
        decays += DIM
    count = tl.minimum(CHUNK, seqlen - chunk * CHUNK)
    if chunk == tl.num_programs(2) - 1:
        count -= 1
    for _ in range(count // 8):
        for _ in tl.static_range(8):
            a_t = tl.load(a + channels).to(tl.float32)
            dout_t = tl.load(dout + channels).to(tl.float32)
            h_t = tl.load(h + channels).to(tl.float32)
            db_t = dout_t + g
            da_t = db_t * h_t
            g = a_t * db_t
            tl.store(da + channels, da_t)
            tl.store(db + channels, db_t)
            a += a_stride_seqlen
            dout += dout_stride_seqlen
            h += h_stride_seqlen
            da += da_stride_seqlen
            db += db_stride_seqlen
    for _ in range(count % 8):
        a_t = tl.load(a + channels).to(tl.float32)
        dout_t = tl.load(dout + channels).to(tl.float32)
        h_t = tl.load(h + channels).to(tl.float32)
        db_t = dout_t + g
        da_t = db_t * h_t
        g = a_t * db_t
        tl.store(da + channels, da_t)
        tl.store(db + channels, db_t)
        a += a_stride_seqlen
        dout += dout_stride_seqlen
        h += h_stride_seqlen
        da += da_stride_seqlen
        db += db_stride_seqlen
    if chunk == tl.num_programs(2) - 1:
        initial = tl.load(initial_state + batch * DIM + channels)
        a_t = tl.load(a + channels).to(tl.float32)
        dout_t = tl.load(dout + channels).to(tl.float32)
        db_t = dout_t + g
        da_t = db_t * initial
        g = a_t * db_t
        tl.store(da + channels, da_t)
        tl.store(db + channels, db_t)
        tl.store(dinitial_state + batch * DIM + channels, g)
