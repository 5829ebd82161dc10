"""The functions that the Mamba models of transformers call, with transformers' names and signatures, on ssmgen's ops.

They have the meaning of its PyTorch code, which runs where mamba-ssm and causal-conv1d are missing. Fused functions
are left to their parts: these are told of padding, and norm where the model does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen import ops
from ssmgen.errors import InvalidInputError

__all__ = [
    "causal_conv1d_fn",
    "causal_conv1d_update",
    "mamba2_chunk_scan",
    "mamba2_selective_state_update",
    "mamba2_split_conv1d_scan_combined",
    "mamba_inner_fn",
    "mamba_selective_scan",
    "mamba_selective_state_update",
]


def causal_conv1d_fn(
    hidden_states: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    seq_idx: Tensor | None = None,
    **kwargs: object,
) -> Tensor:
    """`ssmgen.causal_conv1d`, followed by any activation that transformers knows.

    Args:
        hidden_states: (batch, dim, seqlen), float32, bfloat16, float16 or float64.
        weight: (dim, W).
        bias: (dim,), left out when None.
        activation: A name of transformers' `ACT2FN`; the kernel has `silu` itself.
        seq_idx: (batch, seqlen), int32 or int64, for several sequences in one row; only `Mamba2Model` hands it on.
        kwargs: What else the model was called with.

    Returns:
        (batch, dim, seqlen) in the dtype of hidden_states.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together; several sequences in one row are given by
            `cu_seqlens` alone.
    """
    _require_seq_idx(seq_idx, kwargs)
    inside, after = _activation(activation)
    return _activated(ops.causal_conv1d(hidden_states, weight, bias, seq_idx, activation=inside), after)


def causal_conv1d_update(
    hidden_states: Tensor,
    conv_state: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
) -> Tensor:
    """`ssmgen.causal_conv1d_update`, followed by any activation that transformers knows.

    Args:
        hidden_states: (batch, dim, tokens), float32, bfloat16, float16 or float64.
        conv_state: (batch, dim, length), the latest steps, at least W - 1; replaced by those after the call.
        weight: (dim, W).
        bias: (dim,), left out when None.
        activation: A name of transformers' `ACT2FN`; the kernel has `silu` itself.

    Returns:
        (batch, dim, tokens) in the dtype of hidden_states.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    inside, after = _activation(activation)
    if _trains(hidden_states, conv_state, weight, bias):
        steps = torch.cat([conv_state, hidden_states], dim=-1)
        conv_state.copy_(steps[..., -conv_state.shape[-1] :])
        out = ops.causal_conv1d(steps, weight, bias, activation=inside)[..., -hidden_states.shape[-1] :]
    else:
        out = ops.causal_conv1d_update(hidden_states, conv_state, weight, bias, inside)
    return _activated(out, after)


def mamba_inner_fn(*args: object, **kwargs: object) -> None:
    """None, by which a model runs the parts, as it does without mamba-ssm.

    It is not told which steps are padding, whose convolved value a model sets to zero; and it norms delta behind its
    projection, where transformers norms before.
    """


def mamba_selective_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **kwargs: object,
) -> Tensor | tuple[Tensor, Tensor]:
    """`ssmgen.selective_scan`, the scan of Mamba.

    Args:
        hidden_states: (batch, dim, seqlen), float32, bfloat16, float16 or float64.
        dt: (batch, dim, seqlen).
        A: (dim, d_state).
        B: (batch, d_state, seqlen).
        C: As B.
        D: (dim,).
        z: (batch, dim, seqlen).
        delta_bias: (dim,).
        delta_softplus: Whether dt passes through softplus.
        return_last_state: Whether to return the state after the last step too.
        kwargs: `use_mambapy` and `use_associative_scan`, which choose among transformers' own ways.

    Returns:
        (batch, dim, seqlen) in the dtype of hidden_states; with `return_last_state`, a pair of it and the last state
        (batch, dim, d_state) in float32, or in float64 for float64 inputs.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    return ops.selective_scan(
        hidden_states, dt, A, B, C, D, z, delta_bias, delta_softplus, bool(return_last_state)
    )


def mamba_selective_state_update(
    state: Tensor,
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    z: Tensor | None = None,
    **kwargs: object,
) -> Tensor:
    """`ssmgen.selective_state_update`, a step of Mamba; where gradients are asked for, a scan of one step.

    Args:
        state: (batch, dim, d_state); replaced by the state after the step.
        hidden_states: (batch, dim), float32, bfloat16, float16 or float64.
        dt: (batch, dim).
        A: (dim, d_state).
        B: (batch, d_state).
        C: As B.
        D: (dim,).
        dt_bias: (dim,).
        dt_softplus: Whether dt passes through softplus.
        z: (batch, dim).
        kwargs: What else the model was called with.

    Returns:
        (batch, dim) in the dtype that the inputs promote to.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    if not _trains(state, hidden_states, dt, A, B, C, D, dt_bias, z):
        return ops.selective_state_update(state, hidden_states, dt, A, B, C, D, z, dt_bias, dt_softplus)
    x, dt, B, C = (tensor[..., None] for tensor in (hidden_states, dt, B, C))
    z = None if z is None else z[..., None]
    # Backward reads the state as it was.
    before = state.clone()
    out, after = ops.selective_scan(x, dt, A, B, C, D, z, dt_bias, dt_softplus, True, initial_state=before)
    state.copy_(after)
    return out[..., 0]


