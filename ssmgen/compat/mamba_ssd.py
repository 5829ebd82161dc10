"""Mamba-2's scan with the signature of mamba-ssm's `mamba_chunk_scan_combined`, on ssmgen's."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen import ops
from ssmgen.errors import InvalidInputError

__all__ = ["mamba_chunk_scan_combined"]


def mamba_chunk_scan_combined(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    seq_idx: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    return_varlen_states: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """`ssmgen.ssd`, as mamba-ssm's function of that name: sequences are packed by seq_idx.

    Args:
        x, dt, A, B, C, chunk_size, D, z, dt_bias, seq_idx, dt_softplus, dt_limit: As in `ssmgen.ssd`.
        initial_states: (batch, heads, dim, d_state), of the first sequence of each row.
        cu_seqlens: (sequences + 1,), where the sequences of seq_idx begin and end; for `return_varlen_states` alone.
        return_final_states: Whether to return the states after the last step, (batch, heads, dim, d_state).
        return_varlen_states: Whether to return those after each sequence too, (sequences, heads, dim, d_state).

    Returns:
        out (batch, seqlen, heads, dim), or a tuple of it, the final states and those of the sequences, if asked for.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together, or return_varlen_states lacks cu_seqlens.
    """
    if not return_varlen_states:
        return ops.ssd(
            x,
            dt,
            A,
            B,
            C,
            chunk_size,
            D,
            z,
            dt_bias,
            initial_states,
            seq_idx,
            None,
            dt_softplus,
            dt_limit,
            return_final_states,
        )
    if cu_seqlens is None or seq_idx is None:
        raise InvalidInputError("return_varlen_states takes the sequences by seq_idx and by cu_seqlens.")
    if initial_states is not None:
        rest = initial_states.new_zeros(cu_seqlens.numel() - 2, *initial_states.shape[1:])
        initial_states = torch.cat([initial_states, rest])
    out, states = ops.ssd(
        x,
        dt,
        A,
        B,
        C,
        chunk_size,
        D,
        z,
        dt_bias,
        initial_states,
        None,
        cu_seqlens,
        dt_softplus,
        dt_limit,
        True,
    )
    return (out, states[-1:], states) if return_final_states else (out, states)
