"""The step of the causal convolution, for decoding: shapes, checks and preparation of a call."""

from __future__ import annotations

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Plan, Tensors, pick_target, resolve
from ssmgen.dtypes import accumulate, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.causal_conv1d import check_filter, is_silu
from ssmgen.ops.launch import Adapter, Call, prepared
from ssmgen.ops.op import Op, Options, common_dtype, require_tensor
from ssmgen.ops.selective_scan_inputs import REAL, weight
from ssmgen.ops.selective_state_update_inputs import slots_of
from ssmgen.problem import Problem

__all__ = ["causal_conv1d_update"]


def causal_conv1d_update(
    x: Tensor,
    conv_state: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    cache_seqlens: Tensor | None = None,
    conv_state_indices: Tensor | None = None,
    *,
    target: str | None = None,
) -> Tensor:
    """A few steps of `causal_conv1d` that follow on those kept in `conv_state`, which is updated in place.

    Without `cache_seqlens` conv_state holds the latest steps in order, the latest last: as many as come fall out at
    its front. With it conv_state is a ring: token i of sequence b goes to the place `(cache_seqlens[b] + i) % length`,
    and what came before it stands before that place.

    Sums are in float32, or in float64 for float64 inputs. There are no gradients: training is for `causal_conv1d`,
    which takes and returns states.

    Args:
        x: (batch, dim), or (batch, dim, tokens); float32, bfloat16, float16 or float64, any strides.
        conv_state: (batch, dim, length), length at least W - 1; x's dtype, any strides.
        weight: (dim, W), W at least 2; kernels serve W of 2, 3 and 4, the reference any other.
        bias: (dim,), left out when None.
        activation: None, `silu` or `swish`.
        cache_seqlens: (batch,), int32 or int64: how many steps each sequence has had, where conv_state is a ring.
        conv_state_indices: (batch,), int32 or int64: sequence b has its state in `conv_state[conv_state_indices[b]]`;
            see `state_batch_indices` of `selective_state_update`. A negative index marks padding, whose out is 0.
        target: What runs it; see `selective_scan`.

    Returns:
        out, in x's shape and dtype.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    tensors = (x, conv_state, weight, bias, cache_seqlens, conv_state_indices)
    return _call(tensors, (activation,), target)[0]


class _CausalConv1dUpdate(Op):
    name = "causal_conv1d_update"
    instead = "train with causal_conv1d, which takes initial_states"
    schema = (
        "(Tensor x, Tensor(a!) conv_state, Tensor weight, Tensor? bias=None, str? activation=None, "
        "Tensor? cache_seqlens=None, Tensor? conv_state_indices=None, *, str? target=None) -> Tensor"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        silu = _check(tensors, options)
        x, state, filters, bias, cache_seqlens, indices = tensors
        assert x is not None and state is not None and filters is not None
        chosen = pick_target(target, tensors)
        name = common_dtype({"x": x}, REAL)
        problem = Problem.of(
            self.name,
            {
                "batch": x.shape[0],
                "tokens": x.shape[2] if x.ndim == 3 else 1,
                "dim": x.shape[1],
                "width": filters.shape[1],
                "length": state.shape[2],
                "slots": 1 if indices is None else state.shape[0],
            },
            name,
            {
                "bias": bias is not None,
                "silu": silu,
                "ring": cache_seqlens is not None,
                "indices": indices is not None,
            },
        )
        real = dtype(accumulate(name)).torch
        adapters = [
            Adapter(0, None if x.ndim == 3 else _with_tokens),
            Adapter(1, None),
            weight(2, filters, real),
        ]
        if bias is not None:
            adapters.append(weight(3, bias, real))
        if cache_seqlens is not None:
            adapters.append(Adapter(4, lambda x: x.to(torch.int32).contiguous()))
        if indices is not None:
            adapters.append(Adapter(5, slots_of(indices, state.shape[0]), checks=indices.is_cpu))
        return Call(problem, chosen, tuple(adapters))

    def fake(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        _check(tensors, options)
        x = tensors[0]
        assert x is not None
        return (x.new_empty(x.shape),)

    def kernel_plan(self, call: Call, tensors: Tensors, trains: bool) -> Plan | None:
        return _plan(call, tensors)

    @torch.no_grad()
    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        silu = _check(tensors, options)
        x, state, filters, bias, cache_seqlens, indices = tensors
        assert x is not None and state is not None and filters is not None
        if indices is not None:
            indices = (slots_of(indices, state.shape[0]) or (lambda x: x))(indices)
        out, states = reference.causal_conv1d_update(
            x if x.ndim == 3 else _with_tokens(x),
            state,
            filters,
            bias,
            silu,
            cache_seqlens=cache_seqlens,
            indices=indices,
            dtype=dtype(accumulate(common_dtype({"x": x}, REAL))).torch,
        )
        state.copy_(reference.replaced(state, indices, states))
        return (out.to(x.dtype).reshape(x.shape),)


_call = _CausalConv1dUpdate().call


def _with_tokens(x: Tensor) -> Tensor:
    return x[..., None]


def _check(tensors: Tensors, options: Options) -> bool:
    """Whether the sums pass through silu, in a call whose arguments fit together."""
    x, state, weight = map(require_tensor, ("x", "conv_state", "weight"), tensors)
    bias, cache_seqlens, indices = tensors[3:]
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise InvalidInputError(
            f"x must be (batch, dim) or (batch, dim, tokens), every size at least 1; it is {tuple(x.shape)}."
        )
    batch, dim = x.shape[:2]
    check_filter(weight, bias, dim)
    width = weight.shape[1]
    if state.ndim != 3 or state.shape[1] != dim or state.shape[2] < width - 1:
        raise InvalidInputError(
            f"conv_state has shape {tuple(state.shape)}, but must be (batch, dim={dim}, length), with length at least "
            f"W - 1 = {width - 1}."
        )
    if state.dtype != x.dtype:
        raise InvalidInputError(f"conv_state is {state.dtype} and x {x.dtype}; give them one dtype.")
    if any(step == 0 and size > 1 for step, size in zip(state.stride(), state.shape, strict=True)):
        raise InvalidInputError(
            "conv_state is written in place, but was expanded, so that its elements share memory: clone it."
        )
    if indices is None and state.shape[0] != batch:
        raise InvalidInputError(
            f"conv_state holds {state.shape[0]} sequences and x {batch}; conv_state_indices would say which are meant."
        )
    for name, numbers in (("cache_seqlens", cache_seqlens), ("conv_state_indices", indices)):
        if numbers is not None and (
            numbers.dtype not in (torch.int32, torch.int64) or tuple(numbers.shape) != (batch,)
        ):
            raise InvalidInputError(
                f"{name} must be (batch={batch},), int32 or int64; it is {tuple(numbers.shape)}, {numbers.dtype}."
            )
    return is_silu(options[0])


def _plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan that runs the best known kernel, or None where the target has none."""
    resolution = resolve(call.problem, call.target)
    if resolution is None:
        return None
    operands, gather = call.operands(tensors), call.gatherer(tensors)
    x = tensors[0]
    assert x is not None
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    run = prepared(
        call.problem, call.target, resolution, [*operands, out if x.ndim == 3 else _with_tokens(out)]
    )
    shape, kind, device, is_model = x.shape, x.dtype, x.device, x.is_contiguous()
    empty, empty_like = torch.empty, torch.empty_like
    increment_version = torch.autograd.graph.increment_version

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        x, state = tensors[0], tensors[1]
        assert x is not None and state is not None
        # The quickest way to a fresh tensor is after the model of one.
        out = empty_like(x) if is_model else empty(shape, dtype=kind, device=device)
        run((*gather(tensors), out))
        # Autograd is told what has changed behind its back.
        increment_version(state)
        return (out,)

    return plan
