# causal_conv1d_update forward, fp32: channels(block_d=64,exp=asm,num_warps=1)
# out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked
# Rendered by ssmgen from templates/triton/causal_conv1d_update.py.j2; source 215e65c3d3ec3967.
import triton
import triton.language as tl


@triton.jit
def causal_conv1d_update(
    x,
    conv_state,
    weight,
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
    BLOCK_D: tl.constexpr,
):
    # A block of channels of one sequence, token by token; a lane reads all that it overwrites before.
    batch = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    x += batch * x_stride_batch + channels * x_stride_dim
    out += batch * out_stride_batch + channels * out_stride_dim
    conv_state += batch * conv_state_stride_slot + channels * conv_state_stride_dim
    w0 = tl.load(weight + channels * 4)
    w1 = tl.load(weight + channels * 4 + 1)
    w2 = tl.load(weight + channels * 4 + 2)
    w3 = tl.load(weight + channels * 4 + 3)
    for token in range(tokens):
        y = tl.full((BLOCK_D,), 0.0, tl.float32)
        if token < 3:
            seen = tl.load(conv_state + (length + token - 3) * conv_state_stride_step)
        else:
            seen = tl.load(x + (token - 3) * x_stride_token)
        y = tl.fma(w0, seen, y)
        if token < 2:
            seen = tl.load(conv_state + (length + token - 2) * conv_state_stride_step)
        else:
            seen = tl.load(x + (token - 2) * x_stride_token)
        y = tl.fma(w1, seen, y)
        if token < 1:
            seen = tl.load(conv_state + (length + token - 1) * conv_state_stride_step)
        else:
            seen = tl.load(x + (token - 1) * x_stride_token)
        y = tl.fma(w2, seen, y)
        y = tl.fma(w3, tl.load(x + token * x_stride_token), y)
        tl.store(out + token * out_stride_token, y)
    for step in range(length):
        source = tokens + step
        if source < length:
            value = tl.load(conv_state + source * conv_state_stride_step)
        else:
            value = tl.load(x + (source - length) * x_stride_token)
        tl.store(conv_state + step * conv_state_stride_step, value)
