"""Long sequences in pieces of batch and time, each computed while the caches hold it, and again for its gradients.

What lies between a piece's first op and its last does not travel to memory, nor is it kept for backward: the states
before each piece are. Backward goes from the last piece to the first, and writes gradients where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssmgen.ops.pages import LARGE_BYTES, in_huge_pages

__all__ = ["PieceSize", "Segment", "in_pieces"]

# (x, z, *states, *parameters) -> (y, *states): x, z and y (rows, dim, steps), states with rows first. Pure.
Segment = Callable[..., tuple[Tensor, ...]]
_STATES = 2

# Of x, for each core. Training of Mamba-130M's inner path (2048 steps, float32, one core of an AMD EPYC that has two)
# took 93 ms; with half of this 95 ms, with twice as much 92 ms.
_BYTES = 3 << 19
_ALIGNED = 16  # steps: the least interval of saved states, and the lanes of the widest vector


class PieceSize(NamedTuple):
    """How many sequences, and how many of their steps, make a piece."""

    rows: int
    steps: int

    @classmethod
    def of(cls, x: Tensor, cores: int) -> PieceSize | None:
        """The size of pieces of (batch, dim, seqlen), or None where two hold it all, which saves no memory.

        The cores that there are count, not the threads that may use them: results do not depend on these.
        """
        batch, dim, seqlen = x.shape
        step, most = dim * x.element_size(), _BYTES * cores
        if batch * seqlen * step <= 2 * most:
            return None
        count = -(-seqlen // max(_ALIGNED, most // step))
        even = -(-seqlen // count)
        steps = min(seqlen, -(-even // _ALIGNED) * _ALIGNED)
        return cls(max(1, most // (step * steps)), steps)

    def slices(self, batch: int, seqlen: int) -> list[tuple[slice, slice]]:
        """Rows and steps of all pieces: some rows from their first step to their last, then the next ones."""
        return [
            (slice(row, min(row + self.rows, batch)), slice(step, min(step + self.steps, seqlen)))
            for row in range(0, batch, self.rows)
            for step in range(0, seqlen, self.steps)
        ]


def in_pieces(
    segment: Segment,
    size: PieceSize,
    xz: Tensor,
    states: Sequence[Tensor],
    parameters: Sequence[Tensor | None],
) -> tuple[Tensor, ...]:
    """The segment over all of a sequence; differentiable in everything, twice too.

    Args:
        segment: What is computed. It may not hold tensors that gradients are wanted of.
        size: The size of a piece.
        xz: (batch, 2 dim, seqlen), x and behind it z, on a CPU.
        states: Two, those before the first step.
        parameters: What is the same at every step.

    Returns:
        y (batch, dim, seqlen) in the layout that the segment gives it, and the states after the last step.
    """
    tensors = (xz, *states, *parameters)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors):
        apply: Any = _InPieces.apply  # which only some releases of PyTorch give a type
        results: tuple[Tensor, ...] = apply(segment, size, *tensors)
        return results
    return _walk(segment, size, tensors, lambda before: None)


def _walk(
    segment: Segment,
    size: PieceSize,
    tensors: Sequence[Tensor | None],
    keep: Callable[[Sequence[Tensor]], None],
) -> tuple[Tensor, ...]:
    """Outputs and last states; the states before each piece are given to `keep`."""
    xz, *states = tensors[: 1 + _STATES]
    assert xz is not None
    (batch, _, seqlen), (x, z) = xz.shape, xz.chunk(2, dim=1)
    y, lasts = None, []
    for rows, steps in size.slices(batch, seqlen):
        if steps.start == 0:
            current = [state[rows] for state in states if state is not None]
        keep(current)
        piece, *current = segment(x[rows, :, steps], z[rows, :, steps], *current, *tensors[1 + _STATES :])
        if y is None:
            y = _all_like(piece, batch, seqlen)
        y[rows, :, steps] = piece
        if steps.stop == seqlen:
            lasts.append(current)
    assert y is not None
    return y, *map(_joined, zip(*lasts, strict=True))


class _InPieces(torch.autograd.Function):
    """Forward keeps what it was given, and the states before each piece."""

    @staticmethod
    def forward(ctx: Any, segment: Segment, size: PieceSize, *tensors: Tensor | None) -> Any:
        before: list[Tensor] = []
        results = _walk(segment, size, tensors, before.extend)
        ctx.segment, ctx.size, ctx.count = segment, size, len(tensors)
        kind = torch.get_autocast_dtype("cpu")
        ctx.autocast = partial(torch.autocast, "cpu", dtype=kind, enabled=torch.is_autocast_enabled("cpu"))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *before)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        tensors, before = saved[: ctx.count], saved[ctx.count :]
        with ctx.autocast():
            if torch.is_grad_enabled():
                return None, None, *_with_graph(ctx.segment, tensors, gradients, needed)
            return None, None, *_walk_back(ctx.segment, ctx.size, tensors, before, gradients, needed)


def _walk_back(
    segment: Segment,
    size: PieceSize,
    tensors: Sequence[Tensor | None],
    before: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradient of each tensor that needs one, from the last piece to the first."""
    xz, _, _, *parameters = tensors
    assert xz is not None
    batch, _, seqlen = xz.shape
    dxz = _huge(torch.empty_like(xz)) if needed[0] else None
    sums: list[Tensor | None] = [None] * len(parameters)
    firsts: list[Sequence[Tensor | None]] = []
    leaves = [_leaf(x, need) for x, need in zip(parameters, needed[1 + _STATES :], strict=True)]
    pieces = size.slices(batch, seqlen)
    for index, (rows, steps) in reversed(list(enumerate(pieces))):
        dy, *later = (None if x is None else x[rows] for x in gradients)
        if steps.stop == seqlen:
            dstates = later
        halves = [_leaf(half[rows, :, steps], needed[0]) for half in xz.chunk(2, dim=1)]
        wanted = [steps.start > 0 or need for need in needed[1 : 1 + _STATES]]
        given = before[_STATES * index : _STATES * (index + 1)]
        states = [_leaf(x, need) for x, need in zip(given, wanted, strict=True)]
        inputs = [*halves, *states, *leaves]
        with torch.enable_grad():
            outputs = segment(*inputs)
        found = _gradients(outputs, inputs, [None if dy is None else dy[..., steps], *dstates])
        if dxz is not None:
            for half, gradient in zip(dxz.chunk(2, dim=1), found, strict=False):
                half[rows, :, steps] = 0 if gradient is None else gradient
        dstates = found[2 : 2 + _STATES]
        if steps.start == 0:
            firsts.append(dstates)
        for place, gradient in enumerate(found[2 + _STATES :]):
            sums[place] = _added(sums[place], gradient)
    # Rows have gradients of a state all or none, as their outputs have.
    initial = [None if x[0] is None else _joined(x) for x in zip(*reversed(firsts), strict=True)]
    of_parameters = [
        None if total is None or x is None else total.to(x.dtype)
        for total, x in zip(sums, parameters, strict=True)
    ]
    return [dxz, *initial, *of_parameters]


