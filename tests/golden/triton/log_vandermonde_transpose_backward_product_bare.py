# log_vandermonde_transpose backward, c64: product(block=64,blocks=32,exp=asm,group=16,num_warps=4,precision=tf32x3,tiles=1)
# out_n = v_n sum_l u_l exp(x_n l)
# Rendered by ssmgen from templates/triton/log_vandermonde_transpose_backward.py.j2; source cd1830a46df36593.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def rates(x_re, x_im, step):
    # Of e^(x step i): log2(e) Re x step, which stays finite where all decays at once, and the half-turns of a step,
    # less whole turns, as a sum of 13 bits and the rest.
    decay = tl.maximum(x_re * (1.4426950408889634 * step), -1000.0, propagate_nan=tl.PropagateNan.ALL)
    wide = x_im.to(tl.float64) * 0.3183098861837907 * step
    wide -= 2.0 * tl.floor(0.5 * wide + 0.5)
    turns = tl.floor(wide * 4096.0 + 0.5) * 0.000244140625
    return decay, turns.to(tl.float32), (wide - turns).to(tl.float32)


@triton.jit
def power(i, A, turns, rest):
    # e^(x step i) of what `rates` gives. Whole half-turns are a sign; of what is left, f in [-1/2, 1/2], cos and sin are
    # minimax polynomials.
    shifted = tl.fma(i, turns, i * rest) + 12582912.0  # whole half-turns in its low bits
    f = tl.fma(i, rest, tl.fma(i, turns, 12582912.0 - shifted))
    q = f * f
    size = exp2(i * A).to(tl.int32, bitcast=True) ^ (shifted.to(tl.int32, bitcast=True) << 31)
    size = size.to(tl.float32, bitcast=True)
    c = tl.fma(q, -0.024172618985176086, 0.23479436337947845)
    c = tl.fma(c, q, -1.3351800441741943)
    c = tl.fma(c, q, 4.058706283569336)
    c = tl.fma(c, q, -4.934802055358887)
    s = tl.fma(q, 0.07723917812108994, -0.598055362701416)
    s = tl.fma(s, q, 2.5500330924987793)
    s = tl.fma(s, q, -5.1677069664001465)
    s = tl.fma(s, q, -1.6120699797284033e-07)
    return size * tl.fma(c, q, 1.0), size * tl.fma(f, 3.1415927410125732, f * s)


@triton.jit
def sum_poles(
    v,
    x,
    dout,
    du,
    v_stride_row,
    x_stride_row,
    dout_stride_row,
    du_stride_row,
    seqlen,
    STEPS: tl.constexpr,
    BLOCKS: tl.constexpr,
    GROUP: tl.constexpr,
):
    # du_l = Re sum_n r_n e^(x_n l), r = conj(dout) v: a row of a product of matrices for each block of steps.
    row = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1) * BLOCKS + tl.arange(0, BLOCKS)
    j = tl.arange(0, STEPS)
    v += 2 * row * v_stride_row
    x += 2 * row * x_stride_row
    dout += 2 * row * dout_stride_row
    sums = tl.full((BLOCKS, STEPS), 0.0, tl.float32)
    for first in range(0, 32, GROUP):
        n = first + tl.arange(0, GROUP)
        v_re = tl.load(v + 2 * n, mask=n < 32, other=0.0)
        v_im = tl.load(v + 2 * n + 1, mask=n < 32, other=0.0)
        x_re = tl.load(x + 2 * n, mask=n < 32, other=0.0)
        x_im = tl.load(x + 2 * n + 1, mask=n < 32, other=0.0)
        dout_re = tl.load(dout + 2 * n, mask=n < 32, other=0.0)
        dout_im = tl.load(dout + 2 * n + 1, mask=n < 32, other=0.0)
        A, turns, rest = rates(x_re, x_im, 1)
        e_re, e_im = power(j[None, :].to(tl.float32), A[:, None], turns[:, None], rest[:, None])
        A, turns, rest = rates(x_re, x_im, STEPS)
        s_re, s_im = power(b[:, None].to(tl.float32), A[None, :], turns[None, :], rest[None, :])
        r_re = (dout_re * v_re + dout_im * v_im)[None, :]
        r_im = (dout_re * v_im - dout_im * v_re)[None, :]
        sums = tl.dot(s_re * r_re - s_im * r_im, e_re, sums, input_precision="tf32x3")
        sums = tl.dot(-(s_re * r_im + s_im * r_re), e_im, sums, input_precision="tf32x3")
    l = b[:, None] * STEPS + j[None, :]
    tl.store(du + row * du_stride_row + l, sums, mask=l < seqlen)


