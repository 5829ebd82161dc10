# linear_scan backward, fp32: associative(block_d=1,block_l=256,num_warps=1)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_associative.py.j2; source 4aaac88c92c9fd05.
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
def linear_scan_backward(
    a,
    h,
    dout,
    da,
    db,
    a_stride_batch,
    a_stride_dim,
    h_stride_batch,
    h_stride_dim,
    dout_stride_batch,
    dout_stride_dim,
    da_stride_batch,
    da_stride_dim,
    db_stride_batch,
    db_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    within = tl.arange(0, BLOCK_L)[None, :]
    a += batch * a_stride_batch
    dout += batch * dout_stride_batch
    h += batch * h_stride_batch
    da += batch * da_stride_batch
    db += batch * db_stride_batch
    g = tl.full((BLOCK_D,), 0.0, tl.float32)
    for start in range(0, seqlen, BLOCK_L):
        present = start + within < seqlen
        # A scan over reversed indices: what `reverse=True` gives for pairs has been wrong on GPUs.
        time = (seqlen - 1 - start - within).to(tl.int64)
        # db_t = dout_t + a_{t+1} db_{t+1}: the a of the step before, in this order; nothing comes before the first.
        step = (seqlen - 1 - (start + within - 1)).to(tl.int64)
        a_offsets = channels[:, None] * a_stride_dim + step
        a_tile = tl.load(a + a_offsets, mask=present & (start + within > 0), other=0.0)
        dout_offsets = channels[:, None] * dout_stride_dim + time
        dout_tile = tl.load(dout + dout_offsets, mask=present, other=0.0)
        decay, state = tl.associative_scan((a_tile, dout_tile), 1, combine)
        db_tile = tl.fma(decay, tl.broadcast_to(g[:, None], (BLOCK_D, BLOCK_L)), state)
        db_offsets = channels[:, None] * db_stride_dim + time
        tl.store(db + db_offsets, db_tile, mask=present)
        step = (seqlen - 1 - (start + within + 1)).to(tl.int64)
        further = present & (start + within + 1 < seqlen)
        h_offsets = channels[:, None] * h_stride_dim + step
        h_tile = tl.load(h + h_offsets, mask=further, other=0.0)
        da_tile = db_tile * h_tile
        da_offsets = channels[:, None] * da_stride_dim + time
        tl.store(da + da_offsets, da_tile, mask=present)
        g = tl.reduce(tl.where(within == BLOCK_L - 1, db_tile, 0.0), 1, add)
