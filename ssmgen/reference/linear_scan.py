"""The first-order linear recurrence, one step of time after another."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen.reference.checkpointed import scan_in_segments

__all__ = ["linear_scan"]


def linear_scan(
    a: Tensor,
    b: Tensor,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """h_t = a_t h_{t-1} + b_t along the last dim, from the last step to the first when `reverse`.

    Args:
        a, b: (..., L), real or complex.
        initial_state: (...), the state before the first step; zero when None.
        reverse: Whether time runs backwards.
        dtype: What everything is computed in.

    Returns:
        h (..., L) in `dtype`.
    """
    a_t, b_t = a.to(dtype).movedim(-1, 0), b.to(dtype).movedim(-1, 0)
    if reverse:
        a_t, b_t = a_t.flip(0), b_t.flip(0)
    state = torch.zeros_like(b_t[0]) if initial_state is None else initial_state.to(dtype)

    def segment(h: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        hs = []
        for a_i, b_i in zip(a.unbind(0), b.unbind(0), strict=True):
            h = a_i * h + b_i
            hs.append(h)
        return h, torch.stack(hs)

    _, h = scan_in_segments(segment, state, (a_t, b_t))
    if reverse:
        h = h.flip(0)
    return h.movedim(0, -1)
