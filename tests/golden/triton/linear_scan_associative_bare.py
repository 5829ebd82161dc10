# linear_scan forward, fp32: associative(block_d=1,block_l=256,num_warps=1)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_associative.py.j2; source e2498732ece0e5b5.
import triton
import triton.language as tl


@triton.jit
def combine(decay, state, next_decay, next_state):
    # h -> decay h + state, then h -> next_decay h + next_state.
    return decay * next_decay, tl.fma(next_decay, state, next_state)


@triton.jit
def add(x, y):
    return x + y


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
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    within = tl.arange(0, BLOCK_L)[None, :]
    a += batch * a_stride_batch
    b += batch * b_stride_batch
    out += batch * out_stride_batch
    h = tl.full((BLOCK_D,), 0.0, tl.float32)
    for start in range(0, seqlen, BLOCK_L):
        present = start + within < seqlen
        time = (start + within).to(tl.int64)
        a_offsets = channels[:, None] * a_stride_dim + time
        a_tile = tl.load(a + a_offsets, mask=present, other=1.0)
        b_offsets = channels[:, None] * b_stride_dim + time
        b_tile = tl.load(b + b_offsets, mask=present, other=0.0)
        decay, state = tl.associative_scan((a_tile, b_tile), 1, combine)
        state = tl.fma(decay, tl.broadcast_to(h[:, None], (BLOCK_D, BLOCK_L)), state)
        out_offsets = channels[:, None] * out_stride_dim + time
        tl.store(out + out_offsets, state, mask=present)
        h = tl.reduce(tl.where(within == BLOCK_L - 1, state, 0.0), 1, add)
