# selective_scan forward, fp32: sequential(block_d=128,exp=asm,num_warps=1,poly=2,stages=1,unroll=4)
# h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)
# delta = softplus(delta + delta_bias) when asked
# Rendered by ssmgen from templates/triton/selective_scan_sequential.py.j2; source 4c7d9fb2ae9a6362.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def exp2_by_polynomial(x):
    # 2^x on the FMA pipe, for a few of the exponentials, which keep the special function unit busy for longer than all
    # else takes. 2^f, f in [-1/2, 1/2], is a minimax polynomial, to whose exponent whole powers are added: -127 gives 0,
    # 128 infinity.
    x = tl.minimum(tl.maximum(x, -127.0), 128.0)
    shifted = x + 12582912.0  # rounded to a whole number, in its low bits
    f = x - (shifted - 12582912.0)
    p = tl.fma(f, 0.0013267837930470705, 0.009668542072176933)
    p = tl.fma(p, f, 0.055506885051727295)
    p = tl.fma(p, f, 0.24022305011749268)
    p = tl.fma(p, f, 0.6931470632553101)
    p = tl.fma(p, f, 1.0)
    bits = p.to(tl.int32, bitcast=True) + (shifted.to(tl.int32, bitcast=True) << 23)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def split4(tile, BLOCK_D: tl.constexpr):
    # The columns of a (BLOCK_D, 4) tile.
    even, odd = tl.split(tl.reshape(tile, (BLOCK_D, 2, 2)))
    c0, c2 = tl.split(even)
    c1, c3 = tl.split(odd)
    return c0, c1, c2, c3


