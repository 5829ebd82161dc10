# cauchy_mult forward, c64: imaginary(block=256,num_warps=1,reciprocal=asm,unroll=4)
# out_l = sum_n v_n / (z_l - w_n)
# symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
# Rendered by ssmgen from templates/triton/cauchy_mult_imaginary.py.j2; source 071aa1dbc089f2a4.
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
    # A conjugate pair at a node z = i y: v / (z - w) + conj(v) / (z - conj(w)) = 2 (s + i y Re v) / (p + i q), where
    # a = -Re w, s = a Re v - Im v Im w and p + i q = a^2 - (y - Im w) (y + Im w) + 2 i a y: factored, since expanded it
    # cancels. With r = 1 / (p^2 + q^2) that is 2 r (s p + y^2 2 a Re v + i y (p Re v - 2 a s)): s does not depend on
    # the node, and what depends on the node alone is left to the end.
    #
    # Complex numbers are pairs of reals. Poles and nodes are scaled alike, exactly, so that products of distances
    # stay in range where |z - w| |z - conj(w)| > 2^-43. A node beyond 2^40, as Nyquist's is in floating point, is
    # moved there along its ray and its sum scaled back: for poles below 2^17 the same to rounding, and finite.
    scale: tl.constexpr = 0.0009765625
    limit: tl.constexpr = 1073741824.0
    row = tl.program_id(0).to(tl.int64)
    node = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    y = tl.load(z + row * z_stride_row + node, mask=node < nodes, other=0.0) * scale
    shrink = limit / tl.maximum(tl.abs(y), limit)
    y *= shrink
    v += 2 * row * v_stride_row
    w += 2 * row * w_stride_row
    y_squared = y * y
    sp = tl.full((BLOCK,), 0.0, tl.float32)
    vr = tl.full((BLOCK,), 0.0, tl.float32)
    t = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(8):
        for _ in tl.static_range(4):
            v_real = tl.load(v)
            w_imag = tl.load(w + 1) * scale
            a = -tl.load(w) * scale
            a2 = 2.0 * a
            s = tl.fma(a, v_real, -(tl.load(v + 1) * w_imag))
            p = tl.fma(w_imag - y, y + w_imag, a * a)
            r = reciprocal(tl.fma(p, p, a2 * a2 * y_squared))
            p *= r
            sp = tl.fma(s, p, sp)
            vr = tl.fma(v_real * a2, r, vr)
            t = tl.fma(v_real, p, tl.fma(s * -a2, r, t))
            v += 2
            w += 2
    shrink *= 2.0 * scale
    real = tl.fma(y_squared, vr, sp) * shrink
    imag = y * t * shrink
    pair = 2 * node[:, None] + tl.arange(0, 2)[None, :]
    inside = node[:, None] < nodes
    tl.store(out + 2 * row * out_stride_row + pair, tl.join(real, imag), mask=inside)
