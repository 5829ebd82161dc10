# cauchy_mult forward, c64: factored(block=128,num_warps=1,reciprocal=asm,unroll=4)
# out_l = sum_n v_n / (z_l - w_n)
# symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
# Rendered by ssmgen from templates/triton/cauchy_mult_factored.py.j2; source 624bb12d88ed91ab.
import triton
import triton.language as tl


@triton.jit
def inverse(x):
    # One MUFU instruction: the scale below keeps its argument in range.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def cauchy_mult(
    v,
    z,
    w,
    out,
    v_stride_row,
    z_stride_row,
    w_stride_row,
    out_stride_row,
    nodes,
    BLOCK: tl.constexpr,
):
    # A conjugate pair: v / (z - w) + conj(v) / (z - conj(w)) = 2 ((z - Re w) Re v - Im v Im w) / ((z - w) (z - conj(w))).
    # With a = x - Re w the denominator is a^2 - (y - Im w) (y + Im w) + 2 i a y: factored, since expanded it cancels.
    # Complex numbers are pairs of reals. Poles and nodes are scaled alike, exactly, so that products of distances
    # neither overflow for nodes close to Nyquist nor underflow.
    scale: tl.constexpr = 0.0009765625
    row = tl.program_id(0).to(tl.int64)
    node = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    pair = 2 * node[:, None] + tl.arange(0, 2)[None, :]
    inside = node[:, None] < nodes
    x, y = tl.split(tl.load(z + 2 * row * z_stride_row + pair, mask=inside, other=0.0) * scale)
    v += 2 * row * v_stride_row
    w += 2 * row * w_stride_row
    real = tl.full((BLOCK,), 0.0, tl.float32)
    imag = tl.full((BLOCK,), 0.0, tl.float32)
    y2 = 2.0 * y
    for _ in range(8):
        for _ in tl.static_range(4):
            v_real = tl.load(v) * (2.0 * scale)
            w_real = tl.load(w) * scale
            w_imag = tl.load(w + 1) * scale
            vw_imag = tl.load(v + 1) * (2.0 * scale) * w_imag
            a = x - w_real
            p = tl.fma(a, a, -((y - w_imag) * (y + w_imag)))
            q = a * y2
            r = inverse(tl.fma(p, p, q * q))
            s = tl.fma(a, v_real, -vw_imag)
            t = y * v_real
            real = tl.fma(tl.fma(s, p, t * q), r, real)
            imag = tl.fma(tl.fma(t, p, -(s * q)), r, imag)
            v += 2
            w += 2
    tl.store(out + 2 * row * out_stride_row + pair, tl.join(real, imag), mask=inside)
