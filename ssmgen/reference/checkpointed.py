"""A loop over time whose memory for gradients grows with the square root of its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import isqrt

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

__all__ = ["in_transform", "over_blocks", "scan_in_segments", "wants_checkpoints", "without_checkpoints"]

_is_off = False

# One segment: (state, *inputs of the segment, time first) -> (state, outputs of the segment, time first).
Segment = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def in_transform() -> bool:
    """Whether this runs under forward-mode differentiation or a transform of torch.func (vmap, jvp, grad)."""
    return forward_ad._current_level >= 0 or torch._C._functorch.maybe_current_level() is not None


def wants_checkpoints(*tensors: torch.Tensor) -> bool:
    """Whether autograd would keep what is computed from these; torch.func does not know checkpoints."""
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return wanted and not _is_off and not in_transform()


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """Let autograd keep every step, as it does in a plain loop: faster where memory is no concern; not for threads."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def scan_in_segments(
    segment: Segment,
    state: torch.Tensor,
    inputs: tuple[torch.Tensor, ...],
    parameters: tuple[torch.Tensor, ...] = (),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run `segment` over consecutive pieces of time, each a checkpoint when gradients are wanted.

    Autograd through T steps would keep every step's state: B D N floats, T times. Checkpointing pieces of sqrt(T)
    steps keeps one state per piece and the steps of one piece, at the price of a second forward.

    Args:
        segment: The recurrence over a piece of time; it must be pure.
        state: State before the first step.
        inputs: Tensors whose dim 0 is time.
        parameters: Tensors that are the same at every step and that `segment` closes over.

    Returns:
        The state after the last step and the outputs, time first.
    """
    length = inputs[0].shape[0]
    if not wants_checkpoints(state, *inputs, *parameters):
        return segment(state, *inputs)
    size = max(1, isqrt(length))
    outputs = []
    for pieces in zip(*(x.split(size) for x in inputs), strict=True):
        state, output = checkpoint(segment, state, *pieces, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
    return state, torch.cat(outputs)


def over_blocks(
    function: Callable[..., torch.Tensor], blocks: Iterable[torch.Tensor], *tensors: torch.Tensor
) -> list[torch.Tensor]:
    """The results of `function(block, *tensors)` for each block, recomputed for gradients rather than kept.

    Broadcast sums (poles times nodes) take memory for one block at a time.
    """
    if not wants_checkpoints(*tensors):
        return [function(block, *tensors) for block in blocks]
    return [
        checkpoint(function, block, *tensors, use_reentrant=False, preserve_rng_state=False)
        for block in blocks
    ]
