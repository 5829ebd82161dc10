# ssd backward, bf16: chunked(block_n=32,block_p=16,chunk=64,exp=asm,num_warps=8,products=tf32)
# h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)
# dt = softplus(dt + dt_bias) when asked, within limits
# Rendered by ssmgen from templates/triton/ssd_backward.py.j2; source 9e52eb8853921140.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def softplus(x):
    # max(x, 0) + log1p(exp(-|x|)), with log1p(e) = e p(e) and p(0) = 1: exact to rounding where e is small, and equal to
    # x beyond 20. A minimax polynomial takes as many instructions as a division and half the special functions.
    e = exp2(tl.abs(x) * -1.4426950408889634)
    p = tl.fma(e, 0.005365422461181879, -0.030068300664424896)
    p = tl.fma(p, e, 0.07920882850885391)
    p = tl.fma(p, e, -0.13754187524318695)
    p = tl.fma(p, e, 0.1915384829044342)
    p = tl.fma(p, e, -0.24857217073440552)
    p = tl.fma(p, e, 0.33321329951286316)
    p = tl.fma(p, e, -0.49999648332595825)
    p = tl.fma(p, e, 1.0)
    return tl.fma(p, e, tl.maximum(x, 0.0))


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def silu(x):
    return x * reciprocal(1.0 + exp2(x * -1.4426950408889634))


