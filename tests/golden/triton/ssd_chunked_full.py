# ssd forward, bf16: chunked(block_n=128,block_p=64,chunk=64,exp=asm,num_warps=4,products=stored)
# h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)
# dt = softplus(dt + dt_bias) when asked, within limits
# Rendered by ssmgen from templates/triton/ssd_chunked.py.j2; source 74bedf57da143216.
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
    x_t = tl.load(x_at, mask=inside[:, None] & during[None, :], other=0.0)
    B += head // (HEADS // GROUPS) * B_stride_group + steps[:, None] * B_stride_step
    states += place * (DIM * 128) + p[:, None] * 128
    for begin in range(0, 128, BLOCK_N):
        n = begin + tl.arange(0, BLOCK_N)[None, :]
        held = n < 128
        B_t = tl.load(B + n, mask=during[:, None] & held, other=0.0)
        B_t = (B_t * weight[:, None]).to(x.dtype.element_ty)
        tl.store(states + n, tl.dot(x_t, B_t), mask=inside[:, None] & held)
    tl.store(decays + place, exp2(total.to(tl.float32)))


@triton.jit
def pass_states(
    initial_state,
    last_state,
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
    last_state += (sequence.to(tl.int64) * HEADS + head) * (DIM * 128)
    tl.store(last_state + cells, h, mask=inside)


@triton.jit
def ssd(
    x,
    B,
    C,
    D,
    z,
    out,
    dt,
    A,
    dt_bias,
    limit,
    cu_seqlens,
    states,
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
    out_stride_step,
    out_stride_head,
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
    # The outputs of one chunk of one head: what its steps add themselves, and what reaches them from before.
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
    high = since.to(tl.float32)
    low = (since - high).to(tl.float32)
    C += head // (HEADS // GROUPS) * C_stride_group + steps[:, None] * C_stride_step
    B += head // (HEADS // GROUPS) * B_stride_group + steps[None, :] * B_stride_step
    states += place * (DIM * 128) + p[None, :] * 128
    y = tl.full((CHUNK, BLOCK_P), 0.0, tl.float32)
    weights = tl.full((CHUNK, CHUNK), 0.0, tl.float32)
    for begin in range(0, 128, BLOCK_N):
        n = begin + tl.arange(0, BLOCK_N)
        held = n < 128
        C_t = tl.load(C + n[None, :], mask=during[:, None] & held[None, :], other=0.0)
        B_t = tl.load(B + n[:, None], mask=held[:, None] & during[None, :], other=0.0)
        h = tl.load(states + n[:, None], mask=held[:, None] & inside[None, :], other=0.0)
        y = tl.dot(C_t, h.to(x.dtype.element_ty), y)
        weights = tl.dot(C_t, B_t, weights)
    y *= exp2(high)[:, None]
    weights *= dt_t[None, :]
    gap = (high[:, None] - high[None, :]) + (low[:, None] - low[None, :])
    weights *= exp2(tl.where(steps[:, None] >= steps[None, :], gap, float("-inf")))
    x_at = x + head * x_stride_head + p[None, :] + steps[:, None] * x_stride_step
    present = during[:, None] & inside[None, :]
    x_t = tl.load(x_at, mask=present, other=0.0)
    y += tl.dot(weights.to(x.dtype.element_ty), x_t)
    skip = tl.load(D + head * D_stride_head + p * D_stride_dim, mask=inside, other=0.0)
    y += skip[None, :] * x_t
    z += head * z_stride_head + p[None, :]
    gate = tl.load(z + steps[:, None] * z_stride_step, mask=present, other=0.0)
    y *= silu(gate.to(tl.float32))
    out += head * out_stride_head + p[None, :]
    tl.store(out + steps[:, None] * out_stride_step, y, mask=present)
