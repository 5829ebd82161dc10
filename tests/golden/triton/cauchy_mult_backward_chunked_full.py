# cauchy_mult backward, c64: chunked(block=32,chunk=256,reciprocal=asm)
# out_l = sum_n v_n / (z_l - w_n)
# symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole
# Rendered by ssmgen from templates/triton/cauchy_mult_backward.py.j2; source 7f9271b7e4e68a86.
import triton
import triton.language as tl


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def multiply(x_re, x_im, y_re, y_im):
    return x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re


@triton.jit
def add_term(g_re, g_im, a, d, dv_re, dv_im, dw_re, dw_im):
    # What a node z with the gradient g, at a + i d = z - w, adds: g u to dv and g u^2 to dw, up to the factor conj(v);
    # u = 1 / conj(z - w) = (a + i d) r.
    r = reciprocal(tl.fma(a, a, d * d))
    u_re = a * r
    u_im = d * r
    re, im = multiply(g_re, g_im, u_re, u_im)
    dw_re = tl.fma(re, u_re, tl.fma(-im, u_im, dw_re))
    dw_im = tl.fma(re, u_im, tl.fma(im, u_re, dw_im))
    return dv_re + re, dv_im + im, dw_re, dw_im


@triton.jit
def four(place, BLOCK: tl.constexpr):
    # Four neighbours in memory, each as a vector that is the same in every lane: broadcast in registers, no shuffle.
    values = tl.load(place + tl.arange(0, 4))
    tile = tl.permute(tl.broadcast_to(values[:, None], (4, BLOCK)), (1, 0))
    even, odd = tl.split(tl.reshape(tile, (BLOCK, 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def cauchy_mult_backward(
    z,
    w,
    dout,
    parts,
    z_stride_row,
    w_stride_row,
    dout_stride_row,
    nodes,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # With u = 1 / conj(z - w), dv = sum_l g_l u and dw = conj(v) sum_l g_l u^2.
    #
    # A lane has one pole and walks one chunk of nodes.
    row = tl.program_id(0).to(tl.int64)
    pole = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(2)
    node = chunk * CHUNK
    count = tl.minimum(nodes - node, CHUNK)
    steps = count // 4
    rest = count % 4
    z += row * z_stride_row
    dout += 2 * row * dout_stride_row
    w += 2 * (row * w_stride_row + tl.minimum(pole, 31))
    a = -tl.load(w)
    w_im = tl.load(w + 1)
    dv_re = tl.full((BLOCK,), 0.0, tl.float32)
    dv_im = tl.full((BLOCK,), 0.0, tl.float32)
    dw_re = tl.full((BLOCK,), 0.0, tl.float32)
    dw_im = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(steps):
        y0, y1, y2, y3 = four(z + node, BLOCK)
        g0_re, g0_im, g1_re, g1_im = four(dout + 2 * node, BLOCK)
        dv_re, dv_im, dw_re, dw_im = add_term(g0_re, g0_im, a, y0 - w_im, dv_re, dv_im, dw_re, dw_im)
        dv_re, dv_im, dw_re, dw_im = add_term(g1_re, g1_im, a, y1 - w_im, dv_re, dv_im, dw_re, dw_im)
        g2_re, g2_im, g3_re, g3_im = four(dout + 2 * node + 4, BLOCK)
        dv_re, dv_im, dw_re, dw_im = add_term(g2_re, g2_im, a, y2 - w_im, dv_re, dv_im, dw_re, dw_im)
        dv_re, dv_im, dw_re, dw_im = add_term(g3_re, g3_im, a, y3 - w_im, dv_re, dv_im, dw_re, dw_im)
        node += 4
    for _ in range(rest):
        y = tl.load(z + node)
        g_re = tl.load(dout + 2 * node)
        g_im = tl.load(dout + 2 * node + 1)
        dv_re, dv_im, dw_re, dw_im = add_term(g_re, g_im, a, y - w_im, dv_re, dv_im, dw_re, dw_im)
        node += 1
    inside = pole < 32
    chunks = (nodes + CHUNK - 1) // CHUNK
    parts += (row * chunks + chunk) * 128 + pole
    tl.store(parts, dv_re, mask=inside)
    tl.store(parts + 32, dv_im, mask=inside)
    tl.store(parts + 64, dw_re, mask=inside)
    tl.store(parts + 96, dw_im, mask=inside)


@triton.jit
def add_chunks(
    v,
    parts,
    dv,
    dw,
    v_stride_row,
    dv_stride_row,
    dw_stride_row,
    nodes,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # Always in the same order.
    row = tl.program_id(0).to(tl.int64)
    pole = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pole < 32
    chunks = (nodes + CHUNK - 1) // CHUNK
    part = parts + row * chunks * 128 + pole
    dv_re = tl.full((BLOCK,), 0.0, tl.float32)
    dv_im = tl.full((BLOCK,), 0.0, tl.float32)
    dw_re = tl.full((BLOCK,), 0.0, tl.float32)
    dw_im = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(chunks):
        dv_re += tl.load(part, mask=inside, other=0.0)
        dv_im += tl.load(part + 32, mask=inside, other=0.0)
        dw_re += tl.load(part + 64, mask=inside, other=0.0)
        dw_im += tl.load(part + 96, mask=inside, other=0.0)
        part += 128
    v += 2 * (row * v_stride_row + pole)
    dv += 2 * (row * dv_stride_row + pole)
    dw += 2 * (row * dw_stride_row + pole)
    dw_re, dw_im = multiply(tl.load(v, mask=inside), -tl.load(v + 1, mask=inside), dw_re, dw_im)
    tl.store(dv, dv_re, mask=inside)
    tl.store(dv + 1, dv_im, mask=inside)
    tl.store(dw, dw_re, mask=inside)
    tl.store(dw + 1, dw_im, mask=inside)


@triton.jit
def squared_inverse(a, d):
    # 1 / (a + i d)^2.
    r = reciprocal(tl.fma(a, a, d * d))
    a *= r
    d *= r
    return tl.fma(a, a, -(d * d)), -2.0 * a * d


@triton.jit
def multiply_nodes(
    v,
    z,
    w,
    dout,
    dz,
    v_stride_row,
    z_stride_row,
    w_stride_row,
    dout_stride_row,
    dz_stride_row,
    nodes,
    BLOCK: tl.constexpr,
):
    # dy = -Im(g conj(t)), t = sum_n v / (z - w)^2.
    row = tl.program_id(0).to(tl.int64)
    node = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = node < nodes
    place = tl.minimum(node, nodes - 1)
    y = tl.load(z + row * z_stride_row + place)
    v += 2 * row * v_stride_row
    w += 2 * row * w_stride_row
    t_re = tl.full((BLOCK,), 0.0, tl.float32)
    t_im = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(8):
        for _ in tl.static_range(4):
            v_re = tl.load(v)
            v_im = tl.load(v + 1)
            a = -tl.load(w)
            w_im = tl.load(w + 1)
            re, im = squared_inverse(a, y - w_im)
            t_re = tl.fma(v_re, re, tl.fma(-v_im, im, t_re))
            t_im = tl.fma(v_re, im, tl.fma(v_im, re, t_im))
            v += 2
            w += 2
    dout += 2 * (row * dout_stride_row + place)
    re, im = multiply(tl.load(dout), tl.load(dout + 1), -t_re, t_im)
    tl.store(dz + row * dz_stride_row + node, im, mask=inside)
