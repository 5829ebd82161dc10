"""The short causal convolution of Mamba's blocks, one filter for each channel, over a sequence and step by step."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["causal_conv1d", "causal_conv1d_update"]


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    *,
    seq_idx: Tensor | None = None,
    initial_state: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked; differentiable.

    Args:
        x: (batch, dim, seqlen).
        weight: (dim, W).
        bias: (dim,).
        silu: Whether the sums pass through silu.
        seq_idx: (batch, seqlen): a step sees those before it that have its number; of a negative one the output is 0.
        initial_state: (batch, dim, W - 1), the steps before the first; zero when None.
        dtype: What everything is computed in.

    Returns:
        out (batch, dim, seqlen) and the last state (batch, dim, W - 1), the last steps of all, in `dtype`.
    """
    x, weight = x.to(dtype), weight.to(dtype)
    seqlen, width = x.shape[-1], weight.shape[-1]
    if initial_state is None:
        initial_state = x.new_zeros(*x.shape[:-1], width - 1)
    steps = torch.cat([initial_state.to(dtype), x], dim=-1)
    numbers = None if seq_idx is None else F.pad(seq_idx, (width - 1, 0), value=-1)
    y = None
    for tap in range(width):
        seen = steps[..., tap : tap + seqlen]
        if numbers is not None:
            is_same = numbers[:, tap : tap + seqlen] == numbers[:, width - 1 :]
            seen = torch.where(is_same[:, None], seen, 0)
        term = weight[:, tap, None] * seen
        y = term if y is None else y + term
    assert y is not None
    if bias is not None:
        y = y + bias.to(dtype)[:, None]
    if silu:
        y = F.silu(y)
    if seq_idx is not None:
        y = torch.where((seq_idx < 0)[:, None], 0, y)
    return y, steps[..., seqlen:]


def causal_conv1d_update(
    x: Tensor,
    conv_state: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    silu: bool = False,
    *,
    cache_seqlens: Tensor | None = None,
    indices: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """The same for a few tokens that follow on the steps in `conv_state`.

    Args:
        x: (batch, dim, tokens).
        conv_state: (batch or, with indices, any number, dim, length), length at least W - 1; it is not changed.
        weight, bias, silu: As above.
        cache_seqlens: (batch,), where the state is a ring: the place, modulo length, of the first token.
        indices: (batch,), which row of conv_state is whose; one that does not exist marks padding, whose output is 0.
        dtype: What everything is computed in.

    Returns:
        out (batch, dim, tokens) in `dtype`, and the states after the last token (batch, dim, length), in their dtype.
    """
    length, tokens, width = conv_state.shape[-1], x.shape[-1], weight.shape[-1]
    padding = None
    if indices is not None:
        padding = (indices < 0) | (indices >= conv_state.shape[0])
        conv_state = conv_state[indices.masked_fill(padding, 0)]
    if cache_seqlens is None:
        steps = torch.cat([conv_state, x.to(conv_state.dtype)], dim=-1)
        before, states = conv_state[..., length - (width - 1) :], steps[..., tokens:]
    else:
        places = cache_seqlens.long()[:, None] + torch.arange(1 - width, tokens, device=x.device)
        places = torch.remainder(places, length)[:, None].expand(-1, x.shape[1], -1)
        before = conv_state.gather(2, places[..., : width - 1])
        # Of tokens that share a place in the ring the last one stays.
        kept = min(tokens, length)
        states = conv_state.scatter(
            2, places[..., places.shape[-1] - kept :], x[..., tokens - kept :].to(conv_state.dtype)
        )
    out, _ = causal_conv1d(x, weight, bias, silu, initial_state=before, dtype=dtype)
    if padding is not None:
        out = out.masked_fill(padding[:, None, None], 0)
    return out, states
