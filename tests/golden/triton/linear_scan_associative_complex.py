# linear_scan forward, c64: associative(block_d=1,block_l=256,num_warps=1)
# h_t = a_t h_{t-1} + b_t
# Rendered by ssmgen from templates/triton/linear_scan_associative.py.j2; source 0d533ab061e26a33.
import triton
import triton.language as tl


@triton.jit
def advance(a_re, a_im, h_re, h_im, b_re, b_im):
    # a h + b.
    return tl.fma(a_re, h_re, tl.fma(-a_im, h_im, b_re)), tl.fma(a_re, h_im, tl.fma(a_im, h_re, b_im))


@triton.jit
def combine(a_re, a_im, h_re, h_im, next_re, next_im, b_re, b_im):
    # h -> a h + state, then h -> next a h + next state, of complex numbers.
    re, im = advance(next_re, next_im, h_re, h_im, b_re, b_im)
    return a_re * next_re - a_im * next_im, a_re * next_im + a_im * next_re, re, im


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
    a += 2 * batch * a_stride_batch
    b += 2 * batch * b_stride_batch
    out += 2 * batch * out_stride_batch
    h_re = tl.full((BLOCK_D,), 0.0, tl.float32)
    h_im = tl.full((BLOCK_D,), 0.0, tl.float32)
    for start in range(0, seqlen, BLOCK_L):
        present = start + within < seqlen
        time = (start + within).to(tl.int64)
        a_offsets = 2 * (channels[:, None] * a_stride_dim + time)
        a_tile_re = tl.load(a + a_offsets, mask=present, other=1.0)
        a_tile_im = tl.load(a + a_offsets + 1, mask=present, other=0.0)
        b_offsets = 2 * (channels[:, None] * b_stride_dim + time)
        b_tile_re = tl.load(b + b_offsets, mask=present, other=0.0)
        b_tile_im = tl.load(b + b_offsets + 1, mask=present, other=0.0)
        steps = (a_tile_re, a_tile_im, b_tile_re, b_tile_im)
        decay_re, decay_im, state_re, state_im = tl.associative_scan(steps, 1, combine)
        state_re, state_im = advance(decay_re, decay_im, h_re[:, None], h_im[:, None], state_re, state_im)
        out_offsets = 2 * (channels[:, None] * out_stride_dim + time)
        tl.store(out + out_offsets, state_re, mask=present)
        tl.store(out + out_offsets + 1, state_im, mask=present)
        h_re = tl.reduce(tl.where(within == BLOCK_L - 1, state_re, 0.0), 1, add)
        h_im = tl.reduce(tl.where(within == BLOCK_L - 1, state_im, 0.0), 1, add)
