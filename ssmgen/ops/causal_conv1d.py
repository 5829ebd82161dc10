"""The short causal convolution before Mamba's scan: shapes, checks and preparation of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import accumulate, by_torch, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, common_dtype, require_shape, require_tensor
from ssmgen.ops.selective_scan_inputs import REAL, check_offsets, offsets, weight
from ssmgen.ops.sequences import common_layout, sequence_adapter
from ssmgen.problem import Problem

__all__ = ["causal_conv1d", "check_filter", "is_silu"]


@overload
def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    seq_idx: Tensor | None = ...,
    initial_states: Tensor | None = ...,
    return_final_states: Literal[False] = ...,
    activation: str | None = ...,
    *,
    cu_seqlens: Tensor | None = ...,
    target: str | None = ...,
) -> Tensor: ...
@overload
def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    seq_idx: Tensor | None = ...,
    initial_states: Tensor | None = ...,
    return_final_states: bool = ...,
    activation: str | None = ...,
    *,
    cu_seqlens: Tensor | None = ...,
    target: str | None = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    seq_idx: Tensor | None = None,
    initial_states: Tensor | None = None,
    return_final_states: bool = False,
    activation: str | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    target: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The short convolution over time before Mamba's scan (arXiv 2312.00752, section 3.4), as causal-conv1d has it.

    `out_t = bias + sum_k weight_{W-1-k} x_{t-k}`, k = 0 ... W - 1, for each channel by itself, through silu when
    asked. Sums are in float32, or in float64 for float64 inputs. Differentiable in every floating-point tensor, by
    kernels that give the same bits every time.

    Args:
        x: (batch, dim, seqlen), float32, bfloat16, float16 or float64; any strides. Unit stride along seqlen or along
            dim costs no copy.
        weight: (dim, W), W at least 2; kernels serve W of 2, 3 and 4, the reference any other.
        bias: (dim,), left out when None.
        seq_idx: (batch, seqlen), int32 or int64, for several sequences in one row: a step sees those of the W - 1
            before it that have its number. A negative number marks padding, whose output is 0.
        initial_states: (batch, dim, W - 1), the steps before the first, the latest last; zero when None. Not beside
            seq_idx or cu_seqlens.
        return_final_states: Whether to return the last W - 1 steps too; not beside seq_idx or cu_seqlens.
        activation: None, or `silu` or its other name, `swish`.
        cu_seqlens: (sequences + 1,), int32 or int64, instead of seq_idx, for sequences that lie one behind the other
            in a batch of 1; see `selective_scan`.
        target: What runs it; see `selective_scan`.

    Returns:
        out (batch, dim, seqlen) in x's dtype and layout; with `return_final_states`, a pair of it and the last steps
        (batch, dim, W - 1) in x's dtype, which `causal_conv1d_update` goes on from.

    Raises:
        InvalidInputError: Shapes, dtypes, devices or options do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    tensors = (x, weight, bias, seq_idx, initial_states, cu_seqlens)
    outputs = _call(tensors, (bool(return_final_states), activation), target)
    return (outputs[0], outputs[1]) if return_final_states else outputs[0]


class _CausalConv1d(Op):
    name = "causal_conv1d"
    schema = (
        "(Tensor x, Tensor weight, Tensor? bias=None, Tensor? seq_idx=None, Tensor? initial_states=None, "
        "bool return_final_states=False, str? activation=None, *, Tensor? cu_seqlens=None, str? target=None) "
        "-> (Tensor, Tensor)"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        x, filters = map(require_tensor, ("x", "weight"), tensors)
        bias, seq_idx, initial_states, cu_seqlens = tensors[2:]
        silu = _check(x, filters, bias, seq_idx, initial_states, cu_seqlens, options)
        chosen = pick_target(target, tensors)
        name, layout = _dtype(x, initial_states), common_layout([x])
        batch, dim, seqlen = x.shape
        problem = Problem.of(
            self.name,
            {"batch": batch, "dim": dim, "seqlen": seqlen, "width": filters.shape[1]},
            name,
            {
                "bias": bias is not None,
                "silu": silu,
                "initial_state": initial_states is not None,
                "last_state": bool(options[0]),
                "packed": seq_idx is not None or cu_seqlens is not None,
                "layout": layout,
            },
        )
        kind, real = dtype(name).torch, dtype(accumulate(name)).torch
        adapters = [sequence_adapter(0, x, layout, kind), weight(1, filters, real)]
        if bias is not None:
            adapters.append(weight(2, bias, real))
        if seq_idx is not None:
            adapters.append(Adapter(3, _narrowed))
        if cu_seqlens is not None:
            adapters.append(Adapter(5, _numbers(seqlen), checks=cu_seqlens.is_cpu))
        if initial_states is not None:
            adapters.append(weight(4, initial_states, kind))
        result = x.dtype

        def finish(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(y.to(result) for y in outputs)

        return Call(problem, chosen, tuple(adapters), finish if result != kind else None)

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        x, filters, bias, seq_idx, initial_states, cu_seqlens = tensors
        assert x is not None and filters is not None
        silu = _check(x, filters, bias, seq_idx, initial_states, cu_seqlens, options)
        if cu_seqlens is not None:
            seq_idx = _numbers(x.shape[2])(cu_seqlens)
        found = reference.causal_conv1d(
            x,
            filters,
            bias,
            silu,
            seq_idx=seq_idx,
            initial_state=initial_states,
            dtype=dtype(accumulate(_dtype(x, initial_states))).torch,
        )
        return tuple(y.to(x.dtype) for y in found[: 2 if options[0] else 1])


_call = _CausalConv1d().call


def _dtype(x: Tensor, initial_states: Tensor | None) -> str:
    steps = {"x": x} | ({} if initial_states is None else {"initial_states": initial_states})
    return common_dtype(steps, REAL)


def is_silu(activation: object) -> bool:
    """Whether the activation is silu.

    Raises:
        InvalidInputError: It is neither that nor None.
    """
    if activation not in (None, "silu", "swish"):
        raise InvalidInputError(f"activation must be None, 'silu' or 'swish', not {activation!r}.")
    return activation is not None


def check_filter(weight: Tensor, bias: Tensor | None, dim: int) -> None:
    """Raise an `InvalidInputError` unless these are the filters of so many channels."""
    if weight.ndim != 2 or weight.shape[0] != dim or weight.shape[1] < 2:
        raise InvalidInputError(
            f"weight has shape {tuple(weight.shape)}, but must be (dim={dim}, W), with W at least 2."
        )
    if bias is not None:
        require_shape("bias", bias, ("dim",), (dim,))
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and by_torch(x.dtype, name) not in REAL:
            raise InvalidInputError(f"{name} is {x.dtype}; it must be real and floating-point.")


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    seq_idx: Tensor | None,
    initial_states: Tensor | None,
    cu_seqlens: Tensor | None,
    options: Options,
) -> bool:
    """Whether the sums pass through silu, in a call whose arguments fit together."""
    if x.ndim != 3 or 0 in x.shape:
        raise InvalidInputError(
            f"x must be (batch, dim, seqlen), every size at least 1; it is {tuple(x.shape)}."
        )
    batch, dim, seqlen = x.shape
    check_filter(weight, bias, dim)
    packed = seq_idx if seq_idx is not None else cu_seqlens
    if packed is not None and (initial_states is not None or options[0]):
        raise InvalidInputError(
            "where several sequences share a row there are no initial_states, and final states cannot be returned: "
            "leave out seq_idx and cu_seqlens, or the states."
        )
    if seq_idx is not None:
        if cu_seqlens is not None:
            raise InvalidInputError("seq_idx and cu_seqlens say the same: give one of them.")
        require_shape("seq_idx", seq_idx, ("batch", "seqlen"), (batch, seqlen))
        if seq_idx.dtype not in (torch.int32, torch.int64):
            raise InvalidInputError(f"seq_idx is {seq_idx.dtype}; it must be int32 or int64.")
    if cu_seqlens is not None:
        check_offsets(cu_seqlens, batch, "x")
    if initial_states is not None:
        names = ("batch", "dim", "W - 1")
        require_shape("initial_states", initial_states, names, (batch, dim, weight.shape[1] - 1))
    return is_silu(options[1])


def _narrowed(x: Tensor) -> Tensor:
    return x.to(torch.int32).contiguous()


def _numbers(seqlen: int) -> Callable[[Tensor], Tensor]:
    """What gives each step the number of its sequence, from checked cu_seqlens."""
    checked = offsets(seqlen)

    def convert(x: Tensor) -> Tensor:
        steps = torch.arange(seqlen, dtype=torch.int32, device=x.device)
        return torch.searchsorted(checked(x)[1:], steps, right=True, out_int32=True)[None]

    return convert
