"""The step of a selective scan, for decoding: shapes, checks and preparation of a call that updates its state."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Plan, Tensors, pick_target, resolve
from ssmgen.dtypes import accumulate, by_torch, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call, prepared
from ssmgen.ops.op import Op, Options, common_dtype
from ssmgen.ops.selective_state_update_inputs import (
    REAL,
    Inputs,
    Sizes,
    axes_of,
    check,
    is_tied,
    slots_of,
)
from ssmgen.problem import Problem

__all__ = ["selective_state_update"]

View = Callable[[Tensor], Tensor]


def selective_state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    state_batch_indices: Tensor | None = None,
    *,
    update_state: bool = True,
    intermediate_states: Tensor | None = None,
    out: Tensor | None = None,
    target: str | None = None,
) -> Tensor:
    """One step of Mamba's scan (arXiv 2312.00752, section 3.3), or of Mamba-2's, in place: what decoding runs.

    For each token `h = exp(dt A) h + dt B x`, `y = C . h + D x`, `out = y * silu(z)`, where dt is first replaced by
    `softplus(dt + dt_bias)` when asked, and h is the state, which is overwritten. Everything is computed in float32,
    or in float64 for float64 inputs; between the tokens of a call the state is not rounded. There are no gradients:
    training is for `selective_scan`, which takes an initial state and returns the last one.

    Shapes are those of Mamba, without heads, or of Mamba-2, where dim counts the channels of a head. Where A, dt and
    dt_bias are the same for all channels of a head, expanded with stride 0, one exponential serves them all. Nothing
    is copied where inputs have one dtype and unit stride along their last axis, and nothing is allocated with `out`: a
    call can be captured in a CUDA graph.

    Args:
        state: (batch, dim, d_state) or (batch, heads, dim, d_state), float32, bfloat16, float16 or float64, whatever
            the inputs are; any strides.
        x: (batch, dim) or (batch, heads, dim); of several tokens (batch, tokens, dim) or (batch, tokens, heads, dim).
            float32, bfloat16, float16 or float64.
        dt: As x, the step sizes.
        A: (dim, d_state) or (heads, dim, d_state), the decay rates, negative in a stable model.
        B: (batch, d_state) or (batch, groups, d_state), where groups divides heads, or dim where there are no heads;
            with tokens after batch, if x has them.
        C: As B.
        D: (dim,) or (heads, dim), the skip connection; left out when None.
        z: As x, the gate; left out when None.
        dt_bias: (dim,) or (heads, dim), added to dt; left out when None.
        dt_softplus: Whether dt passes through softplus.
        state_batch_indices: (batch,), int32 or int64: sequence b has its state in `state[state_batch_indices[b]]`,
            where state has any number of rows. A negative index marks padding: no state is touched, and out is 0. No
            row may be named twice. On a GPU the values are not checked, which would stall it; one beyond the rows is
            taken for padding.
        update_state: Whether the state is overwritten; False to try tokens that may be rejected.
        intermediate_states: Written with the state after each token: (batch, tokens, ...) or, without tokens,
            (batch, ...), followed by the axes of one state, in its dtype, contiguous; padding is left alone. Of a
            sequence of which n tokens are accepted, `intermediate_states[b, n - 1]` is the state to go on from.
        out: Written with the output instead of a fresh tensor: x's shape, in the dtype that the inputs promote to.
        target: What runs it; see `selective_scan`.

    Returns:
        out, in x's shape and dtype.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    tensors = (state, x, dt, A, B, C, D, z, dt_bias, state_batch_indices, intermediate_states, out)
    found = _call(tensors, (bool(dt_softplus), bool(update_state)), target)
    return found[0] if out is None else out


