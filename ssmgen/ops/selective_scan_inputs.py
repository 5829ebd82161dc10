"""The inputs of a selective scan: which shapes fit together, and what turns tensors into operands."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.dtypes import by_torch
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter
from ssmgen.ops.library import define, is_plain
from ssmgen.ops.op import require_shape, require_tensor

__all__ = ["REAL", "Sizes", "check_offsets", "check_shapes", "deinterleaved", "offsets", "rows", "weight"]

REAL = ("fp32", "bf16", "fp16", "fp64")


class Sizes(NamedTuple):
    """The dims of a problem."""

    batch: int
    dim: int
    seqlen: int
    d_state: int
    groups: int


def check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
) -> Sizes:
    """The sizes of a call whose shapes fit together.

    Raises:
        InvalidInputError: They do not.
    """
    if u.ndim != 3 or A.ndim != 2:
        raise InvalidInputError(
            f"u must be (batch, dim, seqlen) and A (dim, d_state), but they are {tuple(u.shape)} and {tuple(A.shape)}."
        )
    batch, dim, seqlen = u.shape
    d_state = A.shape[1]
    if 0 in (batch, dim, seqlen, d_state):
        raise InvalidInputError(
            f"every size must be at least 1; u is {tuple(u.shape)}, A is {tuple(A.shape)}."
        )
    sequence = (("batch", "dim", "seqlen"), (batch, dim, seqlen))
    require_shape("delta", delta, *sequence)
    if A.shape[0] != dim:  # its second size says what d_state is
        raise InvalidInputError(f"A has shape {tuple(A.shape)}, but must be (dim={dim}, d_state).")
    if z is not None:
        require_shape("z", z, *sequence)
    for name, x in (("D", D), ("delta_bias", delta_bias)):
        if x is not None:
            require_shape(name, x, ("dim",), (dim,))
            _check_kind(name, x, may_be_complex=False)
    _check_kind("A", A, may_be_complex=True)
    for name, x in (("B", B), ("C", C), ("initial_state", initial_state)):
        if x is not None:
            _check_kind(name, x, may_be_complex=A.is_complex())
    groups = _check_rows(A, B, C, batch, dim, seqlen, d_state)
    if cu_seqlens is not None:
        batch = check_offsets(cu_seqlens, batch, "u")
    if initial_state is not None:
        names = ("sequences" if cu_seqlens is not None else "batch", "dim", "d_state")
        require_shape("initial_state", initial_state, names, (batch, dim, d_state))
    return Sizes(batch, dim, seqlen, d_state, groups)


def _check_kind(name: str, x: Tensor, *, may_be_complex: bool) -> None:
    found = by_torch(x.dtype, name)
    if found not in REAL and not (may_be_complex and x.is_complex()):
        wanted = "floating-point, real or complex" if may_be_complex else "real and floating-point"
        why = " where A is real" if name in ("B", "C", "initial_state") and not may_be_complex else ""
        raise InvalidInputError(f"{name} is {x.dtype}; it must be {wanted}{why}.")


def _check_rows(A: Tensor, B: Tensor, C: Tensor, batch: int, dim: int, seqlen: int, d_state: int) -> int:
    """The number of groups of B and C."""
    lengths = {
        # Real rows of a complex scan may be interleaved pairs.
        name: 2 * seqlen if A.is_complex() and not x.is_complex() and x.shape[-1] == 2 * seqlen else seqlen
        for name, x in (("B", B), ("C", C))
        if x.ndim > 0
    }
    groups = 1
    for name, x in (("B", B), ("C", C)):
        if x.ndim == 2:
            require_shape(name, x, ("dim", "d_state"), (dim, d_state))
        elif x.ndim == 3:
            require_shape(name, x, ("batch", "d_state", "seqlen"), (batch, d_state, lengths[name]))
        elif x.ndim == 4:
            groups = max(groups, x.shape[1])
        else:
            raise InvalidInputError(
                f"{name} has shape {tuple(x.shape)}, but must be (dim, d_state), (batch, d_state, seqlen) "
                "or (batch, groups, d_state, seqlen)."
            )
    for name, x in (("B", B), ("C", C)):
        if x.ndim == 4:
            own = 1 if x.shape[1] == 1 else groups
            axes = ("batch", "groups", "d_state", "seqlen")
            require_shape(name, x, axes, (batch, own, d_state, lengths[name]))
    if dim % groups:
        raise InvalidInputError(f"the {groups} groups of B and C must divide dim={dim}.")
    return groups


def check_offsets(cu_seqlens: Tensor, batch: int, name: str) -> int:
    """The number of sequences that are packed in the tensor of that name.

    Raises:
        InvalidInputError: These are no offsets, or its batch is not 1.
    """
    require_tensor("cu_seqlens", cu_seqlens)
    if cu_seqlens.dtype not in (torch.int32, torch.int64) or cu_seqlens.ndim != 1 or cu_seqlens.numel() < 2:
        raise InvalidInputError(
            "cu_seqlens must be (sequences + 1,), int32 or int64, for at least one sequence; "
            f"it is {tuple(cu_seqlens.shape)}, {cu_seqlens.dtype}."
        )
    if batch != 1:
        raise InvalidInputError(
            f"packed sequences lie in a batch of 1, but with cu_seqlens {name} has a batch of {batch}."
        )
    return cu_seqlens.numel() - 1


def weight(index: int, x: Tensor, kind: torch.dtype) -> Adapter:
    """The adapter that makes a parameter contiguous in the accumulation dtype."""
    if x.dtype == kind and x.is_contiguous():
        return Adapter(index, None)
    return Adapter(index, lambda x: x.to(kind).contiguous())


def rows(index: int, x: Tensor, kind: torch.dtype, sizes: Sizes) -> Adapter:
    """The adapter from (batch, [groups,] d_state, seqlen) to contiguous rows (batch, groups, seqlen, d_state).

    They are small beside u, and in float32 rows cost a kernel fewer instructions than they save in bytes.
    """
    if x.ndim == 2:
        return weight(index, x, kind)

    def convert(x: Tensor) -> Tensor:
        if kind.is_complex:
            x = deinterleaved(x, sizes.seqlen)
        if x.ndim == 3:
            x = x.unsqueeze(1)
        return x.transpose(2, 3).expand(-1, sizes.groups, -1, -1).to(kind).contiguous()

    if x.dtype != kind or (1 if x.ndim == 3 else x.shape[1]) != sizes.groups:
        return Adapter(index, convert)

    def transposed(x: Tensor) -> Tensor:
        return (x.unsqueeze(1) if x.ndim == 3 else x).transpose(2, 3).contiguous()

    def reverted(gradient: Tensor) -> Tensor:
        gradient = gradient.transpose(2, 3)
        return gradient.squeeze(1) if is_shared else gradient

    is_shared = x.ndim == 3
    return Adapter(index, transposed, lambda x: torch.transpose_copy(x, -2, -1), revert=reverted)


def deinterleaved(x: Tensor, seqlen: int) -> Tensor:
    """Rows (..., 2 seqlen) of interleaved real and imaginary parts as complex numbers; others as they are."""
    if x.is_complex() or x.ndim == 2 or x.shape[-1] != 2 * seqlen:
        return x
    wide = x if x.dtype == torch.float64 else x.float()
    return torch.view_as_complex(wide.unflatten(-1, (seqlen, 2)).contiguous())


def offsets(seqlen: int) -> Callable[[Tensor], Tensor]:
    """What checks cu_seqlens, where that does not stall a device, and gives them to kernels as int32."""

    def convert(x: Tensor) -> Tensor:
        if is_plain((x,)):
            return _checked_offsets(x, seqlen)
        # The values of what is traced are not known yet: the check becomes a node of the graph.
        return _OFFSETS(x, seqlen)  # type: ignore[no-any-return]

    return convert


def _checked_offsets(x: Tensor, seqlen: int) -> Tensor:
    if x.device.type == "cpu":
        ends = x.tolist()
        if ends[0] != 0 or ends[-1] != seqlen or any(y < x for x, y in itertools.pairwise(ends)):
            raise InvalidInputError(
                f"cu_seqlens must rise from 0 to seqlen={seqlen}, but it is {ends[:8]}{' ...' * (len(ends) > 8)}."
            )
    return x.to(torch.int32).contiguous()


_OFFSETS = define(
    "_checked_offsets(Tensor cu_seqlens, SymInt seqlen) -> Tensor",
    lambda x, seqlen: _checked_offsets(x.clone(), seqlen),  # a node returns memory of its own
    lambda x, seqlen: torch.empty(x.shape, dtype=torch.int32, device=x.device),
)
