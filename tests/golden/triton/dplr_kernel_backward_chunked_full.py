# dplr_kernel backward, c64: chunked(block=32,chunk=128,reciprocal=asm)
# out = (1 + i tan(phi)) (R_CB - R_CP (1 + R_QP)^-1 R_QB),  phi = pi k / seqlen,  z = 2 i tan(phi) / step
# R_XY = sum_n conj(X_n) Y_n / (z - Lambda_n), pairs: + X_n conj(Y_n) / (z - conj(Lambda_n))
# Rendered by ssmgen from templates/triton/dplr_kernel_backward.py.j2; source cd0ba7af21cbf8f3.
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
def inverse(a, d, r):
    # u = 1 / conj(z - w) where z - w = a + i d and r = 1 / |z - w|^2, and u^2.
    u_re = a * r
    u_im = d * r
    return u_re, u_im, tl.fma(u_re, u_re, -(u_im * u_im)), 2.0 * u_re * u_im


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
    # A row's poles are written in the order of b; one that is not a number comes last.
    first = cell // 32 * 32
    height = tl.where(b == b, b, float("inf"))
    place = tl.full((BLOCK,), 0, tl.int32)
    for n in range(32):
        other = tl.load(Lambda + 2 * (first + n) + 1, mask=inside) * scale
        other = tl.where(other == other, other, float("inf"))
        place += tl.where((other < height) | ((other == height) & (first + n < cell)), 1, 0)
    terms += (first + place) * 20
    tl.store(terms, a * a, mask=inside)
    tl.store(terms + 1, b, mask=inside)
    tl.store(terms + 3, place.to(tl.float32), mask=inside)
    re, im = multiply(C_re, -C_im, B_re, B_im)
    tl.store(terms + 4, re, mask=inside)
    tl.store(terms + 5, re * a, mask=inside)
    tl.store(terms + 6, im, mask=inside)
    tl.store(terms + 7, im * a, mask=inside)
    re, im = multiply(C_re, -C_im, P_re, P_im)
    tl.store(terms + 8, re, mask=inside)
    tl.store(terms + 9, re * a, mask=inside)
    tl.store(terms + 10, im, mask=inside)
    tl.store(terms + 11, im * a, mask=inside)
    re, im = multiply(Q_re, -Q_im, B_re, B_im)
    tl.store(terms + 12, re, mask=inside)
    tl.store(terms + 13, re * a, mask=inside)
    tl.store(terms + 14, im, mask=inside)
    tl.store(terms + 15, im * a, mask=inside)
    re, im = multiply(Q_re, -Q_im, P_re, P_im)
    tl.store(terms + 16, re, mask=inside)
    tl.store(terms + 17, re * a, mask=inside)
    tl.store(terms + 18, im, mask=inside)
    tl.store(terms + 19, im * a, mask=inside)
    factors += (first + place) * 12
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
    tl.store(factors + 11, (cell - first).to(tl.float32), mask=inside)