@triton.jit
def sigmoid(x):
    return reciprocal(1.0 + exp2(x * -1.4426950408889634))


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def chunk_states(
    x,
    B,
    dt,
    A,
    dt_bias,
    limit,
    cu_seqlens,
    states,
    decays,
    x_stride_step,
    x_stride_head,
    B_stride_step,
    B_stride_group,
    dt_stride_step,
    dt_stride_head,
    batch,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
    SEQUENCES: tl.constexpr,
):
    # What the steps of one chunk add to the state of one head by its end.
    head = tl.program_id(0) // BLOCKS
    chunk = tl.program_id(1)
    # The sequence that has this chunk: the last one whose first chunk is no later.
    sequences = tl.arange(0, SEQUENCES)
    begins = tl.load(cu_seqlens + sequences, mask=sequences < batch, other=2147483647)
    sequence = tl.reduce((begins // CHUNK + sequences <= chunk).to(tl.int32), 0, add) - 1
    first = tl.load(cu_seqlens + sequence)
    steps = (first + (chunk - first // CHUNK - sequence) * CHUNK).to(tl.int64) + tl.arange(0, CHUNK)
    during = steps < tl.load(cu_seqlens + sequence + 1)
    place = chunk.to(tl.int64) * HEADS + head
    p = tl.program_id(0) % BLOCKS * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = p < DIM
    dt += head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32) + tl.load(dt_bias + head)
    dt_t = softplus(dt_t)
    least, most = tl.load(limit), tl.load(limit + 1)
    dt_t = tl.minimum(tl.maximum(dt_t, least), most)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    total = tl.reduce(exponents, 0, add)
    weight = dt_t * exp2((total - since).to(tl.float32))
    x_at = x + head * x_stride_head + p[:, None] + steps[None, :] * x_stride_step
    x_t = tl.load(x_at, mask=inside[:, None] & during[None, :], other=0.0).to(tl.float32)
    B += head // (HEADS // GROUPS) * B_stride_group + steps[:, None] * B_stride_step
    states += place * (DIM * 128) + p[:, None] * 128
    for begin in range(0, 128, BLOCK_N):
        n = begin + tl.arange(0, BLOCK_N)[None, :]
        held = n < 128
        B_t = tl.load(B + n, mask=during[:, None] & held, other=0.0).to(tl.float32)
        B_t = B_t * weight[:, None]
        tl.store(states + n, tl.dot(x_t, B_t, input_precision="tf32"), mask=inside[:, None] & held)
    tl.store(decays + place, exp2(total.to(tl.float32)))


@triton.jit
def pass_states(
    initial_state,
    states,
    decays,
    cu_seqlens,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # From what each chunk adds to what it starts from, of some numbers of the state of one head.
    head = tl.program_id(0) % HEADS
    sequence = tl.program_id(0) // HEADS
    first = tl.load(cu_seqlens + sequence)
    chunks = (tl.load(cu_seqlens + sequence + 1) - first + CHUNK - 1) // CHUNK
    place = (first // CHUNK + sequence).to(tl.int64) * HEADS + head
    cells = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 128
    initial_state += (sequence.to(tl.int64) * HEADS + head) * (DIM * 128)
    h = tl.load(initial_state + cells, mask=inside, other=0.0)
    states += place * (DIM * 128) + cells
    decays += place
    for _ in range(chunks):
        added = tl.load(states, mask=inside, other=0.0)
        tl.store(states, h, mask=inside)
        h = h * tl.load(decays) + added
        states += HEADS * DIM * 128
        decays += HEADS


@triton.jit
def chunk_gradients(
    dout,
    z,
    C,
    dt,
    A,
    dt_bias,
    limit,
    cu_seqlens,
    gradients,
    dout_stride_step,
    dout_stride_head,
    z_stride_step,
    z_stride_head,
    C_stride_step,
    C_stride_group,
    dt_stride_step,
    dt_stride_head,
    batch,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
    SEQUENCES: tl.constexpr,
):
    # What the steps of one chunk owe to the state of one head before it.
    head = tl.program_id(0) // BLOCKS
    chunk = tl.program_id(1)
    # The sequence that has this chunk: the last one whose first chunk is no later.
    sequences = tl.arange(0, SEQUENCES)
    begins = tl.load(cu_seqlens + sequences, mask=sequences < batch, other=2147483647)
    sequence = tl.reduce((begins // CHUNK + sequences <= chunk).to(tl.int32), 0, add) - 1
    first = tl.load(cu_seqlens + sequence)
    steps = (first + (chunk - first // CHUNK - sequence) * CHUNK).to(tl.int64) + tl.arange(0, CHUNK)
    during = steps < tl.load(cu_seqlens + sequence + 1)
    place = chunk.to(tl.int64) * HEADS + head
    p = tl.program_id(0) % BLOCKS * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = p < DIM
    dt += head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32) + tl.load(dt_bias + head)
    dt_t = softplus(dt_t)
    least, most = tl.load(limit), tl.load(limit + 1)
    dt_t = tl.minimum(tl.maximum(dt_t, least), most)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    weight = exp2(since.to(tl.float32))
    dout += head * dout_stride_head
    z += head * z_stride_head
    present = inside[:, None] & during[None, :]
    dy_t = tl.load(dout + p[:, None] + steps[None, :] * dout_stride_step, mask=present, other=0.0)
    dy_t = dy_t.to(tl.float32)
    gate = tl.load(z + p[:, None] + steps[None, :] * z_stride_step, mask=present, other=0.0)
    gate = gate.to(tl.float32)
    dy_t *= silu(gate)
    C += head // (HEADS // GROUPS) * C_stride_group + steps[:, None] * C_stride_step
    gradients += place * (DIM * 128) + p[:, None] * 128
    for begin in tl.range(0, 128, BLOCK_N, num_stages=1):
        n = begin + tl.arange(0, BLOCK_N)[None, :]
        held = n < 128
        C_t = tl.load(C + n, mask=during[:, None] & held, other=0.0)
        C_t = C_t.to(tl.float32)
        C_t *= weight[:, None]
        tl.store(gradients + n, tl.dot(dy_t, C_t, input_precision="tf32"), mask=inside[:, None] & held)


@triton.jit
def pass_gradients(
    dlast_state,
    dinitial_state,
    gradients,
    decays,
    cu_seqlens,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # From what each chunk owes to the state before it to the gradient of the state after it.
    head = tl.program_id(0) % HEADS
    sequence = tl.program_id(0) // HEADS
    first = tl.load(cu_seqlens + sequence)
    chunks = (tl.load(cu_seqlens + sequence + 1) - first + CHUNK - 1) // CHUNK
    place = (first // CHUNK + sequence + chunks - 1).to(tl.int64) * HEADS + head
    cells = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 128
    dlast_state += (sequence.to(tl.int64) * HEADS + head) * (DIM * 128)
    g = tl.load(dlast_state + cells, mask=inside, other=0.0)
    gradients += place * (DIM * 128) + cells
    decays += place
    for _ in range(chunks):
        added = tl.load(gradients, mask=inside, other=0.0)
        tl.store(gradients, g, mask=inside)
        g = g * tl.load(decays) + added
        gradients -= HEADS * DIM * 128
        decays -= HEADS
    dinitial_state += (sequence.to(tl.int64) * HEADS + head) * (DIM * 128)
    tl.store(dinitial_state + cells, g, mask=inside)


@triton.jit
def row_gradients(
    x,
    B,
    C,
    z,
    dout,
    dt,
    A,
    dt_bias,
    limit,
    cu_seqlens,
    states,
    gradients,
    rows,
    steps_owed,
    x_stride_step,
    x_stride_head,
    B_stride_step,
    B_stride_group,
    C_stride_step,
    C_stride_group,
    z_stride_step,
    z_stride_head,
    dout_stride_step,
    dout_stride_head,
    dt_stride_step,
    dt_stride_head,
    batch,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
    SEQUENCES: tl.constexpr,
):
    # dB and dC of the steps of one chunk, one head's part, and what the exponents of their decays owe.
    head = tl.program_id(0)
    chunk = tl.program_id(1)
    # The sequence that has this chunk: the last one whose first chunk is no later.
    sequences = tl.arange(0, SEQUENCES)
    begins = tl.load(cu_seqlens + sequences, mask=sequences < batch, other=2147483647)
    sequence = tl.reduce((begins // CHUNK + sequences <= chunk).to(tl.int32), 0, add) - 1
    first = tl.load(cu_seqlens + sequence)
    steps = (first + (chunk - first // CHUNK - sequence) * CHUNK).to(tl.int64) + tl.arange(0, CHUNK)
    during = steps < tl.load(cu_seqlens + sequence + 1)
    place = chunk.to(tl.int64) * HEADS + head
    dt += head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32) + tl.load(dt_bias + head)
    dt_t = softplus(dt_t)
    least, most = tl.load(limit), tl.load(limit + 1)
    dt_t = tl.minimum(tl.maximum(dt_t, least), most)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    high = since.to(tl.float32)
    low = (since - high).to(tl.float32)
    total = tl.reduce(exponents, 0, add)
    x += head * x_stride_head
    dout += head * dout_stride_head
    z += head * z_stride_head
    B += head // (HEADS // GROUPS) * B_stride_group + steps[:, None] * B_stride_step
    C += head // (HEADS // GROUPS) * C_stride_group + steps[:, None] * C_stride_step

    # Rows for the earlier step and columns for the later.
    F = tl.full((CHUNK, CHUNK), 0.0, tl.float32)
    for begin in tl.range(0, DIM, BLOCK_P, num_stages=1):
        p = begin + tl.arange(0, BLOCK_P)
        present = during[:, None] & (p < DIM)[None, :]
        x_t = tl.load(x + p[None, :] + steps[:, None] * x_stride_step, mask=present, other=0.0)
        x_t = x_t.to(tl.float32)
        dy_t = tl.load(dout + p[None, :] + steps[:, None] * dout_stride_step, mask=present, other=0.0)
        dy_t = dy_t.to(tl.float32)
        gate = tl.load(z + p[None, :] + steps[:, None] * z_stride_step, mask=present, other=0.0)
        gate = gate.to(tl.float32)
        dy_t *= silu(gate)
        F = tl.dot(x_t, tl.trans(dy_t), F, input_precision="tf32")
    gap = (high[None, :] - high[:, None]) + (low[None, :] - low[:, None])
    left = exp2(tl.where(steps[None, :] >= steps[:, None], gap, float("-inf")))
    F *= left * dt_t[:, None]
    E = tl.full((CHUNK, CHUNK), 0.0, tl.float32)
    for begin in tl.range(0, 128, BLOCK_N, num_stages=1):
        n = begin + tl.arange(0, BLOCK_N)
        there = during[:, None] & (n < 128)[None, :]
        B_t = tl.load(B + n[None, :], mask=there, other=0.0)
        B_t = B_t.to(tl.float32)
        C_t = tl.load(C + n[None, :], mask=there, other=0.0)
        C_t = C_t.to(tl.float32)
        E = tl.dot(B_t, tl.trans(C_t), E, input_precision="tf32")
    # At each step r the sum over t >= r, of which those of s < r count.
    sums_after = tl.associative_scan(E * F, 1, add, reverse=True)
    owed = tl.reduce(tl.where(steps[:, None] < steps[None, :], sums_after, 0.0), 0, add)

    over = 0.0
    by_start = tl.full((CHUNK,), 0.0, tl.float32)
    by_end = tl.full((CHUNK,), 0.0, tl.float32)
    states += place * (DIM * 128)
    gradients += place * (DIM * 128)
    rows += steps[:, None] * (HEADS * 256) + head * 256
    for begin in tl.range(0, 128, BLOCK_N, num_stages=1):
        n = begin + tl.arange(0, BLOCK_N)
        held = n < 128
        there = during[:, None] & held[None, :]
        B_t = tl.load(B + n[None, :], mask=there, other=0.0)
        B_t = B_t.to(tl.float32)
        C_t = tl.load(C + n[None, :], mask=there, other=0.0)
        C_t = C_t.to(tl.float32)
        dB_t = tl.full((CHUNK, BLOCK_N), 0.0, tl.float32)
        dC_t = tl.full((CHUNK, BLOCK_N), 0.0, tl.float32)
        for begin_p in tl.range(0, DIM, BLOCK_P, num_stages=1):
            p = begin_p + tl.arange(0, BLOCK_P)
            inside = p < DIM
            cells = inside[:, None] & held[None, :]
            present = during[:, None] & inside[None, :]
            x_t = tl.load(x + p[None, :] + steps[:, None] * x_stride_step, mask=present, other=0.0)
            x_t = x_t.to(tl.float32)
            dy_t = tl.load(dout + p[None, :] + steps[:, None] * dout_stride_step, mask=present, other=0.0)
            dy_t = dy_t.to(tl.float32)
            gate = tl.load(z + p[None, :] + steps[:, None] * z_stride_step, mask=present, other=0.0)
            gate = gate.to(tl.float32)
            dy_t *= silu(gate)
            h = tl.load(states + p[:, None] * 128 + n[None, :], mask=cells, other=0.0)
            g = tl.load(gradients + p[:, None] * 128 + n[None, :], mask=cells, other=0.0)
            over += tl.reduce(tl.reduce(h * g, 1, add), 0, add)
            dC_t = tl.dot(dy_t, h, dC_t, input_precision="tf32")
            dB_t = tl.dot(x_t, g, dB_t, input_precision="tf32")
        dC_t *= exp2(high)[:, None]
        dB_t *= (dt_t * exp2((total - since).to(tl.float32)))[:, None]
        by_start += tl.reduce(dC_t * C_t, 1, add)
        by_end += tl.reduce(dB_t * B_t, 1, add)
        dC_t = tl.dot(tl.trans(F), B_t, dC_t, input_precision="tf32")
        dB_t = tl.dot(F, C_t, dB_t, input_precision="tf32")
        tl.store(rows + n[None, :], dB_t, mask=there)
        tl.store(rows + 128 + n[None, :], dC_t, mask=there)
    earlier, later = steps[None, :] < steps[:, None], steps[None, :] >= steps[:, None]
    owed += over * exp2(total.to(tl.float32))
    owed += tl.reduce(tl.where(earlier, by_end[None, :], 0.0), 1, add)
    owed += tl.reduce(tl.where(later, by_start[None, :], 0.0), 1, add)
    tl.store(steps_owed + place * CHUNK + tl.arange(0, CHUNK), owed)


@triton.jit
def ssd_backward(
    x,
    B,
    C,
    D,
    z,
    dout,
    dx,
    ddt,
    dz,
    dt,
    A,
    dt_bias,
    limit,
    cu_seqlens,
    states,
    gradients,
    steps_owed,
    sums,
    x_stride_step,
    x_stride_head,
    B_stride_step,
    B_stride_group,
    C_stride_step,
    C_stride_group,
    D_stride_head,
    D_stride_dim,
    z_stride_step,
    z_stride_head,
    dout_stride_step,
    dout_stride_head,
    dx_stride_step,
    dx_stride_head,
    ddt_stride_step,
    ddt_stride_head,
    dz_stride_step,
    dz_stride_head,
    dt_stride_step,
    dt_stride_head,
    batch,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
    SEQUENCES: tl.constexpr,
):
    # dx, dt's and z's of the steps of one chunk of one head, and its part of what all steps share.
    head = tl.program_id(0)
    chunk = tl.program_id(1)
    # The sequence that has this chunk: the last one whose first chunk is no later.
    sequences = tl.arange(0, SEQUENCES)
    begins = tl.load(cu_seqlens + sequences, mask=sequences < batch, other=2147483647)
    sequence = tl.reduce((begins // CHUNK + sequences <= chunk).to(tl.int32), 0, add) - 1
    first = tl.load(cu_seqlens + sequence)
    steps = (first + (chunk - first // CHUNK - sequence) * CHUNK).to(tl.int64) + tl.arange(0, CHUNK)
    during = steps < tl.load(cu_seqlens + sequence + 1)
    place = chunk.to(tl.int64) * HEADS + head
    dt += head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32) + tl.load(dt_bias + head)
    slope = sigmoid(dt_t)
    dt_t = softplus(dt_t)
    least, most = tl.load(limit), tl.load(limit + 1)
    slope = tl.where((dt_t >= least) & (dt_t <= most), slope, 0.0)
    dt_t = tl.minimum(tl.maximum(dt_t, least), most)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    high = since.to(tl.float32)
    low = (since - high).to(tl.float32)
    to_end = exp2((tl.reduce(exponents, 0, add) - since).to(tl.float32))
    x += head * x_stride_head
    dout += head * dout_stride_head
    z += head * z_stride_head
    dz += head * dz_stride_head
    dx += head * dx_stride_head
    ddt += head * ddt_stride_head
    B += head // (HEADS // GROUPS) * B_stride_group + steps[:, None] * B_stride_step
    C += head // (HEADS // GROUPS) * C_stride_group + steps[:, None] * C_stride_step
    states += place * (DIM * 128)
    gradients += place * (DIM * 128)
    sums += place * (2 + DIM)
    E = tl.full((CHUNK, CHUNK), 0.0, tl.float32)
    for begin in tl.range(0, 128, BLOCK_N, num_stages=1):
        n = begin + tl.arange(0, BLOCK_N)
        there = during[:, None] & (n < 128)[None, :]
        B_t = tl.load(B + n[None, :], mask=there, other=0.0)
        B_t = B_t.to(tl.float32)
        C_t = tl.load(C + n[None, :], mask=there, other=0.0)
        C_t = C_t.to(tl.float32)
        E = tl.dot(B_t, tl.trans(C_t), E, input_precision="tf32")
    gap = (high[None, :] - high[:, None]) + (low[None, :] - low[:, None])
    left = exp2(tl.where(steps[None, :] >= steps[:, None], gap, float("-inf")))
    E *= left
    owed = tl.load(steps_owed + place * CHUNK + tl.arange(0, CHUNK))
    given = tl.load(A + head) * owed
    for begin in tl.range(0, DIM, BLOCK_P, num_stages=1):
        p = begin + tl.arange(0, BLOCK_P)
        inside = p < DIM
        present = during[:, None] & inside[None, :]
        passed = tl.full((CHUNK, BLOCK_P), 0.0, tl.float32)
        y = tl.full((CHUNK, BLOCK_P), 0.0, tl.float32)
        for begin_n in tl.range(0, 128, BLOCK_N, num_stages=1):
            n = begin_n + tl.arange(0, BLOCK_N)
            held = n < 128
            cells = inside[:, None] & held[None, :]
            there = during[:, None] & held[None, :]
            B_t = tl.load(B + n[None, :], mask=there, other=0.0)
            B_t = B_t.to(tl.float32)
            g = tl.load(gradients + p[:, None] * 128 + n[None, :], mask=cells, other=0.0)
            passed = tl.dot(B_t, tl.trans(g), passed, input_precision="tf32")
            C_t = tl.load(C + n[None, :], mask=there, other=0.0)
            C_t = C_t.to(tl.float32)
            h = tl.load(states + p[:, None] * 128 + n[None, :], mask=cells, other=0.0)
            y = tl.dot(C_t, tl.trans(h), y, input_precision="tf32")
        x_t = tl.load(x + p[None, :] + steps[:, None] * x_stride_step, mask=present, other=0.0)
        x_t = x_t.to(tl.float32)
        dy_t = tl.load(dout + p[None, :] + steps[:, None] * dout_stride_step, mask=present, other=0.0)
        dy_t = dy_t.to(tl.float32)
        gate = tl.load(z + p[None, :] + steps[:, None] * z_stride_step, mask=present, other=0.0)
        gate = gate.to(tl.float32)
        dy_t *= silu(gate)
        passed *= to_end[:, None]
        passed = tl.dot(E, dy_t, passed, input_precision="tf32")
        given += tl.reduce(x_t * passed, 1, add)
        passed *= dt_t[:, None]
        skip = tl.load(D + head * D_stride_head + p * D_stride_dim, mask=inside, other=0.0)
        passed += skip[None, :] * dy_t
        tl.store(sums + 2 + p, tl.reduce(dy_t * x_t, 0, add), mask=inside)
        tl.store(dx + p[None, :] + steps[:, None] * dx_stride_step, passed, mask=present)
        y *= exp2(high)[:, None]
        y = tl.dot(tl.trans(E * dt_t[:, None]), x_t, y, input_precision="tf32")
        y += skip[None, :] * x_t
        opened = sigmoid(gate)
        y *= opened * (1.0 + gate * (1.0 - opened))
        dout_t = tl.load(dout + p[None, :] + steps[:, None] * dout_stride_step, mask=present, other=0.0)
        tl.store(dz + p[None, :] + steps[:, None] * dz_stride_step, y * dout_t, mask=present)
    given *= slope
    tl.store(ddt + steps * ddt_stride_step, given, mask=during)
    tl.store(sums, tl.reduce(dt_t * owed, 0, add))
    tl.store(sums + 1, tl.reduce(tl.where(during, given, 0.0), 0, add))


@triton.jit
def add_heads(
    dB,
    dC,
    rows,
    dB_stride_step,
    dB_stride_group,
    dC_stride_step,
    dC_stride_group,
    seqlen,
    HEADS: tl.constexpr,
    SHARED: tl.constexpr,
    STEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # dB and dC of some states: sums over the heads that share them, in order.
    group = tl.program_id(1)
    step = tl.program_id(0).to(tl.int64) * STEPS + tl.arange(0, STEPS)
    n = tl.arange(0, BLOCK)
    there = (step < seqlen)[:, None] & (n < 128)[None, :]
    rows += (step[:, None] * HEADS + group * SHARED) * 256 + n[None, :]
    dB_t = tl.full((STEPS, BLOCK), 0.0, tl.float32)
    dC_t = tl.full((STEPS, BLOCK), 0.0, tl.float32)
    for _ in range(SHARED):
        dB_t += tl.load(rows, mask=there, other=0.0)
        dC_t += tl.load(rows + 128, mask=there, other=0.0)
        rows += 256
    dB += step * dB_stride_step + group * dB_stride_group
    tl.store(dB[:, None] + n[None, :], dB_t, mask=there)
    dC += step * dC_stride_step + group * dC_stride_group
    tl.store(dC[:, None] + n[None, :], dC_t, mask=there)


@triton.jit
def add_chunks(
    dA,
    ddt_bias,
    dD,
    sums,
    dD_stride_head,
    dD_stride_dim,
    batch,
    seqlen,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # What all steps of a head share: sums over chunks, in order.
    head = tl.program_id(0)
    cells = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < 2 + DIM
    sums += head * (2 + DIM) + cells
    sum = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(seqlen // CHUNK + batch):
        sum += tl.load(sums, mask=inside, other=0.0)
        sums += HEADS * (2 + DIM)
    tl.store(dA + head + cells, sum, mask=cells == 0)
    tl.store(ddt_bias + head + cells - 1, sum, mask=cells == 1)
    dD += head * dD_stride_head + (cells - 2) * dD_stride_dim
    tl.store(dD, sum, mask=inside & (cells >= 2))
