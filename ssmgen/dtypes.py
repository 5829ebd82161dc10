"""The short names of dtypes (`bf16`, `c64`) and what they are in torch, Triton and C."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ssmgen.errors import InvalidInputError, unknown

__all__ = ["DTYPES", "FLOATING", "DType", "accumulate", "by_torch", "dtype", "with_complex", "with_real"]


class DType(NamedTuple):
    """One dtype. Complex numbers reach kernels as interleaved real pairs, so `triton` and `c` name the real part."""

    name: str
    torch: torch.dtype
    triton: str
    c: str
    itemsize: int
    is_complex: bool = False


DTYPES: dict[str, DType] = {
    item.name: item
    for item in (
        DType("fp32", torch.float32, "fp32", "float", 4),
        DType("bf16", torch.bfloat16, "bf16", "bf16", 2),
        DType("fp16", torch.float16, "fp16", "fp16", 2),
        DType("fp64", torch.float64, "fp64", "double", 8),
        DType("c64", torch.complex64, "fp32", "float", 8, is_complex=True),
        DType("c128", torch.complex128, "fp64", "double", 16, is_complex=True),
        DType("i32", torch.int32, "i32", "int32_t", 4),  # of offsets, not of inputs
    )
}
FLOATING = tuple(name for name in DTYPES if name != "i32")
_BY_TORCH = {DTYPES[name].torch: DTYPES[name] for name in FLOATING}
_ACCUMULATE = {"fp32": "fp32", "bf16": "fp32", "fp16": "fp32", "fp64": "fp64", "c64": "c64", "c128": "c128"}


def dtype(name: str) -> DType:
    """The dtype of that short name."""
    if name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    return DTYPES[name]


def by_torch(value: torch.dtype, what: str) -> str:
    """The short name of a torch dtype; `what` names the tensor in the error."""
    found = _BY_TORCH.get(value)
    if found is None:
        raise InvalidInputError(f"{what} is {value}; supported are {', '.join(str(d) for d in _BY_TORCH)}.")
    return found.name


def accumulate(name: str) -> str:
    """The dtype in which states and sums of inputs of that dtype are kept: fp32, or fp64 for fp64."""
    return _ACCUMULATE[name]


def with_complex(name: str) -> str:
    """The complex dtype of that precision."""
    return {"fp32": "c64", "fp64": "c128"}.get(name, name)


def with_real(name: str) -> str:
    """The real dtype of that precision."""
    return {"c64": "fp32", "c128": "fp64"}.get(name, name)
