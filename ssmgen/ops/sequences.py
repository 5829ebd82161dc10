"""Layouts of (batch, dim, seqlen) tensors: which one a call is in, and how a stray tensor is brought into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssmgen.ops.launch import Adapter

__all__ = ["common_layout", "sequence_adapter"]

# PyTorch's own threshold; below it copies are quick anyway.
_LEAST_IN_TILES = 60 * 60


def common_layout(tensors: Sequence[Tensor]) -> str:
    """`time` or `channel`: the axis along which most of the (batch, dim, seqlen) tensors have unit stride.

    A single step has no time to run along: its channels are what lies side by side.
    """
    if tensors[0].shape[2] == 1:
        return "channel"
    channel = sum(_has_layout(x, "channel") and not _has_layout(x, "time") for x in tensors)
    return "channel" if 2 * channel > len(tensors) else "time"


def sequence_adapter(index: int, x: Tensor, layout: str, dtype: torch.dtype) -> Adapter:
    """The adapter that gives tensor `index` of the call this layout and dtype; it copies only if it has to."""
    if x.dtype == dtype and _has_layout(x, layout):
        return Adapter(index, None)
    if layout == "time":
        return Adapter(index, lambda x: _copied(x.to(dtype)))
    return Adapter(index, lambda x: _copied(x.to(dtype).transpose(1, 2)).transpose(1, 2))


def _copied(x: Tensor) -> Tensor:
    """A contiguous (batch, rows, columns), differentiably."""
    # On CPUs PyTorch transposes a matrix in tiles, but what has three axes element by element: for 1536 channels of
    # 1024 steps that takes 20 times as long.
    if not x.is_cpu or x.shape[0] == 0 or x.shape[1] * x.shape[2] < _LEAST_IN_TILES or x.is_contiguous():
        return x.contiguous()
    matrices = [matrix.contiguous() for matrix in x]
    return matrices[0][None] if len(matrices) == 1 else torch.stack(matrices)


def _has_layout(x: Tensor, layout: str) -> bool:
    axis = 2 if layout == "time" else 1
    return x.stride(axis) == 1 or x.shape[axis] == 1