@triton.jit
def sum_steps(
    u,
    x,
    sums,
    u_stride_row,
    x_stride_row,
    seqlen,
    STEPS: tl.constexpr,
    BLOCKS: tl.constexpr,
    GROUP: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # Sums over one chunk of steps: s_0 = sum_l u_l e^(x l) and s_1 = sum_l l u_l e^(x l). A block of steps is a row of
    # a matrix; products sum them to h_j = sum_b e^(x STEPS b) u_(STEPS b + j), and once more with STEPS b as a
    # factor, to p; then s_0 = sum_j e^(x j) h_j.
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * CHUNK
    n = tl.program_id(2) * GROUP + tl.arange(0, GROUP)
    j = tl.arange(0, STEPS)
    u += row * u_stride_row
    x += 2 * row * x_stride_row
    x_re = tl.load(x + 2 * n, mask=n < 32, other=0.0)
    x_im = tl.load(x + 2 * n + 1, mask=n < 32, other=0.0)
    blocks = (seqlen + STEPS - 1) // STEPS
    A, turns, rest = rates(x_re, x_im, STEPS)
    h_re = tl.full((GROUP, STEPS), 0.0, tl.float32)
    h_im = tl.full((GROUP, STEPS), 0.0, tl.float32)
    p_re = tl.full((GROUP, STEPS), 0.0, tl.float32)
    p_im = tl.full((GROUP, STEPS), 0.0, tl.float32)
    for block in range(first, tl.minimum(first + CHUNK, blocks), BLOCKS):
        b = block + tl.arange(0, BLOCKS)
        l = b[:, None] * STEPS + j[None, :]
        rows = tl.load(u + l, mask=l < seqlen, other=0.0)
        s_re, s_im = power(b[None, :].to(tl.float32), A[:, None], turns[:, None], rest[:, None])
        # Beyond the end there is nothing, not even where the power is infinite.
        inside = b[None, :] < blocks
        s_re = tl.where(inside, s_re, 0.0)
        s_im = tl.where(inside, s_im, 0.0)
        h_re = tl.dot(s_re, rows, h_re, input_precision="tf32x3")
        h_im = tl.dot(s_im, rows, h_im, input_precision="tf32x3")
        at = (b[None, :] * STEPS).to(tl.float32)
        p_re = tl.dot(s_re * at, rows, p_re, input_precision="tf32x3")
        p_im = tl.dot(s_im * at, rows, p_im, input_precision="tf32x3")
    A, turns, rest = rates(x_re, x_im, 1)
    at = j[None, :].to(tl.float32)
    e_re, e_im = power(at, A[:, None], turns[:, None], rest[:, None])
    inside = j[None, :] < seqlen
    e_re = tl.where(inside, e_re, 0.0)
    e_im = tl.where(inside, e_im, 0.0)
    sums += (row * tl.num_programs(1) + tl.program_id(1)) * 128 + n
    tl.store(sums, tl.reduce(e_re * h_re - e_im * h_im, 1, add), mask=n < 32)
    tl.store(sums + 32, tl.reduce(e_re * h_im + e_im * h_re, 1, add), mask=n < 32)
    p_re = tl.fma(at, h_re, p_re)
    p_im = tl.fma(at, h_im, p_im)
    tl.store(sums + 64, tl.reduce(e_re * p_re - e_im * p_im, 1, add), mask=n < 32)
    tl.store(sums + 96, tl.reduce(e_re * p_im + e_im * p_re, 1, add), mask=n < 32)


@triton.jit
def add_chunks(
    v,
    dout,
    dv,
    dx,
    sums,
    v_stride_row,
    dout_stride_row,
    dv_stride_row,
    dx_stride_row,
    seqlen,
    STEPS: tl.constexpr,
    GROUP: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # The sums of all chunks of a row, in order.
    row = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * GROUP + tl.arange(0, GROUP)
    v += 2 * row * v_stride_row
    dout += 2 * row * dout_stride_row
    v_re = tl.load(v + 2 * n, mask=n < 32, other=0.0)
    v_im = tl.load(v + 2 * n + 1, mask=n < 32, other=0.0)
    dout_re = tl.load(dout + 2 * n, mask=n < 32, other=0.0)
    dout_im = tl.load(dout + 2 * n + 1, mask=n < 32, other=0.0)
    chunks = (seqlen + STEPS * CHUNK - 1) // (STEPS * CHUNK)
    sums += row * chunks * 128 + n
    s0_re = tl.full((GROUP,), 0.0, tl.float32)
    s0_im = tl.full((GROUP,), 0.0, tl.float32)
    s1_re = tl.full((GROUP,), 0.0, tl.float32)
    s1_im = tl.full((GROUP,), 0.0, tl.float32)
    for _ in range(chunks):
        s0_re += tl.load(sums, mask=n < 32, other=0.0)
        s0_im += tl.load(sums + 32, mask=n < 32, other=0.0)
        s1_re += tl.load(sums + 64, mask=n < 32, other=0.0)
        s1_im += tl.load(sums + 96, mask=n < 32, other=0.0)
        sums += 128
    pair = 2 * n[:, None] + tl.arange(0, 2)[None, :]
    inside = n[:, None] < 32
    # dv = dout conj(s_0), dx = dout conj(v s_1).
    dv_re = dout_re * s0_re + dout_im * s0_im
    dv_im = dout_im * s0_re - dout_re * s0_im
    q_re = v_re * s1_re - v_im * s1_im
    q_im = v_re * s1_im + v_im * s1_re
    dx_re = dout_re * q_re + dout_im * q_im
    dx_im = dout_im * q_re - dout_re * q_im
    tl.store(dv + 2 * row * dv_stride_row + pair, tl.join(dv_re, dv_im), mask=inside)
    tl.store(dx + 2 * row * dx_stride_row + pair, tl.join(dx_re, dx_im), mask=inside)
