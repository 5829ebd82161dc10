# cauchy_mult forward, c64: two_term(block=256,num_warps=1,reciprocal=asm,unroll=4)
# out_l = sum_n v_n / (z_l - w_n)
# symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
# Rendered by ssmgen from templates/triton/cauchy_mult_two_term.py.j2; source 72f6e4862bdda4a9.
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
    # One reciprocal for each pole and node: v / d = v conj(d) / |d|^2.
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
    real = tl.full((BLOCK,), 0.0, tl.float32)
    imag = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(8):
        for _ in tl.static_range(4):
            v_real = tl.load(v)
            v_imag = tl.load(v + 1)
            w_imag = tl.load(w + 1) * scale
            a = -tl.load(w) * scale
            b = y - w_imag
            r = reciprocal(tl.fma(a, a, b * b))
            real = tl.fma(tl.fma(v_real, a, v_imag * b), r, real)
            imag = tl.fma(tl.fma(v_imag, a, -(v_real * b)), r, imag)
            v += 2
            w += 2
    real *= shrink * scale
    imag *= shrink * scale
    pair = 2 * node[:, None] + tl.arange(0, 2)[None, :]
    inside = node[:, None] < nodes
    tl.store(out + 2 * row * out_stride_row + pair, tl.join(real, imag), mask=inside)
