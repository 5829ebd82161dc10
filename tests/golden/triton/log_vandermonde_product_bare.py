# log_vandermonde forward, c64: product(block=64,blocks=32,exp=asm,group=16,num_warps=4,precision=tf32x3)
# out_l = 2 Re sum_n v_n exp(x_n l)
# Rendered by ssmgen from templates/triton/log_vandermonde.py.j2; source f6718da7b642e585.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


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
    out,
    v_stride_row,
    x_stride_row,
    out_stride_row,
    seqlen,
    STEPS: tl.constexpr,
    BLOCKS: tl.constexpr,
    GROUP: tl.constexpr,
):
    # out_l = Re sum_n r_n e^(x_n l), r = 2 v: a row of a product of matrices for each block of steps.
    row = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1) * BLOCKS + tl.arange(0, BLOCKS)
    j = tl.arange(0, STEPS)
    v += 2 * row * v_stride_row
    x += 2 * row * x_stride_row
    sums = tl.full((BLOCKS, STEPS), 0.0, tl.float32)
    for first in range(0, 32, GROUP):
        n = first + tl.arange(0, GROUP)
        v_re = tl.load(v + 2 * n, mask=n < 32, other=0.0)
        v_im = tl.load(v + 2 * n + 1, mask=n < 32, other=0.0)
        x_re = tl.load(x + 2 * n, mask=n < 32, other=0.0)
        x_im = tl.load(x + 2 * n + 1, mask=n < 32, other=0.0)
        A, turns, rest = rates(x_re, x_im, 1)
        e_re, e_im = power(j[None, :].to(tl.float32), A[:, None], turns[:, None], rest[:, None])
        A, turns, rest = rates(x_re, x_im, STEPS)
        s_re, s_im = power(b[:, None].to(tl.float32), A[None, :], turns[None, :], rest[None, :])
        r_re = (2.0 * v_re)[None, :]
        r_im = (2.0 * v_im)[None, :]
        sums = tl.dot(s_re * r_re - s_im * r_im, e_re, sums, input_precision="tf32x3")
        sums = tl.dot(-(s_re * r_im + s_im * r_re), e_im, sums, input_precision="tf32x3")
    l = b[:, None] * STEPS + j[None, :]
    tl.store(out + row * out_stride_row + l, sums, mask=l < seqlen)
