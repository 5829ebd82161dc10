"""A Mamba block between its first projection and its output, as one function: convolution, projections, scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ssmgen.compat.recomputed import Recomputed, others_save, saved_as_recipes
from ssmgen.errors import InvalidInputError
from ssmgen.ops import selective_scan
from ssmgen.ops.op import require_shape, require_tensor
from ssmgen.reference.checkpointed import wants_checkpoints

__all__ = ["Block", "Norms", "mamba_inner"]


class Block(NamedTuple):
    """The tensors of a block, named and shaped as `ssmgen.compat.mamba_ssm.mamba_inner_fn` has them."""

    xz: Tensor
    conv1d_weight: Tensor
    conv1d_bias: Tensor | None
    x_proj_weight: Tensor
    delta_proj_weight: Tensor
    out_proj_weight: Tensor
    out_proj_bias: Tensor | None
    A: Tensor
    B: Tensor | None
    C: Tensor | None
    D: Tensor | None
    delta_bias: Tensor | None
    B_proj_bias: Tensor | None
    C_proj_bias: Tensor | None

    @property
    def row_count(self) -> int:
        """How many rows of the projection a variable B or C takes: complex numbers take two."""
        return self.A.shape[1] * (2 if self.A.is_complex() else 1)


class Norms(NamedTuple):
    """Weights of the RMS norms of B, C and delta, each over its features; those that are None are left out."""

    B: Tensor | None = None
    C: Tensor | None = None
    delta: Tensor | None = None
    eps: float = 1e-6


def mamba_inner(
    block: Block, norms: Norms, *, delta_softplus: bool, keep: bool, target: str | None = None
) -> Tensor:
    """The block's output; see `ssmgen.compat.mamba_ssm.mamba_inner_fn`.

    Every intermediate is (batch, features, seqlen) with time side by side, as the scan reads it: x and z are views of
    xz, and B, C and the low-rank delta are views of one product.

    Args:
        block: Its tensors.
        norms: Norms of B, C and delta.
        delta_softplus: As in `selective_scan`.
        keep: Whether the convolution's output and delta are kept for backward rather than computed again.
        target: What runs the scan.
    """
    _check_shapes(block, norms)
    device = block.xz.device.type
    if torch.is_autocast_enabled(device):
        block = _cast(block, torch.get_autocast_dtype(device))
        # From here on dtypes are explicit: backward, which computes some of this again, runs without autocast.
        with torch.autocast(device, enabled=False):
            return _forward(block, norms, delta_softplus, keep, target)
    _check_dtypes(block)
    return _forward(block, norms, delta_softplus, keep, target)


def _forward(block: Block, norms: Norms, delta_softplus: bool, keep: bool, target: str | None) -> Tensor:
    x, z = block.xz.chunk(2, dim=1)
    rank = block.delta_proj_weight.shape[1]
    convolution = (x, block.conv1d_weight, block.conv1d_bias)
    trains = wants_checkpoints(*(x for x in (*block, *norms[:3]) if x is not None))
    # What lies between the convolution and its silu is never kept: it is as large as u, and cheap.
    u = _checkpointed(_convolution, *convolution) if trains else _convolution(*convolution)

    def scan(delta: Tensor, rows: Tensor) -> Tensor:
        B, C = _rows(block, norms, rows)
        D, bias = block.D, block.delta_bias
        return selective_scan(u, delta, block.A, B, C, D, z, bias, delta_softplus, target=target)

    if keep or not trains or others_save():
        rows = _project(block.x_proj_weight, u)
        y = scan(_delta(rows[:, :rank], block.delta_proj_weight, norms.delta, norms.eps), rows)
    else:
        u_again = Recomputed(u, _convolution, *convolution)
        with saved_as_recipes((u, u_again)):
            rows = _project(block.x_proj_weight, u)
        projection = (rows[:, :rank], block.delta_proj_weight, norms.delta, norms.eps)
        delta = _delta(*projection) if norms.delta is None else _checkpointed(_delta, *projection)
        delta_again = Recomputed(delta, _delta, *projection)
        with saved_as_recipes((u, u_again), (delta, delta_again)):
            y = scan(delta, rows)
    return F.linear(y.mT, block.out_proj_weight, block.out_proj_bias)


def _checkpointed(compute: Callable[..., Tensor], *inputs: object) -> Tensor:
    result: Tensor = checkpoint(compute, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The causal convolution of each channel, and silu; rounded to x's dtype once, at the end."""
    dim, _, width = weight.shape
    # In half precision PyTorch would round before silu too, and on CPUs takes 20 times as long as through float32.
    wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    bias = None if bias is None else bias.to(wide)
    out = F.conv1d(x.to(wide), weight.to(wide), bias, padding=width - 1, groups=dim)
    return F.silu(out[..., : x.shape[2]]).to(x.dtype)