def _with_graph(
    segment: Segment,
    tensors: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The same, differentiably, of the sequence as a whole."""
    # Each of them new: one that depends on another would pass its gradient on to it.
    xz, *others = (x if x is None else x.view_as(x) for x in tensors)
    assert xz is not None
    found = iter(
        _gradients(segment(*xz.chunk(2, dim=1), *others), [xz, *others], gradients, create_graph=True)
    )
    return [gradient if need else None for gradient, need in zip(found, needed, strict=True)]


def _gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    create_graph: bool = False,
) -> list[Tensor | None]:
    """The gradient of each input that requires one."""
    pairs = [(y, dy) for y, dy in zip(outputs, gradients, strict=True) if dy is not None and y.requires_grad]
    wanted = [x for x in inputs if x is not None and x.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    ys, dys = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(ys, wanted, dys, create_graph=create_graph, allow_unused=True))
    return [next(found) if x is not None and x.requires_grad else None for x in inputs]


def _leaf(x: Tensor | None, requires_grad: bool) -> Tensor | None:
    return None if x is None else x.detach().requires_grad_(requires_grad)


def _added(total: Tensor | None, x: Tensor | None) -> Tensor | None:
    """Their sum, in float32 at least: what is added up in half precision loses what is small beside the sum."""
    if x is None:
        return total
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide if total is None else total + wide


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _all_like(piece: Tensor, batch: int, seqlen: int) -> Tensor:
    """For what such pieces make up, in their layout."""
    dim = piece.shape[1]
    strides = (dim * seqlen, 1, dim) if piece.stride(1) == 1 else (dim * seqlen, seqlen, 1)
    # No view: autograd lets nobody change in place what a function of its own returns as a view.
    return _huge(piece.new_empty_strided((batch, dim, seqlen), strides))


def _huge(x: Tensor) -> Tensor:
    return in_huge_pages(x) if x.nbytes >= LARGE_BYTES else x
