# selective_scan forward, fp32: sequential(block_d=128,exp=asm,num_warps=2,poly=0,stages=1,unroll=2)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_sequential.py.j2; source 8c5c1d0046e6ee5b.
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
def split4(tile, BLOCK_D: tl.constexpr):
    # The columns of a (BLOCK_D, 4) tile.
    even, odd = tl.split(tl.reshape(tile, (BLOCK_D, 2, 2)))
    c0, c2 = tl.split(even)
    c1, c3 = tl.split(odd)
    return c0, c1, c2, c3


@triton.jit
def row4(row, BLOCK_D: tl.constexpr):
    # Four neighbours, each as a vector over the channels: broadcast in registers, without a shuffle.
    values = tl.load(row + tl.arange(0, 4))
    tile = tl.broadcast_to(values[:, None], (4, BLOCK_D))
    return split4(tl.permute(tile, (1, 0)), BLOCK_D)


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
):
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    out = out + batch * out_stride_batch + channels * out_stride_dim
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
    steps = tl.arange(0, 2)[None, :]
    for _ in range(seqlen // 2):
        u_tile = tl.load(u[:, None] + steps)
        u_0, u_1 = tl.split(u_tile)
        delta_tile = tl.load(delta[:, None] + steps)
        delta_0, delta_1 = tl.split(delta_tile)
        u_t = u_0
        delta_t = delta_0
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        y0 = h0 * C0
        y0 = tl.fma(-h1, C1, y0)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        y0 = tl.fma(h2, C2, y0)
        y0 = tl.fma(-h3, C3, y0)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        y0 = tl.fma(h4, C4, y0)
        y0 = tl.fma(-h5, C5, y0)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        y0 = tl.fma(h6, C6, y0)
        y0 = tl.fma(-h7, C7, y0)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        y0 = tl.fma(h8, C8, y0)
        y0 = tl.fma(-h9, C9, y0)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        y0 = tl.fma(h10, C10, y0)
        y0 = tl.fma(-h11, C11, y0)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        y0 = tl.fma(h12, C12, y0)
        y0 = tl.fma(-h13, C13, y0)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        y0 = tl.fma(h14, C14, y0)
        y0 = tl.fma(-h15, C15, y0)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        C16, C17, C18, C19 = row4(C + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        y0 = tl.fma(h16, C16, y0)
        y0 = tl.fma(-h17, C17, y0)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        y0 = tl.fma(h18, C18, y0)
        y0 = tl.fma(-h19, C19, y0)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        C20, C21, C22, C23 = row4(C + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        y0 = tl.fma(h20, C20, y0)
        y0 = tl.fma(-h21, C21, y0)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        y0 = tl.fma(h22, C22, y0)
        y0 = tl.fma(-h23, C23, y0)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        C24, C25, C26, C27 = row4(C + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        y0 = tl.fma(h24, C24, y0)
        y0 = tl.fma(-h25, C25, y0)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        y0 = tl.fma(h26, C26, y0)
        y0 = tl.fma(-h27, C27, y0)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        C28, C29, C30, C31 = row4(C + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        y0 = tl.fma(h28, C28, y0)
        y0 = tl.fma(-h29, C29, y0)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        y0 = tl.fma(h30, C30, y0)
        y0 = tl.fma(-h31, C31, y0)
        y0 *= 2.0
        B += 32
        C += 32
        u_t = u_1
        delta_t = delta_1
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        y1 = h0 * C0
        y1 = tl.fma(-h1, C1, y1)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        y1 = tl.fma(h2, C2, y1)
        y1 = tl.fma(-h3, C3, y1)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        y1 = tl.fma(h4, C4, y1)
        y1 = tl.fma(-h5, C5, y1)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        y1 = tl.fma(h6, C6, y1)
        y1 = tl.fma(-h7, C7, y1)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        y1 = tl.fma(h8, C8, y1)
        y1 = tl.fma(-h9, C9, y1)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        y1 = tl.fma(h10, C10, y1)
        y1 = tl.fma(-h11, C11, y1)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        y1 = tl.fma(h12, C12, y1)
        y1 = tl.fma(-h13, C13, y1)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        y1 = tl.fma(h14, C14, y1)
        y1 = tl.fma(-h15, C15, y1)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        C16, C17, C18, C19 = row4(C + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        y1 = tl.fma(h16, C16, y1)
        y1 = tl.fma(-h17, C17, y1)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        y1 = tl.fma(h18, C18, y1)
        y1 = tl.fma(-h19, C19, y1)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        C20, C21, C22, C23 = row4(C + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        y1 = tl.fma(h20, C20, y1)
        y1 = tl.fma(-h21, C21, y1)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        y1 = tl.fma(h22, C22, y1)
        y1 = tl.fma(-h23, C23, y1)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        C24, C25, C26, C27 = row4(C + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        y1 = tl.fma(h24, C24, y1)
        y1 = tl.fma(-h25, C25, y1)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        y1 = tl.fma(h26, C26, y1)
        y1 = tl.fma(-h27, C27, y1)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        C28, C29, C30, C31 = row4(C + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        y1 = tl.fma(h28, C28, y1)
        y1 = tl.fma(-h29, C29, y1)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        y1 = tl.fma(h30, C30, y1)
        y1 = tl.fma(-h31, C31, y1)
        y1 *= 2.0
        B += 32
        C += 32
        tl.store(out[:, None] + steps, tl.join(y0, y1))
        u += 2
        delta += 2
        out += 2
    for _ in range(seqlen % 2):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        re, im = exp_complex(delta_t, A0, turns0, rest0)
        h0, h1 = advance(re, im, h0, h1, x * B0, x * B1)
        y = h0 * C0
        y = tl.fma(-h1, C1, y)
        re, im = exp_complex(delta_t, A1, turns1, rest1)
        h2, h3 = advance(re, im, h2, h3, x * B2, x * B3)
        y = tl.fma(h2, C2, y)
        y = tl.fma(-h3, C3, y)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        re, im = exp_complex(delta_t, A2, turns2, rest2)
        h4, h5 = advance(re, im, h4, h5, x * B4, x * B5)
        y = tl.fma(h4, C4, y)
        y = tl.fma(-h5, C5, y)
        re, im = exp_complex(delta_t, A3, turns3, rest3)
        h6, h7 = advance(re, im, h6, h7, x * B6, x * B7)
        y = tl.fma(h6, C6, y)
        y = tl.fma(-h7, C7, y)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        re, im = exp_complex(delta_t, A4, turns4, rest4)
        h8, h9 = advance(re, im, h8, h9, x * B8, x * B9)
        y = tl.fma(h8, C8, y)
        y = tl.fma(-h9, C9, y)
        re, im = exp_complex(delta_t, A5, turns5, rest5)
        h10, h11 = advance(re, im, h10, h11, x * B10, x * B11)
        y = tl.fma(h10, C10, y)
        y = tl.fma(-h11, C11, y)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        re, im = exp_complex(delta_t, A6, turns6, rest6)
        h12, h13 = advance(re, im, h12, h13, x * B12, x * B13)
        y = tl.fma(h12, C12, y)
        y = tl.fma(-h13, C13, y)
        re, im = exp_complex(delta_t, A7, turns7, rest7)
        h14, h15 = advance(re, im, h14, h15, x * B14, x * B15)
        y = tl.fma(h14, C14, y)
        y = tl.fma(-h15, C15, y)
        B16, B17, B18, B19 = row4(B + 16, BLOCK_D)
        C16, C17, C18, C19 = row4(C + 16, BLOCK_D)
        re, im = exp_complex(delta_t, A8, turns8, rest8)
        h16, h17 = advance(re, im, h16, h17, x * B16, x * B17)
        y = tl.fma(h16, C16, y)
        y = tl.fma(-h17, C17, y)
        re, im = exp_complex(delta_t, A9, turns9, rest9)
        h18, h19 = advance(re, im, h18, h19, x * B18, x * B19)
        y = tl.fma(h18, C18, y)
        y = tl.fma(-h19, C19, y)
        B20, B21, B22, B23 = row4(B + 20, BLOCK_D)
        C20, C21, C22, C23 = row4(C + 20, BLOCK_D)
        re, im = exp_complex(delta_t, A10, turns10, rest10)
        h20, h21 = advance(re, im, h20, h21, x * B20, x * B21)
        y = tl.fma(h20, C20, y)
        y = tl.fma(-h21, C21, y)
        re, im = exp_complex(delta_t, A11, turns11, rest11)
        h22, h23 = advance(re, im, h22, h23, x * B22, x * B23)
        y = tl.fma(h22, C22, y)
        y = tl.fma(-h23, C23, y)
        B24, B25, B26, B27 = row4(B + 24, BLOCK_D)
        C24, C25, C26, C27 = row4(C + 24, BLOCK_D)
        re, im = exp_complex(delta_t, A12, turns12, rest12)
        h24, h25 = advance(re, im, h24, h25, x * B24, x * B25)
        y = tl.fma(h24, C24, y)
        y = tl.fma(-h25, C25, y)
        re, im = exp_complex(delta_t, A13, turns13, rest13)
        h26, h27 = advance(re, im, h26, h27, x * B26, x * B27)
        y = tl.fma(h26, C26, y)
        y = tl.fma(-h27, C27, y)
        B28, B29, B30, B31 = row4(B + 28, BLOCK_D)
        C28, C29, C30, C31 = row4(C + 28, BLOCK_D)
        re, im = exp_complex(delta_t, A14, turns14, rest14)
        h28, h29 = advance(re, im, h28, h29, x * B28, x * B29)
        y = tl.fma(h28, C28, y)
        y = tl.fma(-h29, C29, y)
        re, im = exp_complex(delta_t, A15, turns15, rest15)
        h30, h31 = advance(re, im, h30, h31, x * B30, x * B31)
        y = tl.fma(h30, C30, y)
        y = tl.fma(-h31, C31, y)
        y *= 2.0
        B += 32
        C += 32
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
