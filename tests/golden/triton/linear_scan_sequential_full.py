# linear_scan forward, bf16: sequential(block_d=32,num_warps=1,stages=1,unroll=8)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_sequential.py.j2; source d067481e9f6295cd.
import triton
import triton.language as tl


@triton.jit
def linear_scan(
    a,
    b,
    initial_state,
    out,
    a_stride_batch,
    a_stride_seqlen,
    b_stride_batch,
    b_stride_seqlen,
    out_stride_batch,
    out_stride_seqlen,
    seqlen,
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    a += batch * a_stride_batch + (seqlen - 1) * a_stride_seqlen
    b += batch * b_stride_batch + (seqlen - 1) * b_stride_seqlen
    out += batch * out_stride_batch + (seqlen - 1) * out_stride_seqlen
    h = tl.load(initial_state + batch * DIM + channels)
    for _ in range(seqlen // 8):
        for _ in tl.static_range(8):
            a_t = tl.load(a + channels).to(tl.float32)
            b_t = tl.load(b + channels).to(tl.float32)
            h = tl.fma(a_t, h, b_t)
            tl.store(out + channels, h)
            a -= a_stride_seqlen
            b -= b_stride_seqlen
            out -= out_stride_seqlen
    for _ in range(seqlen % 8):
        a_t = tl.load(a + channels).to(tl.float32)
        b_t = tl.load(b + channels).to(tl.float32)
        h = tl.fma(a_t, h, b_t)
        tl.store(out + channels, h)
        a -= a_stride_seqlen
        b -= b_stride_seqlen
        out -= out_stride_seqlen
