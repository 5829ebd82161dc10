"""What the ops on poles share: their complex dtype, and tensors of any leading dims as matrices."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from ssmgen.dtypes import FLOATING
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter
from ssmgen.ops.op import common_dtype

__all__ = ["broadcast_leading", "complex_dtype", "matrix", "require_length", "require_same_poles"]


def complex_dtype(tensors: Mapping[str, Tensor]) -> str:
    """c64, or c128 if an input is of double precision."""
    return "c128" if common_dtype(dict(tensors), FLOATING) in ("fp64", "c128") else "c64"


def broadcast_leading(tensors: Mapping[str, Tensor]) -> torch.Size:
    """The leading dims, all but the last, that these broadcast to.

    Raises:
        InvalidInputError: They do not broadcast, or a size is 0.
    """
    for name, x in tensors.items():
        if x.ndim == 0 or x.numel() == 0:
            raise InvalidInputError(f"{name} has shape {tuple(x.shape)}; every size must be at least 1.")
    try:
        return torch.Size(torch.broadcast_shapes(*(x.shape[:-1] for x in tensors.values())))
    except RuntimeError:
        *most, last = tensors
        shapes = ", ".join(str(tuple(x.shape[:-1])) for x in tensors.values())
        raise InvalidInputError(
            f"the leading dims of {', '.join(most)} and {last} do not broadcast: {shapes}."
        ) from None


def matrix(index: int, x: Tensor, leading: torch.Size, kind: torch.dtype) -> Adapter:
    """The adapter to (rows, last) with unit stride along the last dim; shared rows stay shared."""
    if (
        x.ndim == 2
        and len(leading) == 1
        and x.shape[0] == leading[0]
        and x.dtype == kind
        and x.stride(1) == 1
    ):
        return Adapter(index, None)

    rows, shape = prod(leading), x.shape

    def convert(x: Tensor) -> Tensor:
        x = x.to(kind)
        if x.stride(-1) != 1:
            x = x.contiguous()
        return x.expand(*leading, -1).reshape(rows, -1)

    def revert(gradient: Tensor) -> Tensor:
        return gradient.reshape(*leading, -1).sum_to_size(shape)

    return Adapter(index, convert, revert=revert if x.dtype == kind else None)


def require_length(L: object) -> int:
    """The length, which may be symbolic.

    Raises:
        InvalidInputError: It is no integer of at least 1.
    """
    if isinstance(L, bool) or not isinstance(L, (int, torch.SymInt)) or L < 1:
        raise InvalidInputError(f"L must be an integer of at least 1, not {L!r}.")
    return L  # type: ignore[return-value]


def require_same_poles(v: Tensor, name: str, x: Tensor) -> None:
    """Raise an `InvalidInputError` unless v holds one number for each pole of the tensor of that name."""
    if v.shape[-1] != x.shape[-1]:
        raise InvalidInputError(
            f"v and {name} must hold as many poles, but v is {tuple(v.shape)} and {name} is {tuple(x.shape)}."
        )
