"""The inputs of a decode step: which shapes fit together, and the one set of axes that they all stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.dtypes import by_torch
from ssmgen.errors import InvalidInputError
from ssmgen.ops.op import require_shape, require_tensor

__all__ = ["REAL", "Axes", "Inputs", "Sizes", "axes_of", "check", "is_tied", "slots_of"]

REAL = ("fp32", "bf16", "fp16", "fp64")


class Inputs(NamedTuple):
    """The tensors of a call, in its order."""

    state: Tensor
    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    dt_bias: Tensor | None
    indices: Tensor | None
    states: Tensor | None
    out: Tensor | None


class Sizes(NamedTuple):
    """The dims of a problem; without heads, the groups of channels stand for them."""

    batch: int
    tokens: int
    heads: int
    dim: int
    d_state: int
    groups: int
    slots: int


def check(inputs: Inputs) -> Sizes:
    """The sizes of a call whose shapes and dtypes fit together.

    Raises:
        InvalidInputError: They do not.
    """
    for name in ("state", "x", "dt", "A", "B", "C"):
        require_tensor(name, getattr(inputs, name))
    state, x = inputs.state, inputs.x
    if state.ndim not in (3, 4) or x.ndim not in (state.ndim - 1, state.ndim):
        raise InvalidInputError(
            "state must be (batch, dim, d_state) and x (batch, [tokens,] dim), or with heads (batch, heads, dim, "
            f"d_state) and (batch, [tokens,] heads, dim), but they are {tuple(state.shape)} and {tuple(x.shape)}."
        )
    channels = ("heads", "dim") if state.ndim == 4 else ("dim",)
    token = ("tokens",) if x.ndim == state.ndim else ()
    width, d_state = tuple(state.shape[1:-1]), state.shape[-1]
    leading = tuple(x.shape[: 1 + len(token)])
    if 0 in (*x.shape, *state.shape):
        raise InvalidInputError(
            f"every size must be at least 1; state is {tuple(state.shape)}, x is {tuple(x.shape)}."
        )
    sequence = (("batch", *token, *channels), (*leading, *width))
    for name in ("x", "dt", "z", "out"):
        if getattr(inputs, name) is not None:
            require_shape(name, getattr(inputs, name), *sequence)
    require_shape("A", inputs.A, (*channels, "d_state"), (*width, d_state))
    for name in ("D", "dt_bias"):
        if getattr(inputs, name) is not None:
            require_shape(name, getattr(inputs, name), channels, width)
    groups = _check_rows(inputs, ("batch", *token), leading, d_state)
    shared, what = (width[0], "heads") if state.ndim == 4 else (width[0], "dim")
    if shared % groups:
        raise InvalidInputError(f"the {groups} groups of B and C must divide {what}={shared}.")
    _check_state(inputs, leading[0], (("batch", *token, *channels, "d_state"), (*leading, *width, d_state)))
    heads, dim = (width[0], width[1]) if state.ndim == 4 else (groups, width[0] // groups)
    slots = state.shape[0] if inputs.indices is not None else 1
    return Sizes(leading[0], leading[1] if token else 1, heads, dim, d_state, groups, slots)


def _check_rows(inputs: Inputs, names: tuple[str, ...], leading: tuple[int, ...], d_state: int) -> int:
    """The number of groups of B and C."""
    B = inputs.B
    if B.ndim not in (len(leading) + 1, len(leading) + 2):
        axes = ", ".join((*names, "[groups,]", "d_state")).replace("],", "]")
        raise InvalidInputError(f"B has shape {tuple(B.shape)}, but must be ({axes}).")
    grouped = B.ndim == len(leading) + 2
    groups: tuple[int, ...] = (B.shape[-2],) if grouped else ()
    for name in "BC":
        wanted = (*names, *(("groups",) if grouped else ()), "d_state"), (*leading, *groups, d_state)
        require_shape(name, getattr(inputs, name), *wanted)
    return groups[0] if grouped else 1


def _check_state(inputs: Inputs, batch: int, states: tuple[tuple[str, ...], tuple[int, ...]]) -> None:
    """What is written in place, and which rows of it."""
    state, indices = inputs.state, inputs.indices
    for name in ("state", "x", "dt", "A", "B", "C", "D", "z", "dt_bias"):
        x = getattr(inputs, name)
        if x is not None and by_torch(x.dtype, name) not in REAL:
            raise InvalidInputError(f"{name} is {x.dtype}; it must be real and floating-point.")
    if inputs.states is not None:
        require_shape("intermediate_states", inputs.states, *states)
        if inputs.states.dtype != state.dtype or not inputs.states.is_contiguous():
            raise InvalidInputError(
                f"intermediate_states must be contiguous and have state's dtype, {state.dtype}; it has strides "
                f"{inputs.states.stride()} and is {inputs.states.dtype}."
            )
    if indices is None:
        if state.shape[0] != batch:
            raise InvalidInputError(
                f"state holds {state.shape[0]} sequences and x {batch}; state_batch_indices would say which are meant."
            )
    elif indices.dtype not in (torch.int32, torch.int64) or tuple(indices.shape) != (batch,):
        raise InvalidInputError(
            f"state_batch_indices must be (batch={batch},), int32 or int64; it is {tuple(indices.shape)}, "
            f"{indices.dtype}."
        )


class Axes(NamedTuple):
    """Views with the axes that kernels know, whether or not a call has heads, tokens and groups.

    Attributes:
        state: To (slots, heads, dim, d_state).
        sequence: To (batch, tokens, heads, dim): x, dt, z and out.
        rates: To (heads, dim, d_state): A.
        rows: To (batch, tokens, groups, d_state): B and C.
        channels: To (heads, dim): D and dt_bias.
        states: To (batch, tokens, heads, dim, d_state).
    """

    state: Callable[[Tensor], Tensor]
    sequence: Callable[[Tensor], Tensor]
    rates: Callable[[Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    channels: Callable[[Tensor], Tensor]
    states: Callable[[Tensor], Tensor]


def axes_of(inputs: Inputs, sizes: Sizes) -> Axes:
    """The views that a checked call needs."""
    headed, several = inputs.state.ndim == 4, inputs.x.ndim == inputs.state.ndim
    grouped = inputs.B.ndim == (4 if several else 3)
    split = (sizes.heads, sizes.dim)

    def with_heads(x: Tensor, axis: int) -> Tensor:
        return x if headed else x.unflatten(axis, split)

    def with_tokens(x: Tensor) -> Tensor:
        return x if several else x.unsqueeze(1)

    return Axes(
        state=lambda x: with_heads(x, 1),
        sequence=lambda x: with_heads(with_tokens(x), 2),
        rates=lambda x: with_heads(x, 0),
        rows=lambda x: with_tokens(x) if grouped else with_tokens(x).unsqueeze(2),
        channels=lambda x: with_heads(x, 0),
        states=lambda x: with_heads(with_tokens(x), 2),
    )


def is_tied(A: Tensor, dt: Tensor, dt_bias: Tensor | None) -> bool:
    """Whether the channels of a head share these, which were expanded: with axes as in `Axes`."""
    shares = A.stride(-1) == 0 and A.stride(-2) == 0 and dt.stride(-1) == 0
    return shares and (dt_bias is None or dt_bias.stride(-1) == 0)


def slots_of(x: Tensor, slots: int) -> Callable[[Tensor], Tensor] | None:
    """What checks state_batch_indices, where that does not stall a device, and gives them to kernels as int32."""
    is_ready = x.dtype == torch.int32 and x.is_contiguous()

    def narrowed(x: Tensor) -> Tensor:
        # What is no row must not become one when its upper bits are cut off.
        return x if is_ready else x.clamp(-1, slots).to(torch.int32).contiguous()

    if x.device.type != "cpu":
        return None if is_ready else narrowed

    def checked(x: Tensor) -> Tensor:
        rows = [row for row in x.tolist() if row >= 0]
        if rows and max(rows) >= slots:
            raise InvalidInputError(
                f"state_batch_indices names row {max(rows)}, but state has {slots} rows; a negative one is padding."
            )
        if len(set(rows)) < len(rows):
            raise InvalidInputError(f"state_batch_indices names a row twice: {sorted(rows)}.")
        return narrowed(x)

    return checked