def mamba2_selective_state_update(
    state: Tensor,
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    z: Tensor | None = None,
    **kwargs: object,
) -> Tensor:
    """`ssmgen.selective_state_update`, a step of Mamba-2; where gradients are asked for, a scan of one step.

    Args:
        state: (batch, heads, dim, d_state); replaced by the state after the step.
        hidden_states: (batch, heads, dim), float32, bfloat16, float16 or float64.
        dt: (batch, heads, dim), the same for all channels of a head.
        A: (heads, dim, d_state), the same for all channels and states of a head.
        B: (batch, groups, d_state).
        C: As B.
        D: (heads, dim).
        dt_bias: (heads, dim), the same for all channels of a head.
        dt_softplus: Whether dt passes through softplus.
        z: (batch, heads, dim).
        kwargs: What else the model was called with.

    Returns:
        (batch, heads, dim) in the dtype that the inputs promote to.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
    """
    if not _trains(state, hidden_states, dt, A, B, C, D, dt_bias, z):
        return ops.selective_state_update(state, hidden_states, dt, A, B, C, D, z, dt_bias, dt_softplus)
    x, B, C = (tensor[:, None] for tensor in (hidden_states, B, C))
    out, after = ops.ssd(
        x,
        dt[:, None, :, 0],
        A[:, 0, 0],
        B,
        C,
        D=D,
        z=None if z is None else z[:, None],
        dt_bias=None if dt_bias is None else dt_bias[:, 0],
        # Backward reads the state as it was.
        initial_states=state.clone(),
        dt_softplus=dt_softplus,
        return_final_states=True,
    )
    state.copy_(after)
    return out[:, 0]


def mamba2_split_conv1d_scan_combined(*args: object, **kwargs: object) -> None:
    """None, by which a model runs the parts, as it does without mamba-ssm; see `mamba_inner_fn`."""


def mamba2_chunk_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    seq_idx: Tensor | None = None,
    **kwargs: object,
) -> Tensor | tuple[Tensor, Tensor]:
    """`ssmgen.ssd`, the scan of Mamba-2.

    Args:
        hidden_states: (batch, seqlen, heads, dim), float32, bfloat16, float16 or float64.
        dt: (batch, seqlen, heads).
        A: (heads,).
        B: (batch, seqlen, groups, d_state).
        C: As B.
        chunk_size: Without effect: the kernel's choice is tuned.
        D: (heads,).
        dt_bias: (heads,).
        initial_states: (batch, heads, dim, d_state); zero when None.
        dt_softplus: Whether dt passes through softplus.
        dt_limit: The least and the largest dt.
        return_final_states: Whether to return the states after the last step too.
        seq_idx: (batch, seqlen), int32 or int64, for several sequences in one row; see `ssmgen.ssd`.
        kwargs: What else the model was called with.

    Returns:
        (batch, seqlen, heads, dim) in the dtype of hidden_states; with `return_final_states`, a pair of it and the
        final states (batch, heads, dim, d_state) in float32, or in float64 for float64 inputs.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together; several sequences in one row are given by
            `cu_seqlens` alone.
    """
    _require_seq_idx(seq_idx, kwargs)
    if initial_states is not None and _trains(initial_states, hidden_states, dt, A, B, C, D, dt_bias):
        # A cache takes the final states into the memory of these, which backward reads.
        initial_states = initial_states.clone()
    return ops.ssd(
        hidden_states,
        dt,
        A,
        B,
        C,
        chunk_size,
        D,
        dt_bias=dt_bias,
        initial_states=initial_states,
        seq_idx=seq_idx,
        dt_softplus=dt_softplus,
        dt_limit=dt_limit,
        return_final_states=bool(return_final_states),
    )


def _require_seq_idx(seq_idx: Tensor | None, options: dict[str, object]) -> None:
    if seq_idx is None and options.get("cu_seqlens") is not None:
        raise InvalidInputError(
            "the model was called with cu_seqlens; for several sequences in one row, call it with seq_idx too, as "
            "DataCollatorWithFlattening(return_seq_idx=True) makes it."
        )


def _trains(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def _activation(name: str | None) -> tuple[str | None, str | None]:
    """What the kernel applies, and what is left to apply to its output."""
    return (name, None) if name in (None, "silu", "swish") else (None, name)


def _activated(x: Tensor, name: str | None) -> Tensor:
    if name is None:
        return x
    from transformers.activations import ACT2FN

    activated: Tensor = ACT2FN[name](x)
    return activated
