# linear_scan backward, bf16: sequential(block_d=32,num_warps=1,stages=1,unroll=8)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source 87ee05135f35c8a6.
import triton
import triton.language as tl


@triton.jit
def linear_scan_backward(
    a,
    h,
    initial_state,
    dout,
    da,
    db,
    dinitial_state,
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
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch
    dout += batch * dout_stride_batch
    h += batch * h_stride_batch + (0 + 1) * h_stride_seqlen
    da += batch * da_stride_batch
    db += batch * db_stride_batch
    g = tl.full((BLOCK_D,), 0.0, tl.float32)
    count = seqlen - 1
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
    initial = tl.load(initial_state + batch * DIM + channels)
    a_t = tl.load(a + channels).to(tl.float32)
    dout_t = tl.load(dout + channels).to(tl.float32)
    db_t = dout_t + g
    da_t = db_t * initial
    g = a_t * db_t
    tl.store(da + channels, da_t)
    tl.store(db + channels, db_t)
    tl.store(dinitial_state + batch * DIM + channels, g)
