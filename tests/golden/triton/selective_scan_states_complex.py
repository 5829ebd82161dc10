# selective_scan forward, fp32: states(block_d=8,exp=asm,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_states.py.j2; source a32856c928de9df5.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def half_turns(x):
    # x / pi as a sum of two parts.
    wide = x.to(tl.float64) * 0.3183098861837907
    turns = wide.to(tl.float32)
    return turns, (wide - turns).to(tl.float32)


@triton.jit
def exp_complex(x, A, turns, rest):
    # exp(x (A ln 2 + i pi (turns + rest))). Whole half-turns are a sign; of what is left, f in [-1/2, 1/2], cos and sin
    # are minimax polynomials, which keep small phases exact where hardware's sine keeps 21 bits after the point.
    shifted = tl.fma(x, turns, 12582912.0)  # whole half-turns in its low bits
    f = tl.fma(x, rest, tl.fma(x, turns, 12582912.0 - shifted))
    q = f * f
    size = exp2(x * A).to(tl.int32, bitcast=True) ^ (shifted.to(tl.int32, bitcast=True) << 31)
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
def advance(a_re, a_im, h_re, h_im, b_re, b_im):
    # a h + b.
    return tl.fma(a_re, h_re, tl.fma(-a_im, h_im, b_re)), tl.fma(a_re, h_im, tl.fma(a_im, h_re, b_im))


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def selective_scan(
    u,
    delta,
    A,
    B,
    C,
    out,
    u_stride_batch,
    u_stride_dim,
    delta_stride_batch,
    delta_stride_dim,
    out_stride_batch,
    out_stride_dim,
    seqlen,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    out = out + batch * out_stride_batch + channels * out_stride_dim
    n = tl.arange(0, BLOCK_N)
    weights = channels[:, None] * 32 + 2 * n[None, :]
    B += batch * seqlen * 32
    C += batch * seqlen * 32
    # Padded states have A = B = 0 and stay 0.
    A_n = tl.load(A + weights) * 1.4426950408889634
    turns, rest = half_turns(tl.load(A + weights + 1))
    h_re = tl.full((BLOCK_D, BLOCK_N), 0.0, tl.float32)
    h_im = tl.full((BLOCK_D, BLOCK_N), 0.0, tl.float32)
    for _ in range(seqlen):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        B_re = tl.load(B + 2 * n)[None, :]
        B_im = tl.load(B + 2 * n + 1)[None, :]
        C_re = tl.load(C + 2 * n)[None, :]
        C_im = tl.load(C + 2 * n + 1)[None, :]
        x = (delta_t * u_t)[:, None]
        re, im = exp_complex(delta_t[:, None], A_n, turns, rest)
        h_re, h_im = advance(re, im, h_re, h_im, x * B_re, x * B_im)
        y = 2.0 * tl.reduce(h_re * C_re - h_im * C_im, 1, add)
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
        B += 32
        C += 32
