"""The first-order linear recurrence: shapes, checks and preparation of a call."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import accumulate, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, common_dtype, require_shape, require_tensor
from ssmgen.ops.sequences import common_layout, sequence_adapter
from ssmgen.problem import Problem

__all__ = ["linear_scan"]

_REAL = ("fp32", "bf16", "fp16", "fp64")
_DTYPES = (*_REAL, "c64", "c128")


def linear_scan(
    a: Tensor,
    b: Tensor,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    target: str | None = None,
) -> Tensor:
    """`h_t = a_t h_{t-1} + b_t` along the last dim: the recurrence under S5, RG-LRU, minGRU and the like.

    The state is kept in float32, or in float64 for float64 inputs; of complex inputs, in complex numbers as precise.
    Differentiable in every tensor, by kernels that give the same bits every time.

    Args:
        a: (..., L), float32, bfloat16, float16, float64 or complex; any strides. Unit stride along the last dim or
            the one before it costs no copy.
        b: (..., L), the same shape.
        initial_state: (...), the state before the first step; zero when None.
        reverse: Whether time runs from the last step to the first: `h_t = a_t h_{t+1} + b_t`.
        target: What runs it; see `selective_scan`.

    Returns:
        h (..., L), in the dtype that a and b promote to.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    return _call((a, b, initial_state), (bool(reverse),), target)[0]


class _LinearScan(Op):
    name = "linear_scan"
    schema = (
        "(Tensor a, Tensor b, *, Tensor? initial_state=None, bool reverse=False, str? target=None) -> Tensor"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        a, b = map(require_tensor, ("a", "b"), tensors)
        initial_state = tensors[2]
        _check(a, b, initial_state)
        chosen = pick_target(target, tensors)
        name = common_dtype({"a": a, "b": b}, _DTYPES)
        kind, wide = dtype(name), dtype(accumulate(name))
        if initial_state is not None:
            common_dtype({"initial_state": initial_state}, _DTYPES if kind.is_complex else _REAL)
        shape = a.shape
        sizes = (prod(shape[:-2]), shape[-2] if a.ndim > 1 else 1, shape[-1])
        a3, b3 = a.reshape(sizes), b.reshape(sizes)
        layout = common_layout((a3, b3))
        problem = Problem.of(
            self.name,
            dict(zip(("batch", "dim", "seqlen"), sizes, strict=True)),
            name,
            {"initial_state": initial_state is not None, "layout": layout, "reverse": bool(options[0])},
        )
        adapters = []
        for index, x in ((0, a3), (1, b3)):
            adapter = sequence_adapter(index, x, layout, kind.torch)
            adapters.append(adapter if shape == sizes else _reshaped(adapter, shape, sizes))
        if initial_state is not None:
            adapters.append(Adapter(2, lambda x: x.reshape(sizes[:2]).to(wide.torch).contiguous()))
        finish = None if shape == sizes else (lambda outputs: (outputs[0].reshape(shape),))
        return Call(problem, chosen, tuple(adapters), finish)

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        a, b, initial_state = tensors
        assert a is not None and b is not None
        name = common_dtype({"a": a, "b": b}, _DTYPES)
        h = reference.linear_scan(
            a,
            b,
            initial_state=initial_state,
            reverse=bool(options[0]),
            dtype=dtype(accumulate(name)).torch,
        )
        return (h.to(dtype(name).torch),)


_call = _LinearScan().call


def _check(a: Tensor, b: Tensor, initial_state: Tensor | None) -> None:
    if a.ndim == 0 or a.shape != b.shape:
        raise InvalidInputError(
            f"a and b must have one shape (..., L), but they are {tuple(a.shape)} and {tuple(b.shape)}."
        )
    if a.numel() == 0:
        raise InvalidInputError(f"every size must be at least 1; a is {tuple(a.shape)}.")
    if initial_state is not None:
        names = tuple(f"dim {axis} of a" for axis in range(a.ndim - 1))
        require_shape("initial_state", initial_state, names, tuple(a.shape[:-1]))


def _reshaped(adapter: Adapter, shape: torch.Size, sizes: tuple[int, ...]) -> Adapter:
    """A reshape, which is a view wherever the leading dims allow it, and then the conversion."""
    convert = adapter.convert
    if convert is not None:
        return Adapter(adapter.source, lambda x: convert(x.reshape(sizes)))
    return Adapter(
        adapter.source, lambda x: x.reshape(sizes), revert=lambda gradient: gradient.reshape(shape)
    )
