"""A Mamba block between its first projection and its output, as one function: convolution, projections, scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ssmgen.compat.recomputed import Recomputed, others_save, saved_as_recipes
from ssmgen.errors import InvalidInputError
from ssmgen.ops import causal_conv1d, selective_scan
from ssmgen.ops.inner_path import InnerPath
from ssmgen.ops.op import require_shape, require_tensor
from ssmgen.ops.sequences import common_layout
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

    Every intermediate is (batch, features, seqlen): x and z are views of xz, u and delta are in its layout, and B, C
    and the low-rank delta are views of one product. Long sequences on a CPU go in pieces; see `InnerPath`.

    Args:
        block: Its tensors.
        norms: Norms of B, C and delta.
        delta_softplus: As in `selective_scan`.
        keep: Whether the convolution's output and delta are kept for backward rather than computed again, unless the
            sequence is very long.
        target: What runs the convolution and the scan.
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
    weights = (block.x_proj_weight, block.delta_proj_weight, block.B, block.C)
    selection = _Selection(*weights, block.B_proj_bias, block.C_proj_bias, *norms[:3])
    path = InnerPath(
        block.conv1d_weight[:, 0],
        block.conv1d_bias,
        block.A,
        block.D,
        block.delta_bias,
        partial(_select, block.A.is_complex(), norms.eps),
        selection,
        delta_softplus,
        target,
        # A B or C that is given may change with time.
        is_split=all(x is None or x.ndim == 2 for x in (block.B, block.C)),
        recomputes=not keep,
    )
    trains = wants_checkpoints(*(x for x in (*block, *norms[:3]) if x is not None))
    if keep or not trains or others_save() or path.size_of_pieces(block.xz) is not None:
        y, _ = path.run(block.xz)
    else:
        y = _recomputing(path, selection, norms.eps, block.xz)
    return F.linear(y.mT, block.out_proj_weight, block.out_proj_bias)


class _Selection(NamedTuple):
    """What selects delta, B and C of u."""

    x_proj: Tensor
    delta_proj: Tensor
    B: Tensor | None
    C: Tensor | None
    B_bias: Tensor | None
    C_bias: Tensor | None
    B_norm: Tensor | None
    C_norm: Tensor | None
    delta_norm: Tensor | None


def _recomputing(path: InnerPath, selection: _Selection, eps: float, xz: Tensor) -> Tensor:
    """The outputs of the whole path, which keeps neither u nor delta for backward but what they are computed from."""
    x, z = xz.chunk(2, dim=1)
    convolution = (x, path.taps, path.conv_bias)
    convolve = partial(causal_conv1d, activation="silu", target=path.target)
    u = convolve(*convolution)
    u_again = Recomputed(u, convolve, *convolution)
    with saved_as_recipes((u, u_again)):
        rows = _project(selection.x_proj, u)
    project = partial(_delta, common_layout((u,)), eps)
    projection = (rows, selection.delta_proj, selection.delta_norm)
    delta = project(*projection) if selection.delta_norm is None else _checkpointed(project, *projection)
    delta_again = Recomputed(delta, project, *projection)
    B, C = _rows(selection, rows, path.A.is_complex(), eps)
    with saved_as_recipes((u, u_again), (delta, delta_again)):
        return selective_scan(
            u,
            delta,
            path.A,
            B,
            C,
            path.D,
            z,
            path.delta_bias,
            path.delta_softplus,
            target=path.target,
        )


def _checkpointed(compute: Callable[..., Tensor], *inputs: object) -> Tensor:
    result: Tensor = checkpoint(compute, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def _select(is_complex: bool, eps: float, u: Tensor, *weights: Tensor | None) -> tuple[Tensor, ...]:
    selection = _Selection(*weights)  # type: ignore[arg-type]
    rows = _project(selection.x_proj, u)
    delta = _delta(common_layout((u,)), eps, rows, selection.delta_proj, selection.delta_norm)
    return delta, *_rows(selection, rows, is_complex, eps)


def _project(weight: Tensor, x: Tensor, layout: str = "time") -> Tensor:
    """(rows, features) by (batch, features, seqlen): a matrix product for each sequence, which transposes nothing."""
    if layout == "channel":
        return torch.bmm(x.mT, weight.mT.expand(len(x), -1, -1)).mT
    return torch.bmm(weight.expand(len(x), -1, -1), x)


def _delta(layout: str, eps: float, rows: Tensor, weight: Tensor, norm: Tensor | None) -> Tensor:
    """From its rows, which are the first, in this layout."""
    low = rows[:, : weight.shape[1]]
    delta = _project(weight, low, layout)
    return delta if norm is None else _rms_norm(delta, norm, eps)


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Over the features of (batch, features, seqlen), in float32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    scale = torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + eps)
    return (wide * scale * weight.to(wide.dtype)[:, None]).to(x.dtype)


def _rows(selection: _Selection, rows: Tensor, is_complex: bool, eps: float) -> tuple[Tensor, Tensor]:
    """B and C: those given, else their rows of the projection, which lie behind delta's and C's last."""
    s, rank = selection, selection.delta_proj.shape[1]
    count = (rows.shape[1] - rank) // max(1, (s.B is None) + (s.C is None))
    found = []
    for given, start, bias, norm in (
        (s.B, rank, s.B_bias, s.B_norm),
        (s.C, rows.shape[1] - count, s.C_bias, s.C_norm),
    ):
        if given is not None:
            found.append(given)
            continue
        x = rows[:, start : start + count]
        if bias is not None:
            x = x + bias.to(x.dtype)[:, None]
        if norm is not None:
            x = _rms_norm(x, norm, eps)
        if is_complex:
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