@triton.jit
def join4(c0, c1, c2, c3, BLOCK_D: tl.constexpr):
    # The (BLOCK_D, 4) tile of these columns.
    return tl.reshape(tl.join(tl.join(c0, c2), tl.join(c1, c3)), (BLOCK_D, 4))


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
    DIM: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    batch = tl.program_id(0).to(tl.int64)
    blocks = (DIM // 4 + BLOCK_D - 1) // BLOCK_D
    group = tl.program_id(1) // blocks
    member = tl.program_id(1) % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    channels = group * (DIM // 4) + member
    u = u + batch * u_stride_batch + channels * u_stride_dim
    delta = delta + batch * delta_stride_batch + channels * delta_stride_dim
    out = out + batch * out_stride_batch + channels * out_stride_dim
    B += (batch * 4 + group) * seqlen * 16
    C += (batch * 4 + group) * seqlen * 16
    A0 = tl.load(A + channels * 16 + 0) * 1.4426950408889634
    A1 = tl.load(A + channels * 16 + 1) * 1.4426950408889634
    A2 = tl.load(A + channels * 16 + 2) * 1.4426950408889634
    A3 = tl.load(A + channels * 16 + 3) * 1.4426950408889634
    A4 = tl.load(A + channels * 16 + 4) * 1.4426950408889634
    A5 = tl.load(A + channels * 16 + 5) * 1.4426950408889634
    A6 = tl.load(A + channels * 16 + 6) * 1.4426950408889634
    A7 = tl.load(A + channels * 16 + 7) * 1.4426950408889634
    A8 = tl.load(A + channels * 16 + 8) * 1.4426950408889634
    A9 = tl.load(A + channels * 16 + 9) * 1.4426950408889634
    A10 = tl.load(A + channels * 16 + 10) * 1.4426950408889634
    A11 = tl.load(A + channels * 16 + 11) * 1.4426950408889634
    A12 = tl.load(A + channels * 16 + 12) * 1.4426950408889634
    A13 = tl.load(A + channels * 16 + 13) * 1.4426950408889634
    A14 = tl.load(A + channels * 16 + 14) * 1.4426950408889634
    A15 = tl.load(A + channels * 16 + 15) * 1.4426950408889634
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
    steps = tl.arange(0, 4)[None, :]
    for _ in range(seqlen // 4):
        u_tile = tl.load(u[:, None] + steps)
        u_0, u_1, u_2, u_3 = split4(u_tile, BLOCK_D)
        delta_tile = tl.load(delta[:, None] + steps)
        delta_0, delta_1, delta_2, delta_3 = split4(delta_tile, BLOCK_D)
        u_t = u_0
        delta_t = delta_0
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y0 = h0 * C0
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        y0 = tl.fma(h1, C1, y0)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        y0 = tl.fma(h2, C2, y0)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        y0 = tl.fma(h3, C3, y0)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        y0 = tl.fma(h4, C4, y0)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        y0 = tl.fma(h5, C5, y0)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        y0 = tl.fma(h6, C6, y0)
        h7 = tl.fma(exp2_by_polynomial(delta_t * A7), h7, x * B7)
        y0 = tl.fma(h7, C7, y0)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        y0 = tl.fma(h8, C8, y0)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        y0 = tl.fma(h9, C9, y0)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        y0 = tl.fma(h10, C10, y0)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        y0 = tl.fma(h11, C11, y0)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        y0 = tl.fma(h12, C12, y0)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        y0 = tl.fma(h13, C13, y0)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        y0 = tl.fma(h14, C14, y0)
        h15 = tl.fma(exp2_by_polynomial(delta_t * A15), h15, x * B15)
        y0 = tl.fma(h15, C15, y0)
        B += 16
        C += 16
        u_t = u_1
        delta_t = delta_1
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y1 = h0 * C0
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        y1 = tl.fma(h1, C1, y1)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        y1 = tl.fma(h2, C2, y1)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        y1 = tl.fma(h3, C3, y1)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        y1 = tl.fma(h4, C4, y1)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        y1 = tl.fma(h5, C5, y1)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        y1 = tl.fma(h6, C6, y1)
        h7 = tl.fma(exp2_by_polynomial(delta_t * A7), h7, x * B7)
        y1 = tl.fma(h7, C7, y1)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        y1 = tl.fma(h8, C8, y1)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        y1 = tl.fma(h9, C9, y1)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        y1 = tl.fma(h10, C10, y1)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        y1 = tl.fma(h11, C11, y1)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        y1 = tl.fma(h12, C12, y1)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        y1 = tl.fma(h13, C13, y1)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        y1 = tl.fma(h14, C14, y1)
        h15 = tl.fma(exp2_by_polynomial(delta_t * A15), h15, x * B15)
        y1 = tl.fma(h15, C15, y1)
        B += 16
        C += 16
        u_t = u_2
        delta_t = delta_2
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y2 = h0 * C0
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        y2 = tl.fma(h1, C1, y2)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        y2 = tl.fma(h2, C2, y2)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        y2 = tl.fma(h3, C3, y2)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        y2 = tl.fma(h4, C4, y2)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        y2 = tl.fma(h5, C5, y2)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        y2 = tl.fma(h6, C6, y2)
        h7 = tl.fma(exp2_by_polynomial(delta_t * A7), h7, x * B7)
        y2 = tl.fma(h7, C7, y2)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        y2 = tl.fma(h8, C8, y2)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        y2 = tl.fma(h9, C9, y2)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        y2 = tl.fma(h10, C10, y2)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        y2 = tl.fma(h11, C11, y2)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        y2 = tl.fma(h12, C12, y2)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        y2 = tl.fma(h13, C13, y2)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        y2 = tl.fma(h14, C14, y2)
        h15 = tl.fma(exp2_by_polynomial(delta_t * A15), h15, x * B15)
        y2 = tl.fma(h15, C15, y2)
        B += 16
        C += 16
        u_t = u_3
        delta_t = delta_3
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y3 = h0 * C0
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        y3 = tl.fma(h1, C1, y3)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        y3 = tl.fma(h2, C2, y3)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        y3 = tl.fma(h3, C3, y3)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        y3 = tl.fma(h4, C4, y3)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        y3 = tl.fma(h5, C5, y3)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        y3 = tl.fma(h6, C6, y3)
        h7 = tl.fma(exp2_by_polynomial(delta_t * A7), h7, x * B7)
        y3 = tl.fma(h7, C7, y3)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        y3 = tl.fma(h8, C8, y3)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        y3 = tl.fma(h9, C9, y3)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        y3 = tl.fma(h10, C10, y3)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        y3 = tl.fma(h11, C11, y3)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        y3 = tl.fma(h12, C12, y3)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        y3 = tl.fma(h13, C13, y3)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        y3 = tl.fma(h14, C14, y3)
        h15 = tl.fma(exp2_by_polynomial(delta_t * A15), h15, x * B15)
        y3 = tl.fma(h15, C15, y3)
        B += 16
        C += 16
        tl.store(out[:, None] + steps, join4(y0, y1, y2, y3, BLOCK_D))
        u += 4
        delta += 4
        out += 4
    for _ in range(seqlen % 4):
        u_t = tl.load(u)
        delta_t = tl.load(delta)
        x = delta_t * u_t
        B0, B1, B2, B3 = row4(B, BLOCK_D)
        C0, C1, C2, C3 = row4(C, BLOCK_D)
        h0 = tl.fma(exp2(delta_t * A0), h0, x * B0)
        y = h0 * C0
        h1 = tl.fma(exp2(delta_t * A1), h1, x * B1)
        y = tl.fma(h1, C1, y)
        h2 = tl.fma(exp2(delta_t * A2), h2, x * B2)
        y = tl.fma(h2, C2, y)
        h3 = tl.fma(exp2(delta_t * A3), h3, x * B3)
        y = tl.fma(h3, C3, y)
        B4, B5, B6, B7 = row4(B + 4, BLOCK_D)
        C4, C5, C6, C7 = row4(C + 4, BLOCK_D)
        h4 = tl.fma(exp2(delta_t * A4), h4, x * B4)
        y = tl.fma(h4, C4, y)
        h5 = tl.fma(exp2(delta_t * A5), h5, x * B5)
        y = tl.fma(h5, C5, y)
        h6 = tl.fma(exp2(delta_t * A6), h6, x * B6)
        y = tl.fma(h6, C6, y)
        h7 = tl.fma(exp2_by_polynomial(delta_t * A7), h7, x * B7)
        y = tl.fma(h7, C7, y)
        B8, B9, B10, B11 = row4(B + 8, BLOCK_D)
        C8, C9, C10, C11 = row4(C + 8, BLOCK_D)
        h8 = tl.fma(exp2(delta_t * A8), h8, x * B8)
        y = tl.fma(h8, C8, y)
        h9 = tl.fma(exp2(delta_t * A9), h9, x * B9)
        y = tl.fma(h9, C9, y)
        h10 = tl.fma(exp2(delta_t * A10), h10, x * B10)
        y = tl.fma(h10, C10, y)
        h11 = tl.fma(exp2(delta_t * A11), h11, x * B11)
        y = tl.fma(h11, C11, y)
        B12, B13, B14, B15 = row4(B + 12, BLOCK_D)
        C12, C13, C14, C15 = row4(C + 12, BLOCK_D)
        h12 = tl.fma(exp2(delta_t * A12), h12, x * B12)
        y = tl.fma(h12, C12, y)
        h13 = tl.fma(exp2(delta_t * A13), h13, x * B13)
        y = tl.fma(h13, C13, y)
        h14 = tl.fma(exp2(delta_t * A14), h14, x * B14)
        y = tl.fma(h14, C14, y)
        h15 = tl.fma(exp2_by_polynomial(delta_t * A15), h15, x * B15)
        y = tl.fma(h15, C15, y)
        B += 16
        C += 16
        tl.store(out, y)
        u += 1
        delta += 1
        out += 1
