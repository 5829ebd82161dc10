# causal_conv1d_update forward, bf16: channels(block_d=64,exp=asm,num_warps=1)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_update.py.j2; source c7782513c2ae3026.
import triton
import triton.language as tl


@triton.jit
def exp2(x):
    # One MUFU instruction: tl.exp2 adds the handling of denormals, which these sums do not need.
    asm: tl.constexpr = "ex2.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def reciprocal(x):
    # One MUFU instruction, off by one unit in the last place at most; a division adds the handling of denormals.
    asm: tl.constexpr = "rcp.approx.ftz.f32 $0, $1;"
    return tl.inline_asm_elementwise(asm, "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def silu(x):
    return x * reciprocal(1.0 + exp2(x * -1.4426950408889634))


@triton.jit
def causal_conv1d_update(
    x,
    conv_state,
    weight,
    bias,
    cache_seqlens,
    indices,
    out,
    x_stride_batch,
    x_stride_dim,
    x_stride_token,
    conv_state_stride_slot,
    conv_state_stride_dim,
    conv_state_stride_step,
    out_stride_batch,
    out_stride_dim,
    out_stride_token,
    tokens,
    length,
    slots,
    BLOCK_D: tl.constexpr,
):
    # A block of channels of one sequence, token by token; a lane reads all that it overwrites before.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    x += batch * x_stride_batch + channels * x_stride_dim
    out += batch * out_stride_batch + channels * out_stride_dim
    slot = tl.load(indices + batch).to(tl.int64)
    if (slot < 0) | (slot >= slots):
        # Padding: no state belongs to it.
        for _ in range(tokens):
            tl.store(out, tl.full((BLOCK_D,), 0.0, tl.float32))
            out += out_stride_token
        return
    conv_state += slot * conv_state_stride_slot + channels * conv_state_stride_dim
    # The place of the first token, and far enough from 0 for those before it.
    start = tl.load(cache_seqlens + batch) % length + length
    w0 = tl.load(weight + channels * 4)
    w1 = tl.load(weight + channels * 4 + 1)
    w2 = tl.load(weight + channels * 4 + 2)
    w3 = tl.load(weight + channels * 4 + 3)
    b = tl.load(bias + channels)
    for token in range(tokens):
        y = b
        if token < 3:
            seen = tl.load(conv_state + (start + token - 3) % length * conv_state_stride_step).to(tl.float32)
        else:
            seen = tl.load(x + (token - 3) * x_stride_token).to(tl.float32)
        y = tl.fma(w0, seen, y)
        if token < 2:
            seen = tl.load(conv_state + (start + token - 2) % length * conv_state_stride_step).to(tl.float32)
        else:
            seen = tl.load(x + (token - 2) * x_stride_token).to(tl.float32)
        y = tl.fma(w1, seen, y)
        if token < 1:
            seen = tl.load(conv_state + (start + token - 1) % length * conv_state_stride_step).to(tl.float32)
        else:
            seen = tl.load(x + (token - 1) * x_stride_token).to(tl.float32)
        y = tl.fma(w2, seen, y)
        y = tl.fma(w3, tl.load(x + token * x_stride_token).to(tl.float32), y)
        tl.store(out + token * out_stride_token, silu(y))
    # Of tokens that share a place the last one stays.
    for token in range(tokens):
        place = conv_state + (start + token) % length * conv_state_stride_step
        tl.store(place, tl.load(x + token * x_stride_token))