@triton.jit
def differentiate_nodes(
    step,
    tangents,
    terms,
    factors,
    dout,
    records,
    places,
    shares,
    seqlen,
    BLOCK: tl.constexpr,
):
    # A pole w = -a + i b at a node i y: v / (i y - w) = v (a - i d) r, d = y - b, r = 1 / (a^2 + d^2): one reciprocal
    # serves every v.
    #
    # y = (2 / step) tan(phi) is a sum of two floats: close to a pole y - b cancels, and would be the rounding of one.
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
    terms += row * 640
    # The pole nearest to each node, by bisection, as poles rise. The sums leave it out where what it adds to QP is larger
    # than 16: that would take the digits of all else. Farther away it stays, for without it 1 + QP may vanish.
    closest = tl.full((BLOCK,), 0, tl.int32)
    factors += row * 384
    for bit in tl.static_range(5):
        higher = tl.minimum(closest + (16 >> bit), 31)
        heights = factors + higher * 12 + 9
        closest = tl.where(y > 0.5 * (tl.load(heights - 12) + tl.load(heights)), higher, closest)
    nearest = factors + closest * 12 + 8
    a = tl.load(nearest)
    d = (y - tl.load(nearest + 1)) + y_low
    reach = tl.load(nearest + 2)
    place = tl.where(tl.fma(d, d, a * a) < reach, closest, -1)
    CP_re = tl.full((BLOCK,), 0.0, tl.float32)
    CP_im = tl.full((BLOCK,), 0.0, tl.float32)
    QB_re = tl.full((BLOCK,), 0.0, tl.float32)
    QB_im = tl.full((BLOCK,), 0.0, tl.float32)
    QP_re = tl.full((BLOCK,), 0.0, tl.float32)
    QP_im = tl.full((BLOCK,), 0.0, tl.float32)
    term = terms
    left_out = place.to(tl.float32)
    for _ in range(16):
        for _ in tl.static_range(2):
            a_squared, b, _, n = four(term, BLOCK)
            d = (y - b) + y_low
            r = tl.where(n == left_out, 0.0, reciprocal(tl.fma(d, d, a_squared)))
            d *= r
            v, va, u, ua = four(term + 8, BLOCK)
            CP_re = tl.fma(va, r, tl.fma(u, d, CP_re))
            CP_im = tl.fma(ua, r, tl.fma(-v, d, CP_im))
            v, va, u, ua = four(term + 12, BLOCK)
            QB_re = tl.fma(va, r, tl.fma(u, d, QB_re))
            QB_im = tl.fma(ua, r, tl.fma(-v, d, QB_im))
            v, va, u, ua = four(term + 16, BLOCK)
            QP_re = tl.fma(va, r, tl.fma(u, d, QP_re))
            QP_im = tl.fma(ua, r, tl.fma(-v, d, QP_im))
            term += 20
    CP_re *= scale
    CP_im *= scale
    QB_re *= scale
    QB_im *= scale
    QP_re *= scale
    QP_im *= scale
    # The pole that was left out, and its factors, C and Q conjugated and scaled; where there is none they are 0.
    apart = place >= 0
    factors += place * 12
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
    # Woodbury's identity as forward has it, (1 + i t) (CB - CP x + (C - CP w) gamma) where gamma = (B - P x) / e and
    # e = a + i d + P w, differentiated: the gradients of each product, of the nearest pole's factors, and of e. Again
    # x and w take the places of QB and Q, and 1 / e that of e.
    QP_re, QP_im = invert(QP_re + 1.0, QP_im)
    QB_re, QB_im = multiply(QB_re, QB_im, QP_re, QP_im)
    Q_re, Q_im = multiply(Q_re, Q_im, QP_re, QP_im)
    e_re, e_im = a, d
    B_re, B_im = plus(B_re, B_im, -P_re, -P_im, QB_re, QB_im)
    e_re, e_im = plus(e_re, e_im, P_re, P_im, Q_re, Q_im)
    e_re, e_im = invert(e_re, e_im)
    gamma_re, gamma_im = multiply(B_re, B_im, e_re, e_im)
    nodes = seqlen // 2 + 1
    dout += 2 * (row * nodes + tl.minimum(k, nodes - 1))
    dCB_re, dCB_im = multiply(tl.load(dout), tl.load(dout + 1), 1.0, -t)
    dC_re, dC_im = multiply(dCB_re, dCB_im, gamma_re, -gamma_im)
    C_re, C_im = plus(C_re, C_im, -CP_re, -CP_im, Q_re, Q_im)
    dCP_re, dCP_im = multiply(-dCB_re, -dCB_im, QB_re, -QB_im)
    dCP_re, dCP_im = plus(dCP_re, dCP_im, -dC_re, -dC_im, Q_re, -Q_im)
    re, im = multiply(C_re, C_im, e_re, e_im)
    dB_re, dB_im = multiply(dCB_re, dCB_im, re, -im)
    de_re, de_im = multiply(-dB_re, -dB_im, gamma_re, -gamma_im)
    dP_re, dP_im = multiply(de_re, de_im, Q_re, -Q_im)
    dP_re, dP_im = plus(dP_re, dP_im, -dB_re, -dB_im, QB_re, -QB_im)
    dQB_re, dQB_im = multiply(-dB_re, -dB_im, P_re, -P_im)
    dQ_re, dQ_im = multiply(de_re, de_im, P_re, -P_im)
    dQB_re, dQB_im = plus(dQB_re, dQB_im, -dCB_re, -dCB_im, CP_re, -CP_im)
    dQ_re, dQ_im = plus(dQ_re, dQ_im, -dC_re, -dC_im, CP_re, -CP_im)
    dQB_re, dQB_im = multiply(dQB_re, dQB_im, QP_re, -QP_im)
    dQ_re, dQ_im = multiply(dQ_re, dQ_im, QP_re, -QP_im)
    dQP_re, dQP_im = multiply(-dQB_re, -dQB_im, QB_re, -QB_im)
    dQP_re, dQP_im = plus(dQP_re, dQP_im, -dQ_re, -dQ_im, Q_re, -Q_im)
    # Nodes and poles are scaled no more.
    moved = y * de_im
    de_re *= scale
    de_im *= scale
    dC_re *= scale
    dC_im *= scale
    dQ_re *= scale
    dQ_im *= scale
    records += (row * nodes + k) * 12
    tl.store(records, y * (1.0 / scale), mask=inside)
    tl.store(records + 1, y_low * (1.0 / scale), mask=inside)
    tl.store(records + 2, dCB_re, mask=inside)
    tl.store(records + 3, dCB_im, mask=inside)
    tl.store(records + 4, dCP_re, mask=inside)
    tl.store(records + 5, dCP_im, mask=inside)
    tl.store(records + 6, dQB_re, mask=inside)
    tl.store(records + 7, dQB_im, mask=inside)
    tl.store(records + 8, dQP_re, mask=inside)
    tl.store(records + 9, dQP_im, mask=inside)
    tl.store(records + 10, tl.load(factors + 11, mask=apart, other=-1.0), mask=inside)
    tl.store(places + row * nodes + k, closest, mask=inside)
    shares += row * nodes * 11 + k
    tl.store(shares, dC_re, mask=inside)
    tl.store(shares + nodes, dC_im, mask=inside)
    tl.store(shares + 2 * nodes, dQ_re, mask=inside)
    tl.store(shares + 3 * nodes, dQ_im, mask=inside)
    tl.store(shares + 4 * nodes, dB_re, mask=inside)
    tl.store(shares + 5 * nodes, dB_im, mask=inside)
    tl.store(shares + 6 * nodes, dP_re, mask=inside)
    tl.store(shares + 7 * nodes, dP_im, mask=inside)
    tl.store(shares + 8 * nodes, de_re, mask=inside)
    tl.store(shares + 9 * nodes, de_im, mask=inside)
    tl.store(shares + 10 * nodes, moved, mask=inside)


