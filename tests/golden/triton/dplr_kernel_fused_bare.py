# dplr_kernel forward, c64: fused(block=128,num_warps=1,reciprocal=asm,unroll=4)
# out = (1 + i tan(phi)) (R_CB - R_CP (1 + R_QP)^-1 R_QB),  phi = pi k / seqlen,  z = 2 i tan(phi) / step
# R_XY = sum_n conj(X_n) Y_n / (z - Lambda_n), pairs: + X_n conj(Y_n) / (z - conj(Lambda_n))
# Rendered by ssmgen from templates/triton/dplr_kernel_fused.py.j2; source b45151665d88d78a.
import triton
import triton.language as tl


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


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
def multiply(x_re, x_im, y_re, y_im):
    return x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re


@triton.jit
def plus(z_re, z_im, x_re, x_im, y_re, y_im):
    # z + x y.
    return tl.fma(x_re, y_re, tl.fma(-x_im, y_im, z_re)), tl.fma(x_re, y_im, tl.fma(x_im, y_re, z_im))


@triton.jit
def invert(x_re, x_im):
    size = 1.0 / tl.fma(x_re, x_re, x_im * x_im)
    return x_re * size, -x_im * size


@triton.jit
def sine(turns):
    # sin(pi turns) for at most half a turn: a minimax polynomial, exact to rounding also where the sine is small.
    q = turns * turns
    s = q * 7.682698405194318e-07 + -2.190188807218315e-05
    s = s * q + 0.0004662991115733069
    s = s * q + -0.007370430342218564
    s = s * q + 0.08214588655145476
    s = s * q + -0.5992645293173229
    s = s * q + 2.5501640398772363
    s = s * q + -5.1677127800499685
    s = s * q + 1.1630256959862853e-16
    return turns * 3.141592653589793 + turns * s


