"""Layouts of (batch, dim, seqlen) tensors: which one a call is in, and how a stray tensor is brought into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssmgen.ops.launch import Adapter

__all__ = ["common_layout", "sequence_adapter"]


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
        return Adapter(index, lambda x: x.to(dtype).contiguous())
    return Adapter(index, lambda x: x.to(dtype).transpose(1, 2).contiguous().transpose(1, 2))


def _has_layout(x: Tensor, layout: str) -> bool:
    axis = 2 if layout == "time" else 1
    return x.stride(axis) == 1 or x.shape[axis] == 1