@triton.jit
def dplr_kernel_backward(
    Lambda,
    P,
    Q,
    B,
    C,
    records,
    parts,
    seqlen,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # With u = 1 / conj(i y - w) and the gradient g of a product at each node: dv = sum g u and dw = sum h u^2, where
    # h sums conj(v) g over the products; `moved` sums y dy.
    # Nodes that this pole is nearest to leave it out.
    #
    # A lane has one pole and walks one chunk of nodes.
    nodes = seqlen // 2 + 1
    row = tl.program_id(0).to(tl.int64)
    pole = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    chunk = tl.program_id(2)
    node = chunk * CHUNK
    steps = tl.minimum(nodes - node, CHUNK)
    cell = row * 32 + tl.minimum(pole, 31)
    a = -tl.load(Lambda + 2 * cell)
    b = tl.load(Lambda + 2 * cell + 1)
    C_re = tl.load(C + 2 * cell)
    C_im = tl.load(C + 2 * cell + 1)
    Q_re = tl.load(Q + 2 * cell)
    Q_im = tl.load(Q + 2 * cell + 1)
    B_re = tl.load(B + 2 * cell)
    B_im = tl.load(B + 2 * cell + 1)
    P_re = tl.load(P + 2 * cell)
    P_im = tl.load(P + 2 * cell + 1)
    number = pole.to(tl.float32)
    vCB_re, vCB_im = multiply(C_re, -C_im, B_re, B_im)
    vCP_re, vCP_im = multiply(C_re, -C_im, P_re, P_im)
    vQB_re, vQB_im = multiply(Q_re, -Q_im, B_re, B_im)
    vQP_re, vQP_im = multiply(Q_re, -Q_im, P_re, P_im)
    records += row * nodes * 12
    CB_re = tl.full((BLOCK,), 0.0, tl.float32)
    CB_im = tl.full((BLOCK,), 0.0, tl.float32)
    CP_re = tl.full((BLOCK,), 0.0, tl.float32)
    CP_im = tl.full((BLOCK,), 0.0, tl.float32)
    QB_re = tl.full((BLOCK,), 0.0, tl.float32)
    QB_im = tl.full((BLOCK,), 0.0, tl.float32)
    QP_re = tl.full((BLOCK,), 0.0, tl.float32)
    QP_im = tl.full((BLOCK,), 0.0, tl.float32)
    dw_re = tl.full((BLOCK,), 0.0, tl.float32)
    dw_im = tl.full((BLOCK,), 0.0, tl.float32)
    moved = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(steps):
        at = records + node.to(tl.int64) * 12
        y, y_low, dCB_re, dCB_im = four(at, BLOCK)
        dCP_re, dCP_im, dQB_re, dQB_im = four(at + 4, BLOCK)
        dQP_re, dQP_im, nearest, _ = four(at + 8, BLOCK)
        d = (y - b) + y_low
        r = reciprocal(tl.fma(a, a, d * d))
        u_re, u_im, s_re, s_im = inverse(a, d, tl.where(nearest == number, 0.0, r))
        CB_re, CB_im = plus(CB_re, CB_im, dCB_re, dCB_im, u_re, u_im)
        CP_re, CP_im = plus(CP_re, CP_im, dCP_re, dCP_im, u_re, u_im)
        QB_re, QB_im = plus(QB_re, QB_im, dQB_re, dQB_im, u_re, u_im)
        QP_re, QP_im = plus(QP_re, QP_im, dQP_re, dQP_im, u_re, u_im)
        h_re, h_im = multiply(dCB_re, dCB_im, vCB_re, -vCB_im)
        h_re, h_im = plus(h_re, h_im, dCP_re, dCP_im, vCP_re, -vCP_im)
        h_re, h_im = plus(h_re, h_im, dQB_re, dQB_im, vQB_re, -vQB_im)
        h_re, h_im = plus(h_re, h_im, dQP_re, dQP_im, vQP_re, -vQP_im)
        w_re, w_im = multiply(h_re, h_im, s_re, s_im)
        dw_re += w_re
        dw_im += w_im
        moved = tl.fma(-y, w_im, moved)
        node += 1
    inside = pole < 32
    chunks = (nodes + CHUNK - 1) // CHUNK
    parts += (row * chunks + chunk) * 352 + pole
    tl.store(parts, CB_re, mask=inside)
    tl.store(parts + 32, CB_im, mask=inside)
    tl.store(parts + 64, CP_re, mask=inside)
    tl.store(parts + 96, CP_im, mask=inside)
    tl.store(parts + 128, QB_re, mask=inside)
    tl.store(parts + 160, QB_im, mask=inside)
    tl.store(parts + 192, QP_re, mask=inside)
    tl.store(parts + 224, QP_im, mask=inside)
    tl.store(parts + 256, dw_re, mask=inside)
    tl.store(parts + 288, dw_im, mask=inside)
    tl.store(parts + 320, moved, mask=inside)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def count_before(places, place, nodes):
    # How many nodes, which rise with their places, have one before this place.
    low = 0
    high = nodes
    while low < high:
        middle = (low + high) // 2
        before = tl.load(places + middle) < place
        low = tl.where(before, middle + 1, low)
        high = tl.where(before, high, middle)
    return low


@triton.jit
def add_nearest(
    factors,
    places,
    shares,
    nearest,
    seqlen,
    BLOCK: tl.constexpr,
):
    # What one pole gets from the nodes that it is nearest to, which follow one another: gradients of l = conj(X), Y and
    # d = z - w become those of X, Y and w.
    row = tl.program_id(0).to(tl.int64) // 32
    place = tl.program_id(0) % 32
    nodes = seqlen // 2 + 1
    places += row * nodes
    shares += row * nodes * 11
    dC_re = tl.full((BLOCK,), 0.0, tl.float32)
    dC_im = tl.full((BLOCK,), 0.0, tl.float32)
    dQ_re = tl.full((BLOCK,), 0.0, tl.float32)
    dQ_im = tl.full((BLOCK,), 0.0, tl.float32)
    dB_re = tl.full((BLOCK,), 0.0, tl.float32)
    dB_im = tl.full((BLOCK,), 0.0, tl.float32)
    dP_re = tl.full((BLOCK,), 0.0, tl.float32)
    dP_im = tl.full((BLOCK,), 0.0, tl.float32)
    de_re = tl.full((BLOCK,), 0.0, tl.float32)
    de_im = tl.full((BLOCK,), 0.0, tl.float32)
    moved = tl.full((BLOCK,), 0.0, tl.float32)
    last = count_before(places, place + 1, nodes)
    for first in range(count_before(places, place, nodes), last, BLOCK):
        node = first + tl.arange(0, BLOCK)
        inside = node < last
        dC_re += tl.load(shares + node, mask=inside, other=0.0)
        dC_im += tl.load(shares + nodes + node, mask=inside, other=0.0)
        dQ_re += tl.load(shares + 2 * nodes + node, mask=inside, other=0.0)
        dQ_im += tl.load(shares + 3 * nodes + node, mask=inside, other=0.0)
        dB_re += tl.load(shares + 4 * nodes + node, mask=inside, other=0.0)
        dB_im += tl.load(shares + 5 * nodes + node, mask=inside, other=0.0)
        dP_re += tl.load(shares + 6 * nodes + node, mask=inside, other=0.0)
        dP_im += tl.load(shares + 7 * nodes + node, mask=inside, other=0.0)
        de_re += tl.load(shares + 8 * nodes + node, mask=inside, other=0.0)
        de_im += tl.load(shares + 9 * nodes + node, mask=inside, other=0.0)
        moved += tl.load(shares + 10 * nodes + node, mask=inside, other=0.0)
    pole = tl.load(factors + tl.program_id(0).to(tl.int64) * 12 + 11).to(tl.int32)
    cell = row * 32 + pole
    nearest += cell * 11
    tl.store(nearest, tl.reduce(dC_re, 0, add))
    tl.store(nearest + 1, -tl.reduce(dC_im, 0, add))
    tl.store(nearest + 2, tl.reduce(dQ_re, 0, add))
    tl.store(nearest + 3, -tl.reduce(dQ_im, 0, add))
    tl.store(nearest + 4, tl.reduce(dB_re, 0, add))
    tl.store(nearest + 5, tl.reduce(dB_im, 0, add))
    tl.store(nearest + 6, tl.reduce(dP_re, 0, add))
    tl.store(nearest + 7, tl.reduce(dP_im, 0, add))
    tl.store(nearest + 8, -tl.reduce(de_re, 0, add))
    tl.store(nearest + 9, -tl.reduce(de_im, 0, add))
    tl.store(nearest + 10, tl.reduce(moved, 0, add))


@triton.jit
def finish_rows(
    P,
    Q,
    B,
    C,
    step,
    parts,
    nearest,
    dLambda,
    dP,
    dQ,
    dB,
    dC,
    dstep,
    seqlen,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # Chunks are added always in the same order. CB is then the gradient of v = conj(C) B; of v = conj(X) Y it is that
    # dY = X dv and dX = conj(dv) Y. Nodes that a pole is nearest to have given it more. Nodes move with the step,
    # y = (2 / step) tan(phi).
    row = tl.program_id(0).to(tl.int64)
    nodes = seqlen // 2 + 1
    all_moved = tl.full((BLOCK,), 0.0, tl.float32)
    for first in range(0, 32, BLOCK):
        pole = first + tl.arange(0, BLOCK)
        inside = pole < 32
        chunks = (nodes + CHUNK - 1) // CHUNK
        part = parts + row * chunks * 352 + pole
        CB_re = tl.full((BLOCK,), 0.0, tl.float32)
        CB_im = tl.full((BLOCK,), 0.0, tl.float32)
        CP_re = tl.full((BLOCK,), 0.0, tl.float32)
        CP_im = tl.full((BLOCK,), 0.0, tl.float32)
        QB_re = tl.full((BLOCK,), 0.0, tl.float32)
        QB_im = tl.full((BLOCK,), 0.0, tl.float32)
        QP_re = tl.full((BLOCK,), 0.0, tl.float32)
        QP_im = tl.full((BLOCK,), 0.0, tl.float32)
        dw_re = tl.full((BLOCK,), 0.0, tl.float32)
        dw_im = tl.full((BLOCK,), 0.0, tl.float32)
        moved = tl.full((BLOCK,), 0.0, tl.float32)
        for _ in range(chunks):
            CB_re += tl.load(part, mask=inside, other=0.0)
            CB_im += tl.load(part + 32, mask=inside, other=0.0)
            CP_re += tl.load(part + 64, mask=inside, other=0.0)
            CP_im += tl.load(part + 96, mask=inside, other=0.0)
            QB_re += tl.load(part + 128, mask=inside, other=0.0)
            QB_im += tl.load(part + 160, mask=inside, other=0.0)
            QP_re += tl.load(part + 192, mask=inside, other=0.0)
            QP_im += tl.load(part + 224, mask=inside, other=0.0)
            dw_re += tl.load(part + 256, mask=inside, other=0.0)
            dw_im += tl.load(part + 288, mask=inside, other=0.0)
            moved += tl.load(part + 320, mask=inside, other=0.0)
            part += 352
        cell = row * 32 + pole
        more = nearest + cell * 11
        all_moved += moved + tl.load(more + 10, mask=inside, other=0.0)
        dw_re += tl.load(more + 8, mask=inside)
        dw_im += tl.load(more + 9, mask=inside)
        tl.store(dLambda + 2 * cell, dw_re, mask=inside)
        tl.store(dLambda + 2 * cell + 1, dw_im, mask=inside)
        C_re = tl.load(C + 2 * cell, mask=inside)
        C_im = tl.load(C + 2 * cell + 1, mask=inside)
        Q_re = tl.load(Q + 2 * cell, mask=inside)
        Q_im = tl.load(Q + 2 * cell + 1, mask=inside)
        B_re = tl.load(B + 2 * cell, mask=inside)
        B_im = tl.load(B + 2 * cell + 1, mask=inside)
        P_re = tl.load(P + 2 * cell, mask=inside)
        P_im = tl.load(P + 2 * cell + 1, mask=inside)
        dB_re, dB_im = multiply(C_re, C_im, CB_re, CB_im)
        dB_re, dB_im = plus(dB_re, dB_im, Q_re, Q_im, QB_re, QB_im)
        dP_re, dP_im = multiply(C_re, C_im, CP_re, CP_im)
        dP_re, dP_im = plus(dP_re, dP_im, Q_re, Q_im, QP_re, QP_im)
        dC_re, dC_im = multiply(CB_re, -CB_im, B_re, B_im)
        dC_re, dC_im = plus(dC_re, dC_im, CP_re, -CP_im, P_re, P_im)
        dQ_re, dQ_im = multiply(QB_re, -QB_im, B_re, B_im)
        dQ_re, dQ_im = plus(dQ_re, dQ_im, QP_re, -QP_im, P_re, P_im)
        dC_re += tl.load(more, mask=inside)
        dC_im += tl.load(more + 1, mask=inside)
        dQ_re += tl.load(more + 2, mask=inside)
        dQ_im += tl.load(more + 3, mask=inside)
        dB_re += tl.load(more + 4, mask=inside)
        dB_im += tl.load(more + 5, mask=inside)
        dP_re += tl.load(more + 6, mask=inside)
        dP_im += tl.load(more + 7, mask=inside)
        tl.store(dB + 2 * cell, dB_re, mask=inside)
        tl.store(dB + 2 * cell + 1, dB_im, mask=inside)
        tl.store(dP + 2 * cell, dP_re, mask=inside)
        tl.store(dP + 2 * cell + 1, dP_im, mask=inside)
        tl.store(dC + 2 * cell, dC_re, mask=inside)
        tl.store(dC + 2 * cell + 1, dC_im, mask=inside)
        tl.store(dQ + 2 * cell, dQ_re, mask=inside)
        tl.store(dQ + 2 * cell + 1, dQ_im, mask=inside)
    tl.store(dstep + row, -tl.reduce(all_moved, 0, add) / tl.load(step + row))
