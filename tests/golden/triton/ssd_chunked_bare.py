# ssd forward, fp32: chunked(block_n=16,block_p=64,chunk=64,exp=asm,num_warps=8,products=tf32x3)
# h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)
# dt = softplus(dt + dt_bias) when asked, within limits
# Rendered by ssmgen from templates/triton/ssd_chunked.py.j2; source 2223e570abb50b97.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def chunk_states(
    x,
    B,
    dt,
    A,
    states,
    decays,
    x_stride_batch,
    x_stride_step,
    x_stride_head,
    B_stride_batch,
    B_stride_step,
    B_stride_group,
    dt_stride_batch,
    dt_stride_step,
    dt_stride_head,
    seqlen,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # What the steps of one chunk add to the state of one head by its end.
    head = tl.program_id(0) // BLOCKS % HEADS
    batch = (tl.program_id(0) // (HEADS * BLOCKS)).to(tl.int64)
    chunk = tl.program_id(1).to(tl.int64)
    steps = chunk * CHUNK + tl.arange(0, CHUNK)
    during = steps < seqlen
    place = (batch * tl.num_programs(1) + chunk) * HEADS + head
    p = tl.program_id(0) % BLOCKS * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = p < DIM
    dt += batch * dt_stride_batch + head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    total = tl.reduce(exponents, 0, add)
    weight = dt_t * exp2((total - since).to(tl.float32))
    x_at = x + batch * x_stride_batch + head * x_stride_head + p[:, None] + steps[None, :] * x_stride_step
    x_t = tl.load(x_at, mask=inside[:, None] & during[None, :], other=0.0)
    B += batch * B_stride_batch + head // (HEADS // GROUPS) * B_stride_group + steps[:, None] * B_stride_step
    states += place * (DIM * 128) + p[:, None] * 128
    for begin in range(0, 128, BLOCK_N):
        n = begin + tl.arange(0, BLOCK_N)[None, :]
        held = n < 128
        B_t = tl.load(B + n, mask=during[:, None] & held, other=0.0)
        B_t = B_t * weight[:, None]
        tl.store(states + n, tl.dot(x_t, B_t, input_precision="tf32x3"), mask=inside[:, None] & held)
    tl.store(decays + place, exp2(total.to(tl.float32)))


@triton.jit
def pass_states(
    states,
    decays,
    seqlen,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # From what each chunk adds to what it starts from, of some numbers of the state of one head.
    head = tl.program_id(0) % HEADS
    sequence = (tl.program_id(0) // HEADS).to(tl.int64)
    chunks = (seqlen + CHUNK - 1) // CHUNK
    place = sequence * chunks * HEADS + head
    cells = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = cells < DIM * 128
    h = tl.full((BLOCK,), 0.0, tl.float32)
    states += place * (DIM * 128) + cells
    decays += place
    for _ in range(chunks):
        added = tl.load(states, mask=inside, other=0.0)
        tl.store(states, h, mask=inside)
        h = h * tl.load(decays) + added
        states += HEADS * DIM * 128
        decays += HEADS


@triton.jit
def ssd(
    x,
    B,
    C,
    out,
    dt,
    A,
    states,
    x_stride_batch,
    x_stride_step,
    x_stride_head,
    B_stride_batch,
    B_stride_step,
    B_stride_group,
    C_stride_batch,
    C_stride_step,
    C_stride_group,
    out_stride_batch,
    out_stride_step,
    out_stride_head,
    dt_stride_batch,
    dt_stride_step,
    dt_stride_head,
    seqlen,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # The outputs of one chunk of one head: what its steps add themselves, and what reaches them from before.
    head = tl.program_id(0) // BLOCKS % HEADS
    batch = (tl.program_id(0) // (HEADS * BLOCKS)).to(tl.int64)
    chunk = tl.program_id(1).to(tl.int64)
    steps = chunk * CHUNK + tl.arange(0, CHUNK)
    during = steps < seqlen
    place = (batch * tl.num_programs(1) + chunk) * HEADS + head
    p = tl.program_id(0) % BLOCKS * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = p < DIM
    dt += batch * dt_stride_batch + head * dt_stride_head
    dt_t = tl.load(dt + steps * dt_stride_step, mask=during, other=0.0)
    dt_t = dt_t.to(tl.float32)
    dt_t = tl.where(during, dt_t, 0.0)
    # In float64, so that differences of their sums keep their digits where much has decayed.
    exponents = (dt_t * (tl.load(A + head) * 1.4426950408889634)).to(tl.float64)
    since = tl.associative_scan(exponents, 0, add)
    high = since.to(tl.float32)
    low = (since - high).to(tl.float32)
    C += batch * C_stride_batch + head // (HEADS // GROUPS) * C_stride_group + steps[:, None] * C_stride_step
    B += batch * B_stride_batch + head // (HEADS // GROUPS) * B_stride_group + steps[None, :] * B_stride_step
    states += place * (DIM * 128) + p[None, :] * 128
    y = tl.full((CHUNK, BLOCK_P), 0.0, tl.float32)
    weights = tl.full((CHUNK, CHUNK), 0.0, tl.float32)
    for begin in range(0, 128, BLOCK_N):
        n = begin + tl.arange(0, BLOCK_N)
        held = n < 128
        C_t = tl.load(C + n[None, :], mask=during[:, None] & held[None, :], other=0.0)
        B_t = tl.load(B + n[:, None], mask=held[:, None] & during[None, :], other=0.0)
        h = tl.load(states + n[:, None], mask=held[:, None] & inside[None, :], other=0.0)
        y = tl.dot(C_t, h, y, input_precision="tf32x3")
        weights = tl.dot(C_t, B_t, weights, input_precision="tf32x3")
    y *= exp2(high)[:, None]
    weights *= dt_t[None, :]
    gap = (high[:, None] - high[None, :]) + (low[:, None] - low[None, :])
    weights *= exp2(tl.where(steps[:, None] >= steps[None, :], gap, float("-inf")))
    x_at = x + batch * x_stride_batch + head * x_stride_head + p[None, :] + steps[:, None] * x_stride_step
    present = during[:, None] & inside[None, :]
    x_t = tl.load(x_at, mask=present, other=0.0)
    y += tl.dot(weights, x_t, input_precision="tf32x3")
    out += batch * out_stride_batch + head * out_stride_head + p[None, :]
    tl.store(out + steps[:, None] * out_stride_step, y, mask=present)