class _SelectiveStateUpdate(Op):
    name = "selective_state_update"
    instead = "train with selective_scan, which takes an initial_state"
    schema = (
        "(Tensor(a!) state, Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor? D=None, Tensor? z=None, "
        "Tensor? dt_bias=None, bool dt_softplus=False, Tensor? state_batch_indices=None, *, bool update_state=True, "
        "Tensor(b!)? intermediate_states=None, Tensor(c!)? out=None, str? target=None) -> Tensor"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        inputs = Inputs(*tensors)  # type: ignore[arg-type]
        sizes = check(inputs)
        _check_memory(inputs, bool(options[1]))
        chosen = pick_target(target, tensors)
        state, axes = inputs.state, axes_of(inputs, sizes)
        name = _dtype(inputs)
        kind, real = dtype(name).torch, dtype(accumulate(name)).torch
        tied = is_tied(
            axes.rates(inputs.A),
            axes.sequence(inputs.dt),
            None if inputs.dt_bias is None else axes.channels(inputs.dt_bias),
        )
        problem = Problem.of(
            self.name,
            sizes._asdict(),
            name,
            {
                "D": inputs.D is not None,
                "z": inputs.z is not None,
                "dt_bias": inputs.dt_bias is not None,
                "softplus": bool(options[0]),
                "tied": tied,
                "indices": inputs.indices is not None,
                "update": bool(options[1]),
                "states": inputs.states is not None,
                "state_dtype": by_torch(state.dtype, "state"),
            },
        )

        def first(view: View) -> View:
            return (lambda x: view(x)[..., 0]) if tied else view

        rates: View = (lambda A: axes.rates(A)[..., 0, 0]) if tied else axes.rates
        adapters = [
            # Kernels write to the tensor itself, or to a copy where its states do not lie side by side.
            _adapter(0, state, axes.state, state.dtype),
            _adapter(1, inputs.x, axes.sequence, kind),
            _adapter(2, inputs.dt, first(axes.sequence), kind, has_unit_stride=not tied),
            _adapter(3, inputs.A, rates, real, has_unit_stride=not tied),
            _adapter(4, inputs.B, axes.rows, kind),
            _adapter(5, inputs.C, axes.rows, kind),
        ]
        if inputs.D is not None:
            adapters.append(_adapter(6, inputs.D, axes.channels, real, has_unit_stride=False))
        if inputs.z is not None:
            adapters.append(_adapter(7, inputs.z, axes.sequence, kind))
        if inputs.dt_bias is not None:
            adapters.append(_adapter(8, inputs.dt_bias, first(axes.channels), real, has_unit_stride=not tied))
        if inputs.indices is not None:
            convert = slots_of(inputs.indices, sizes.slots)
            adapters.append(Adapter(9, convert, checks=inputs.indices.is_cpu))
        return Call(problem, chosen, tuple(adapters))

    def fake(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        inputs = Inputs(*tensors)  # type: ignore[arg-type]
        check(inputs)
        _check_memory(inputs, bool(options[1]))
        return () if inputs.out is not None else (inputs.x.new_empty(inputs.x.shape),)

    def kernel_plan(self, call: Call, tensors: Tensors, trains: bool) -> Plan | None:
        return _plan(call, tensors)

    @torch.no_grad()
    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        inputs = Inputs(*tensors)  # type: ignore[arg-type]
        sizes = check(inputs)
        axes, name = axes_of(inputs, sizes), _dtype(inputs)
        softplus, updates = options
        state, indices = axes.state(inputs.state), inputs.indices
        if indices is not None:
            indices = (slots_of(indices, sizes.slots) or (lambda x: x))(indices)
        out, states = reference.selective_state_update(
            state,
            axes.sequence(inputs.x),
            axes.sequence(inputs.dt),
            axes.rates(inputs.A),
            axes.rows(inputs.B),
            axes.rows(inputs.C),
            None if inputs.D is None else axes.channels(inputs.D),
            None if inputs.z is None else axes.sequence(inputs.z),
            None if inputs.dt_bias is None else axes.channels(inputs.dt_bias),
            bool(softplus),
            indices,
            dtype=dtype(accumulate(name)).torch,
        )
        if inputs.states is not None:
            kept = axes.states(inputs.states)
            changed = states.to(kept.dtype)
            if indices is not None:
                padding = reference.is_padding(indices, state)
                changed = torch.where(padding[:, None, None, None, None], kept, changed)
            kept.copy_(changed)
        if updates:
            state.copy_(reference.replaced(state, indices, states[:, -1].to(state.dtype)))
        out = out.reshape(inputs.x.shape)
        if inputs.out is None:
            return (out.to(inputs.x.dtype),)
        inputs.out.copy_(out)
        return ()


_call = _SelectiveStateUpdate().call


def _check_memory(inputs: Inputs, updates: bool) -> None:
    """Raise an `InvalidInputError` for memory that cannot be written to element by element."""
    written = {"state": inputs.state, "intermediate_states": inputs.states, "out": inputs.out}
    given = {name: x for name, x in written.items() if x is not None}
    for name, x in given.items():
        repeats = any(step == 0 and size > 1 for step, size in zip(x.stride(), x.shape, strict=True))
        if repeats and (updates or name != "state"):
            raise InvalidInputError(
                f"{name} is written in place, but was expanded, so that its elements share memory: clone it."
            )
    out, kind = inputs.out, dtype(_dtype(inputs)).torch
    if out is not None and (out.dtype != kind or (out.stride(-1) != 1 and out.shape[-1] > 1)):
        raise InvalidInputError(
            f"out must be {kind}, as the inputs are together, with unit stride along its last axis; it is "
            f"{out.dtype} with strides {out.stride()}."
        )


def _dtype(inputs: Inputs) -> str:
    """One dtype for all that a token brings: the widest, and no narrower than double precision where the state is."""
    brought = {"x": inputs.x, "dt": inputs.dt, "B": inputs.B, "C": inputs.C}
    brought |= {} if inputs.z is None else {"z": inputs.z}
    brought |= {"state": inputs.state} if inputs.state.dtype == torch.float64 else {}
    return common_dtype(brought, REAL)


def _adapter(
    index: int, x: Tensor, view: View, kind: torch.dtype, *, has_unit_stride: bool = True
) -> Adapter:
    """The adapter that gives tensor `index` this dtype and kernels' axes; it copies only if it has to."""
    found = view(x)
    if found.dtype == kind and (not has_unit_stride or found.stride(-1) == 1 or found.shape[-1] == 1):
        return Adapter(index, view)
    return Adapter(index, lambda x: view(x).to(kind).contiguous())


def _plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan that runs the best known kernel, or None where the target has none."""
    problem = call.problem
    resolution = resolve(problem, call.target)
    if resolution is None:
        return None
    inputs = Inputs(*tensors)  # type: ignore[arg-type]
    axes = axes_of(inputs, Sizes(*(size for _, size in problem.dims)))
    kind, result = dtype(problem.dtype).torch, inputs.x.dtype
    operands, gather = call.operands(tensors), call.gatherer(tensors)
    out = torch.empty_like(inputs.x, dtype=kind, memory_format=torch.contiguous_format)
    operands.append(axes.sequence(out if inputs.out is None else inputs.out))
    if inputs.states is not None:
        operands.append(axes.states(inputs.states))
    run = prepared(problem, call.target, resolution, operands)
    shape, device = inputs.x.shape, inputs.x.device
    # The quickest way to a fresh tensor is after the model of one.
    is_model = kind == result and inputs.x.is_contiguous()
    as_operand = axes.state
    is_copy = operands[0].data_ptr() != inputs.state.data_ptr()
    updates = problem.has("update")
    empty, empty_like = torch.empty, torch.empty_like
    increment_version = torch.autograd.graph.increment_version

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        state, x, states, given = tensors[0], tensors[1], tensors[10], tensors[11]
        assert state is not None and x is not None
        out = given
        if out is None:
            out = empty_like(x) if is_model else empty(shape, dtype=kind, device=device)
        ready = gather(tensors)
        run((*ready, out) if states is None else (*ready, out, states))
        # Autograd is told what has changed behind its back.
        if updates:
            if is_copy:
                as_operand(state).copy_(ready[0])
            else:
                increment_version(state)
        if states is not None:
            increment_version(states)
        if given is not None:
            increment_version(given)
            return ()
        return (out if kind == result else out.to(result),)

    return plan
