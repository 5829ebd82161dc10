# selective_scan forward, fp32: associative(block_d=1,block_l=128,exp=asm,num_warps=1,stages=1)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_associative.py.j2; source 40b349f72f492141.
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
def combine(a_re, a_im, h_re, h_im, next_re, next_im, b_re, b_im):
    # h -> a h + state, then h -> next a h + next state, of complex numbers.
    re, im = advance(next_re, next_im, h_re, h_im, b_re, b_im)
    return a_re * next_re - a_im * next_im, a_re * next_im + a_im * next_re, re, im


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
    BLOCK_L: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u += batch * u_stride_batch
    delta += batch * delta_stride_batch
    out += batch * out_stride_batch
    B += batch * seqlen * 32
    C += batch * seqlen * 32
    A0 = tl.load(A + channels * 32 + 0) * 1.4426950408889634
    turns0, rest0 = half_turns(tl.load(A + channels * 32 + 1))
    A1 = tl.load(A + channels * 32 + 2) * 1.4426950408889634
    turns1, rest1 = half_turns(tl.load(A + channels * 32 + 3))
    A2 = tl.load(A + channels * 32 + 4) * 1.4426950408889634
    turns2, rest2 = half_turns(tl.load(A + channels * 32 + 5))
    A3 = tl.load(A + channels * 32 + 6) * 1.4426950408889634
    turns3, rest3 = half_turns(tl.load(A + channels * 32 + 7))
    A4 = tl.load(A + channels * 32 + 8) * 1.4426950408889634
    turns4, rest4 = half_turns(tl.load(A + channels * 32 + 9))
    A5 = tl.load(A + channels * 32 + 10) * 1.4426950408889634
    turns5, rest5 = half_turns(tl.load(A + channels * 32 + 11))
    A6 = tl.load(A + channels * 32 + 12) * 1.4426950408889634
    turns6, rest6 = half_turns(tl.load(A + channels * 32 + 13))
    A7 = tl.load(A + channels * 32 + 14) * 1.4426950408889634
    turns7, rest7 = half_turns(tl.load(A + channels * 32 + 15))
    A8 = tl.load(A + channels * 32 + 16) * 1.4426950408889634
    turns8, rest8 = half_turns(tl.load(A + channels * 32 + 17))
    A9 = tl.load(A + channels * 32 + 18) * 1.4426950408889634
    turns9, rest9 = half_turns(tl.load(A + channels * 32 + 19))
    A10 = tl.load(A + channels * 32 + 20) * 1.4426950408889634
    turns10, rest10 = half_turns(tl.load(A + channels * 32 + 21))
    A11 = tl.load(A + channels * 32 + 22) * 1.4426950408889634
    turns11, rest11 = half_turns(tl.load(A + channels * 32 + 23))
    A12 = tl.load(A + channels * 32 + 24) * 1.4426950408889634
    turns12, rest12 = half_turns(tl.load(A + channels * 32 + 25))
    A13 = tl.load(A + channels * 32 + 26) * 1.4426950408889634
    turns13, rest13 = half_turns(tl.load(A + channels * 32 + 27))
    A14 = tl.load(A + channels * 32 + 28) * 1.4426950408889634
    turns14, rest14 = half_turns(tl.load(A + channels * 32 + 29))
    A15 = tl.load(A + channels * 32 + 30) * 1.4426950408889634
    turns15, rest15 = half_turns(tl.load(A + channels * 32 + 31))
    h0 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h1 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h2 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h3 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h4 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h5 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h6 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h7 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h8 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h9 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h10 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h11 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h12 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h13 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h14 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h15 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h16 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h17 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h18 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h19 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h20 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h21 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h22 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h23 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h24 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h25 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h26 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h27 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h28 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h29 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h30 = tl.full((BLOCK_D,), 0.0, tl.float32)
    h31 = tl.full((BLOCK_D,), 0.0, tl.float32)
    within = tl.arange(0, BLOCK_L)
    last = within[None, :] == BLOCK_L - 1
    for start in range(0, seqlen, BLOCK_L):
        during = start + within < seqlen
        present = during[None, :]
        time = (start + within).to(tl.int64)[None, :]
        u_offsets = channels[:, None] * u_stride_dim + time
        u_tile = tl.load(u + u_offsets, mask=present, other=0.0)
        delta_offsets = channels[:, None] * delta_stride_dim + time
        delta_tile = tl.load(delta + delta_offsets, mask=present, other=0.0)
        x = delta_tile * u_tile
        B_row = B + (start + within).to(tl.int64) * 32
        C_row = C + (start + within).to(tl.int64) * 32
        B0_t = tl.load(B_row, mask=during, other=0.0)[None, :]
        C0_t = tl.load(C_row, mask=during, other=0.0)[None, :]
        B1_t = tl.load(B_row + 1, mask=during, other=0.0)[None, :]
        C1_t = tl.load(C_row + 1, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A0[:, None], turns0[:, None], rest0[:, None])
        steps = (a_re, a_im, x * B0_t, x * B1_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h0[:, None], h1[:, None], h_re, h_im)
        pairs = h_re * C0_t - h_im * C1_t
        h0 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h1 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B2_t = tl.load(B_row + 2, mask=during, other=0.0)[None, :]
        C2_t = tl.load(C_row + 2, mask=during, other=0.0)[None, :]
        B3_t = tl.load(B_row + 3, mask=during, other=0.0)[None, :]
        C3_t = tl.load(C_row + 3, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A1[:, None], turns1[:, None], rest1[:, None])
        steps = (a_re, a_im, x * B2_t, x * B3_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h2[:, None], h3[:, None], h_re, h_im)
        pairs += h_re * C2_t - h_im * C3_t
        h2 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h3 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B4_t = tl.load(B_row + 4, mask=during, other=0.0)[None, :]
        C4_t = tl.load(C_row + 4, mask=during, other=0.0)[None, :]
        B5_t = tl.load(B_row + 5, mask=during, other=0.0)[None, :]
        C5_t = tl.load(C_row + 5, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A2[:, None], turns2[:, None], rest2[:, None])
        steps = (a_re, a_im, x * B4_t, x * B5_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h4[:, None], h5[:, None], h_re, h_im)
        pairs += h_re * C4_t - h_im * C5_t
        h4 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h5 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B6_t = tl.load(B_row + 6, mask=during, other=0.0)[None, :]
        C6_t = tl.load(C_row + 6, mask=during, other=0.0)[None, :]
        B7_t = tl.load(B_row + 7, mask=during, other=0.0)[None, :]
        C7_t = tl.load(C_row + 7, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A3[:, None], turns3[:, None], rest3[:, None])
        steps = (a_re, a_im, x * B6_t, x * B7_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h6[:, None], h7[:, None], h_re, h_im)
        pairs += h_re * C6_t - h_im * C7_t
        h6 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h7 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B8_t = tl.load(B_row + 8, mask=during, other=0.0)[None, :]
        C8_t = tl.load(C_row + 8, mask=during, other=0.0)[None, :]
        B9_t = tl.load(B_row + 9, mask=during, other=0.0)[None, :]
        C9_t = tl.load(C_row + 9, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A4[:, None], turns4[:, None], rest4[:, None])
        steps = (a_re, a_im, x * B8_t, x * B9_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h8[:, None], h9[:, None], h_re, h_im)
        pairs += h_re * C8_t - h_im * C9_t
        h8 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h9 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B10_t = tl.load(B_row + 10, mask=during, other=0.0)[None, :]
        C10_t = tl.load(C_row + 10, mask=during, other=0.0)[None, :]
        B11_t = tl.load(B_row + 11, mask=during, other=0.0)[None, :]
        C11_t = tl.load(C_row + 11, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A5[:, None], turns5[:, None], rest5[:, None])
        steps = (a_re, a_im, x * B10_t, x * B11_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h10[:, None], h11[:, None], h_re, h_im)
        pairs += h_re * C10_t - h_im * C11_t
        h10 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h11 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B12_t = tl.load(B_row + 12, mask=during, other=0.0)[None, :]
        C12_t = tl.load(C_row + 12, mask=during, other=0.0)[None, :]
        B13_t = tl.load(B_row + 13, mask=during, other=0.0)[None, :]
        C13_t = tl.load(C_row + 13, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A6[:, None], turns6[:, None], rest6[:, None])
        steps = (a_re, a_im, x * B12_t, x * B13_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h12[:, None], h13[:, None], h_re, h_im)
        pairs += h_re * C12_t - h_im * C13_t
        h12 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h13 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B14_t = tl.load(B_row + 14, mask=during, other=0.0)[None, :]
        C14_t = tl.load(C_row + 14, mask=during, other=0.0)[None, :]
        B15_t = tl.load(B_row + 15, mask=during, other=0.0)[None, :]
        C15_t = tl.load(C_row + 15, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A7[:, None], turns7[:, None], rest7[:, None])
        steps = (a_re, a_im, x * B14_t, x * B15_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h14[:, None], h15[:, None], h_re, h_im)
        pairs += h_re * C14_t - h_im * C15_t
        h14 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h15 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B16_t = tl.load(B_row + 16, mask=during, other=0.0)[None, :]
        C16_t = tl.load(C_row + 16, mask=during, other=0.0)[None, :]
        B17_t = tl.load(B_row + 17, mask=during, other=0.0)[None, :]
        C17_t = tl.load(C_row + 17, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A8[:, None], turns8[:, None], rest8[:, None])
        steps = (a_re, a_im, x * B16_t, x * B17_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h16[:, None], h17[:, None], h_re, h_im)
        pairs += h_re * C16_t - h_im * C17_t
        h16 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h17 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B18_t = tl.load(B_row + 18, mask=during, other=0.0)[None, :]
        C18_t = tl.load(C_row + 18, mask=during, other=0.0)[None, :]
        B19_t = tl.load(B_row + 19, mask=during, other=0.0)[None, :]
        C19_t = tl.load(C_row + 19, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A9[:, None], turns9[:, None], rest9[:, None])
        steps = (a_re, a_im, x * B18_t, x * B19_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h18[:, None], h19[:, None], h_re, h_im)
        pairs += h_re * C18_t - h_im * C19_t
        h18 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h19 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B20_t = tl.load(B_row + 20, mask=during, other=0.0)[None, :]
        C20_t = tl.load(C_row + 20, mask=during, other=0.0)[None, :]
        B21_t = tl.load(B_row + 21, mask=during, other=0.0)[None, :]
        C21_t = tl.load(C_row + 21, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A10[:, None], turns10[:, None], rest10[:, None])
        steps = (a_re, a_im, x * B20_t, x * B21_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h20[:, None], h21[:, None], h_re, h_im)
        pairs += h_re * C20_t - h_im * C21_t
        h20 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h21 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B22_t = tl.load(B_row + 22, mask=during, other=0.0)[None, :]
        C22_t = tl.load(C_row + 22, mask=during, other=0.0)[None, :]
        B23_t = tl.load(B_row + 23, mask=during, other=0.0)[None, :]
        C23_t = tl.load(C_row + 23, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A11[:, None], turns11[:, None], rest11[:, None])
        steps = (a_re, a_im, x * B22_t, x * B23_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h22[:, None], h23[:, None], h_re, h_im)
        pairs += h_re * C22_t - h_im * C23_t
        h22 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h23 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B24_t = tl.load(B_row + 24, mask=during, other=0.0)[None, :]
        C24_t = tl.load(C_row + 24, mask=during, other=0.0)[None, :]
        B25_t = tl.load(B_row + 25, mask=during, other=0.0)[None, :]
        C25_t = tl.load(C_row + 25, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A12[:, None], turns12[:, None], rest12[:, None])
        steps = (a_re, a_im, x * B24_t, x * B25_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h24[:, None], h25[:, None], h_re, h_im)
        pairs += h_re * C24_t - h_im * C25_t
        h24 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h25 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B26_t = tl.load(B_row + 26, mask=during, other=0.0)[None, :]
        C26_t = tl.load(C_row + 26, mask=during, other=0.0)[None, :]
        B27_t = tl.load(B_row + 27, mask=during, other=0.0)[None, :]
        C27_t = tl.load(C_row + 27, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A13[:, None], turns13[:, None], rest13[:, None])
        steps = (a_re, a_im, x * B26_t, x * B27_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h26[:, None], h27[:, None], h_re, h_im)
        pairs += h_re * C26_t - h_im * C27_t
        h26 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h27 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B28_t = tl.load(B_row + 28, mask=during, other=0.0)[None, :]
        C28_t = tl.load(C_row + 28, mask=during, other=0.0)[None, :]
        B29_t = tl.load(B_row + 29, mask=during, other=0.0)[None, :]
        C29_t = tl.load(C_row + 29, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A14[:, None], turns14[:, None], rest14[:, None])
        steps = (a_re, a_im, x * B28_t, x * B29_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h28[:, None], h29[:, None], h_re, h_im)
        pairs += h_re * C28_t - h_im * C29_t
        h28 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h29 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        B30_t = tl.load(B_row + 30, mask=during, other=0.0)[None, :]
        C30_t = tl.load(C_row + 30, mask=during, other=0.0)[None, :]
        B31_t = tl.load(B_row + 31, mask=during, other=0.0)[None, :]
        C31_t = tl.load(C_row + 31, mask=during, other=0.0)[None, :]
        a_re, a_im = exp_complex(delta_tile, A15[:, None], turns15[:, None], rest15[:, None])
        steps = (a_re, a_im, x * B30_t, x * B31_t)
        a_re, a_im, h_re, h_im = tl.associative_scan(steps, 1, combine)
        h_re, h_im = advance(a_re, a_im, h30[:, None], h31[:, None], h_re, h_im)
        pairs += h_re * C30_t - h_im * C31_t
        h30 = tl.reduce(tl.where(last, h_re, 0.0), 1, add)
        h31 = tl.reduce(tl.where(last, h_im, 0.0), 1, add)
        y = 2.0 * pairs
        out_offsets = channels[:, None] * out_stride_dim + time
        tl.store(out + out_offsets, y, mask=present)