@triton.jit
def place_nodes(
    tangents,
    seqlen,
    BLOCK: tl.constexpr,
):
    # tan(phi) of phi = pi k / seqlen; cos(phi) = sin(pi / 2 - phi) keeps its digits near Nyquist, where the tangent,
    # in truth infinite, is huge.
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    length = seqlen.to(tl.float64)
    cosine = sine((seqlen - 2 * k).to(tl.float64) / (2.0 * length))
    tangent = sine(k.to(tl.float64) / length) / tl.maximum(cosine, 1e-30)
    tl.store(tangents + k, tangent, mask=k <= seqlen // 2)


@triton.jit
def scale_of(step):
    # Half of the step, to the power of two below it.
    bits = step.to(tl.int32, bitcast=True) & 0x7F800000
    return bits.to(tl.float32, bitcast=True) * 0.5


@triton.jit
def prepare_poles(
    Lambda,
    P,
    Q,
    B,
    C,
    step,
    terms,
    factors,
    dim,
    BLOCK: tl.constexpr,
):
    # What the loop over nodes needs of a pole w = -a + i b, scaled as nodes are, and of each v = conj(X) Y; then conj(X)
    # and Y themselves, for the nodes that this pole is nearest to.
    cell = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = cell < dim.to(tl.int64) * 32
    scale = scale_of(tl.load(step + cell // 32, mask=inside, other=1.0))
    a = tl.load(Lambda + 2 * cell, mask=inside) * -scale
    b = tl.load(Lambda + 2 * cell + 1, mask=inside) * scale
    C_re = tl.load(C + 2 * cell, mask=inside)
    C_im = tl.load(C + 2 * cell + 1, mask=inside)
    Q_re = tl.load(Q + 2 * cell, mask=inside)
    Q_im = tl.load(Q + 2 * cell + 1, mask=inside)
    B_re = tl.load(B + 2 * cell, mask=inside)
    B_im = tl.load(B + 2 * cell + 1, mask=inside)
    P_re = tl.load(P + 2 * cell, mask=inside)
    P_im = tl.load(P + 2 * cell + 1, mask=inside)
    # Conjugating a whole pair changes nothing but the sign of b: with b >= 0, y - b is what may cancel.
    sign = tl.where(b < 0.0, -1.0, 1.0)
    b *= sign
    C_im *= sign
    Q_im *= sign
    B_im *= sign
    P_im *= sign
    # A row's poles are written in the order of b; one that is not a number comes last.
    first = cell // 32 * 32
    height = tl.where(b == b, b, float("inf"))
    place = tl.full((BLOCK,), 0, tl.int32)
    for n in range(32):
        other = tl.load(Lambda + 2 * (first + n) + 1, mask=inside) * scale
        other = tl.where(other == other, tl.abs(other), float("inf"))
        place += tl.where((other < height) | ((other == height) & (first + n < cell)), 1, 0)
    terms += (first + place) * 20
    square = a.to(tl.float64) * a + b.to(tl.float64) * b
    w_squared = square.to(tl.float32)
    tl.store(terms, 4.0 * a * a, mask=inside)
    tl.store(terms + 1, w_squared, mask=inside)
    tl.store(terms + 2, (square - w_squared).to(tl.float32), mask=inside)
    tl.store(terms + 3, place.to(tl.float32), mask=inside)
    re, im = multiply(C_re, -C_im, B_re, B_im)
    s = tl.fma(a, re, -(b * im))
    tl.store(terms + 4, s, mask=inside)
    tl.store(terms + 5, s * a * -2.0, mask=inside)
    tl.store(terms + 6, re, mask=inside)
    tl.store(terms + 7, re * a * 2.0, mask=inside)
    re, im = multiply(C_re, -C_im, P_re, P_im)
    s = tl.fma(a, re, -(b * im))
    tl.store(terms + 8, s, mask=inside)
    tl.store(terms + 9, s * a * -2.0, mask=inside)
    tl.store(terms + 10, re, mask=inside)
    tl.store(terms + 11, re * a * 2.0, mask=inside)
    re, im = multiply(Q_re, -Q_im, B_re, B_im)
    s = tl.fma(a, re, -(b * im))
    tl.store(terms + 12, s, mask=inside)
    tl.store(terms + 13, s * a * -2.0, mask=inside)
    tl.store(terms + 14, re, mask=inside)
    tl.store(terms + 15, re * a * 2.0, mask=inside)
    re, im = multiply(Q_re, -Q_im, P_re, P_im)
    s = tl.fma(a, re, -(b * im))
    tl.store(terms + 16, s, mask=inside)
    tl.store(terms + 17, s * a * -2.0, mask=inside)
    tl.store(terms + 18, re, mask=inside)
    tl.store(terms + 19, re * a * 2.0, mask=inside)
    factors += (first + place) * 11
    tl.store(factors, scale * C_re, mask=inside)
    tl.store(factors + 1, scale * -C_im, mask=inside)
    tl.store(factors + 2, scale * Q_re, mask=inside)
    tl.store(factors + 3, scale * -Q_im, mask=inside)
    tl.store(factors + 4, B_re, mask=inside)
    tl.store(factors + 5, B_im, mask=inside)
    tl.store(factors + 6, P_re, mask=inside)
    tl.store(factors + 7, P_im, mask=inside)
    tl.store(factors + 8, a, mask=inside)
    tl.store(factors + 9, b, mask=inside)
    # How near a node may come, squared: |Q| |P| is then 16 times the distance.
    Q_size = Q_re * Q_re + Q_im * Q_im
    P_size = P_re * P_re + P_im * P_im
    tl.store(factors + 10, (0.0625 * scale) * (0.0625 * scale) * Q_size * P_size, mask=inside)


@triton.jit
def dplr_kernel(
    step,
    tangents,
    terms,
    factors,
    out,
    seqlen,
    BLOCK: tl.constexpr,
):
    # A pair of poles w = -a + i b at a node i y: v / (i y - w) + conj(v) / (i y - conj(w)) = 2 (s + i y Re v) / d, with
    # s = a Re v - b Im v and d = p + 2 i a y, p = |w|^2 - y^2. That is
    # 2 r (s p + 2 a y^2 Re v + i y (p Re v - 2 a s)) with r = 1 / |d|^2: one reciprocal serves every v.
    #
    # y = (2 / step) tan(phi), y^2 and |w|^2 are sums of two floats: close to a pole y - b and p cancel, and would be the
    # rounding of one.
    # Poles and nodes are scaled alike, exactly, so that squares stay in range, whatever the unit of time. A node beyond
    # the limit, as Nyquist's is, is moved there: for poles below 2^8 / step the same to rounding, as tan(phi) is moved too.
    limit: tl.constexpr = 1073741824.0
    row = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k <= seqlen // 2
    length = tl.load(step + row)
    scale = scale_of(length)
    half_step = length.to(tl.float64) * (0.5 / scale)
    rate = 1.0 / half_step
    wide = tl.minimum(tl.load(tangents + k, mask=inside, other=0.0) * rate, limit)
    y = wide.to(tl.float32)
    y_low = (wide - y).to(tl.float32)
    t = (wide * half_step).to(tl.float32)
    square = wide * wide
    y_squared = square.to(tl.float32)
    y_squared_low = (square - y_squared).to(tl.float32)
    terms += row * 640
    # The pole nearest to each node, by bisection, as poles rise. The sums leave it out where what it adds to QP is larger
    # than 16: that would take the digits of all else. Farther away it stays, for without it 1 + QP may vanish.
    closest = tl.full((BLOCK,), 0, tl.int32)
    factors += row * 352
    for bit in tl.static_range(5):
        higher = tl.minimum(closest + (16 >> bit), 31)
        heights = factors + higher * 11 + 9
        closest = tl.where(y > 0.5 * (tl.load(heights - 11) + tl.load(heights)), higher, closest)
    nearest = factors + closest * 11 + 8
    a = tl.load(nearest)
    d = (y - tl.load(nearest + 1)) + y_low
    reach = tl.load(nearest + 2)
    place = tl.where(tl.fma(d, d, a * a) < reach, closest, -1)
    CB_re = tl.full((BLOCK,), 0.0, tl.float32)
    CB_im = tl.full((BLOCK,), 0.0, tl.float32)
    CP_re = tl.full((BLOCK,), 0.0, tl.float32)
    CP_im = tl.full((BLOCK,), 0.0, tl.float32)
    QB_re = tl.full((BLOCK,), 0.0, tl.float32)
    QB_im = tl.full((BLOCK,), 0.0, tl.float32)
    QP_re = tl.full((BLOCK,), 0.0, tl.float32)
    QP_im = tl.full((BLOCK,), 0.0, tl.float32)
    term = terms
    left_out = place.to(tl.float32)
    for _ in range(8):
        for _ in tl.static_range(4):
            a_squared4, w_squared, w_squared_low, n = four(term, BLOCK)
            p = (w_squared - y_squared) + (w_squared_low - y_squared_low)
            r = tl.where(n == left_out, 0.0, reciprocal(tl.fma(p, p, a_squared4 * y_squared)))
            p *= r
            q = y_squared * r
            s, sa, v, va = four(term + 4, BLOCK)
            CB_re = tl.fma(s, p, tl.fma(va, q, CB_re))
            CB_im = tl.fma(v, p, tl.fma(sa, r, CB_im))
            s, sa, v, va = four(term + 8, BLOCK)
            CP_re = tl.fma(s, p, tl.fma(va, q, CP_re))
            CP_im = tl.fma(v, p, tl.fma(sa, r, CP_im))
            s, sa, v, va = four(term + 12, BLOCK)
            QB_re = tl.fma(s, p, tl.fma(va, q, QB_re))
            QB_im = tl.fma(v, p, tl.fma(sa, r, QB_im))
            s, sa, v, va = four(term + 16, BLOCK)
            QP_re = tl.fma(s, p, tl.fma(va, q, QP_re))
            QP_im = tl.fma(v, p, tl.fma(sa, r, QP_im))
            term += 20
    CB_re *= 2.0 * scale
    CB_im *= 2.0 * scale * y
    CP_re *= 2.0 * scale
    CP_im *= 2.0 * scale * y
    QB_re *= 2.0 * scale
    QB_im *= 2.0 * scale * y
    QP_re *= 2.0 * scale
    QP_im *= 2.0 * scale * y
    # The pole that was left out, and its factors, C and Q conjugated and scaled; where there is none they are 0.
    apart = place >= 0
    factors += place * 11
    a = tl.load(factors + 8, mask=apart, other=1.0)
    b = tl.load(factors + 9, mask=apart, other=0.0)
    d = (y - b) + y_low
    C_re = tl.load(factors, mask=apart, other=0.0)
    C_im = tl.load(factors + 1, mask=apart, other=0.0)
    Q_re = tl.load(factors + 2, mask=apart, other=0.0)
    Q_im = tl.load(factors + 3, mask=apart, other=0.0)
    B_re = tl.load(factors + 4, mask=apart, other=0.0)
    B_im = tl.load(factors + 5, mask=apart, other=0.0)
    P_re = tl.load(factors + 6, mask=apart, other=0.0)
    P_im = tl.load(factors + 7, mask=apart, other=0.0)
    # Its conjugate is one of the other poles.
    r_re, r_im = invert(a, y + b)
    m_re, m_im = multiply(B_re, -B_im, r_re, r_im)
    CB_re, CB_im = plus(CB_re, CB_im, C_re, -C_im, m_re, m_im)
    QB_re, QB_im = plus(QB_re, QB_im, Q_re, -Q_im, m_re, m_im)
    m_re, m_im = multiply(P_re, -P_im, r_re, r_im)
    CP_re, CP_im = plus(CP_re, CP_im, C_re, -C_im, m_re, m_im)
    QP_re, QP_im = plus(QP_re, QP_im, Q_re, -Q_im, m_re, m_im)
    # Woodbury's identity of the other poles, then of the one that is apart: where that is all but undamped, and a node all but on
    # it, its terms would be most of every sum, and cancel between them. With x = (1 + QP)^-1 QB and w = (1 + QP)^-1 Q,
    # which take the places of QB and Q, and with e = a + i d + P w, in whose place is 1 / e, it is
    # (1 + i t) (CB - CP x + (C - CP w) (B - P x) / e), and 1 + i t = e^{i phi} / cos(phi).
    QP_re, QP_im = invert(QP_re + 1.0, QP_im)
    QB_re, QB_im = multiply(QB_re, QB_im, QP_re, QP_im)
    Q_re, Q_im = multiply(Q_re, Q_im, QP_re, QP_im)
    e_re, e_im = a, d
    B_re, B_im = plus(B_re, B_im, -P_re, -P_im, QB_re, QB_im)
    e_re, e_im = plus(e_re, e_im, P_re, P_im, Q_re, Q_im)
    e_re, e_im = invert(e_re, e_im)
    B_re, B_im = multiply(B_re, B_im, e_re, e_im)
    nodes = seqlen // 2 + 1
    out += 2 * (row * nodes + k)[:, None] + tl.arange(0, 2)[None, :]
    CB_re, CB_im = plus(CB_re, CB_im, -CP_re, -CP_im, QB_re, QB_im)
    C_re, C_im = plus(C_re, C_im, -CP_re, -CP_im, Q_re, Q_im)
    CB_re, CB_im = plus(CB_re, CB_im, C_re, C_im, B_re, B_im)
    real, imag = multiply(CB_re, CB_im, 1.0, t)
    tl.store(out, tl.join(real, imag), mask=inside[:, None])
