# cauchy_mult forward, c64: factored(block=256,num_warps=1,reciprocal=asm,unroll=4)
# out_l = sum_n v_n / (z_l - w_n)
# symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
# Rendered by ssmgen from templates/triton/cauchy_mult_factored.py.j2; source e3e8b25b45662bee.
import triton
import triton.language as tl


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
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
    # A conjugate pair: v / (z - w) + conj(v) / (z - conj(w)) = 2 (s + i y Re v) / (p + i q), where a = x - Re w,
    # s = a Re v - Im v Im w and p + i q = (z - w) (z - conj(w)) = a^2 - (y - Im w) (y + Im w) + 2 i a y: factored,
    # since expanded it cancels. The sums vp and vq have the factor y in common.
    #
    # Complex numbers are pairs of reals. Poles and nodes are scaled alike, exactly, so that products of distances
    # stay in range where |z - w| |z - conj(w)| > 2^-43. A node beyond 2^40, as Nyquist's is in floating point, is
    # moved there along its ray and its sum scaled back: for poles below 2^17 the same to rounding, and finite.
    scale: tl.constexpr = 0.0009765625
    limit: tl.constexpr = 1073741824.0
    row = tl.program_id(0).to(tl.int64)
    node = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    pair = 2 * node[:, None] + tl.arange(0, 2)[None, :]
    inside = node[:, None] < nodes
    x, y = tl.split(tl.load(z + 2 * row * z_stride_row + pair, mask=inside, other=0.0) * scale)
    shrink = limit / tl.maximum(tl.maximum(tl.abs(x), tl.abs(y)), limit)
    x *= shrink
    y *= shrink
    v += 2 * row * v_stride_row
    w += 2 * row * w_stride_row
    y2 = 2.0 * y
    sp = tl.full((BLOCK,), 0.0, tl.float32)
    sq = tl.full((BLOCK,), 0.0, tl.float32)
    vp = tl.full((BLOCK,), 0.0, tl.float32)
    vq = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(8):
        for _ in tl.static_range(4):
            v_real = tl.load(v)
            w_real = tl.load(w) * scale
            w_imag = tl.load(w + 1) * scale
            vw_imag = tl.load(v + 1) * w_imag
            a = x - w_real
            p = tl.fma(a, a, -((y - w_imag) * (y + w_imag)))
            q = a * y2
            r = reciprocal(tl.fma(p, p, q * q))
            p *= r
            q *= r
            s = tl.fma(a, v_real, -vw_imag)
            sp = tl.fma(s, p, sp)
            sq = tl.fma(s, q, sq)
            vp = tl.fma(v_real, p, vp)
            vq = tl.fma(v_real, q, vq)
            v += 2
            w += 2
    shrink *= 2.0 * scale
    real = tl.fma(y, vq, sp) * shrink
    imag = tl.fma(y, vp, -sq) * shrink
    tl.store(out + 2 * row * out_stride_row + pair, tl.join(real, imag), mask=inside)