def _project(weight: Tensor, x: Tensor) -> Tensor:
    """(rows, features) by (batch, features, seqlen): a matrix product for each sequence, which transposes nothing."""
    return torch.bmm(weight.expand(x.shape[0], -1, -1), x)


def _delta(rows: Tensor, weight: Tensor, norm: Tensor | None, eps: float) -> Tensor:
    delta = _project(weight, rows)
    return delta if norm is None else _rms_norm(delta, norm, eps)


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Over the features of (batch, features, seqlen), in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    scale = torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + eps)
    return (wide * scale * weight.to(wide.dtype)[:, None]).to(x.dtype)


def _rows(block: Block, norms: Norms, rows: Tensor) -> tuple[Tensor, Tensor]:
    """B and C: those given, else their rows of the projection, which lie behind delta's and C's last."""
    count, rank = block.row_count, block.delta_proj_weight.shape[1]
    found = []
    for given, start, bias, norm in (
        (block.B, rank, block.B_proj_bias, norms.B),
        (block.C, rows.shape[1] - count, block.C_proj_bias, norms.C),
    ):
        if given is not None:
            found.append(given)
            continue
        x = rows[:, start : start + count]
        if bias is not None:
            x = x + bias.to(x.dtype)[:, None]
        if norm is not None:
            x = _rms_norm(x, norm, norms.eps)
        if block.A.is_complex():
            # The projection has the two parts of a number in neighbouring rows, the scan in neighbouring steps.
            x = x.unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)
        found.append(x)
    return found[0], found[1]


def _cast(block: Block, kind: torch.dtype) -> Block:
    """What autocast casts: the inputs of matrix products, and xz, which is the output of one."""
    bias = block.out_proj_bias
    return block._replace(
        xz=block.xz.to(kind),
        x_proj_weight=block.x_proj_weight.to(kind),
        delta_proj_weight=block.delta_proj_weight.to(kind),
        out_proj_weight=block.out_proj_weight.to(kind),
        out_proj_bias=None if bias is None else bias.to(kind),
    )


def _check_dtypes(block: Block) -> None:
    for name in ("x_proj_weight", "delta_proj_weight", "out_proj_weight", "out_proj_bias"):
        x = getattr(block, name)
        if x is not None and x.dtype != block.xz.dtype:
            raise InvalidInputError(
                f"{name} is {x.dtype}, but xz is {block.xz.dtype}; cast one of them, or run this under torch.autocast."
            )


def _check_shapes(block: Block, norms: Norms) -> None:
    """Everything but what the scan checks itself."""
    for name in ("xz", "conv1d_weight", "x_proj_weight", "delta_proj_weight", "out_proj_weight", "A"):
        require_tensor(name, getattr(block, name))
    for name, axes in (
        ("xz", 3),
        ("A", 2),
        ("conv1d_weight", 3),
        ("delta_proj_weight", 2),
        ("out_proj_weight", 2),
    ):
        if (x := getattr(block, name)).ndim != axes:
            raise InvalidInputError(f"{name} has shape {tuple(x.shape)}; it must have {axes} dims.")
    batch, _, seqlen = block.xz.shape
    dim, rank, width = block.A.shape[0], block.delta_proj_weight.shape[1], block.conv1d_weight.shape[2]
    out = block.out_proj_weight.shape[0]
    rows = rank + block.row_count * ((block.B is None) + (block.C is None))
    require_shape("xz", block.xz, ("batch", "2 dim", "seqlen"), (batch, 2 * dim, seqlen))
    require_shape("conv1d_weight", block.conv1d_weight, ("dim", "1", "width"), (dim, 1, width))
    require_shape("x_proj_weight", block.x_proj_weight, ("rows of delta, B and C", "dim"), (rows, dim))
    require_shape("delta_proj_weight", block.delta_proj_weight, ("dim", "rank"), (dim, rank))
    require_shape("out_proj_weight", block.out_proj_weight, ("out", "dim"), (out, dim))
    vectors = (
        ("conv1d_bias", block.conv1d_bias, "dim", dim),
        ("out_proj_bias", block.out_proj_bias, "out", out),
        ("B_proj_bias", block.B_proj_bias, "rows of B", block.row_count),
        ("C_proj_bias", block.C_proj_bias, "rows of C", block.row_count),
        ("b_rms_weight", norms.B, "d_state", block.A.shape[1]),
        ("c_rms_weight", norms.C, "d_state", block.A.shape[1]),
        ("dt_rms_weight", norms.delta, "dim", dim),
    )
    for name, vector, axis, size in vectors:
        if vector is not None:
            require_shape(name, require_tensor(name, vector), (axis,), (size,))
    for name, norm, given in (("b_rms_weight", norms.B, block.B), ("c_rms_weight", norms.C, block.C)):
        if norm is not None and (given is not None or block.A.is_complex()):
            raise InvalidInputError(
                f"{name} norms real rows of the projection; here they are given, or complex."
            )
