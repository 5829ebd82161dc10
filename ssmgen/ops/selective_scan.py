"""The selective scan of Mamba: shapes, checks and preparation of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Adapter, Plan, Tensors, kernel_plan, pick_target
from ssmgen.dtypes import accumulate, by_torch, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.op import Op, Options, common_dtype, require_shape, require_tensor
from ssmgen.ops.sequences import common_layout, sequence_adapter
from ssmgen.problem import Problem

__all__ = ["selective_scan"]

_REAL = ("fp32", "bf16", "fp16", "fp64")


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
    *,
    target: str | None = ...,
) -> Tensor: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: bool = ...,
    *,
    target: str | None = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    target: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan of Mamba (arXiv 2312.00752, section 3.3), with the arguments of mamba-ssm.

    `h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t`, `y_t = C_t . h_t + D u_t`, `out = y * silu(z)`, where delta is
    first replaced by `softplus(delta + delta_bias)` when asked. The state is kept and summed in float32, or in float64
    for float64 inputs. Differentiable in every tensor.

    Args:
        u: (batch, dim, seqlen), float32, bfloat16, float16 or float64; any strides. Unit stride along seqlen or along
            dim costs no copy.
        delta: (batch, dim, seqlen), the step sizes.
        A: (dim, d_state), real; the decay rates, negative in a stable model.
        B: (dim, d_state), constant over time; or (batch, d_state, seqlen); or (batch, groups, d_state, seqlen), where
            groups divides dim and each group of channels shares its rows.
        C: As B, independently of it.
        D: (dim,), the skip connection; left out when None.
        z: (batch, dim, seqlen), the gate; left out when None.
        delta_bias: (dim,), added to delta; left out when None.
        delta_softplus: Whether delta passes through softplus (the identity above 20).
        return_last_state: Whether to return the state after the last step too.
        target: What runs it (`cpu`, `cuda`, `hip`, `interpret`, `reference`). By default SSMGEN_TARGET, else
            whatever serves the tensors' device.

    Returns:
        out (batch, dim, seqlen) in u's dtype, in the layout that most of u, delta and z have; with
        `return_last_state`, a pair of it and the last state (batch, dim, d_state) in float32 (float64 for float64
        inputs).

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    options = (bool(delta_softplus), bool(return_last_state))
    outputs = _OP((u, delta, A, B, C, D, z, delta_bias), options, target)
    return (outputs[0], outputs[1]) if return_last_state else outputs[0]


class _Sizes(NamedTuple):
    batch: int
    dim: int
    seqlen: int
    d_state: int
    groups: int


class _SelectiveScan(Op):
    name = "selective_scan"

    def plan(self, tensors: Tensors, options: Options, target: str | None) -> Plan:
        u, delta, A, B, C = map(require_tensor, ("u", "delta", "A", "B", "C"), tensors)
        D, z, delta_bias = tensors[5:]
        sizes = _check(u, delta, A, B, C, D, z, delta_bias)
        chosen = pick_target(target, tensors)
        # One dtype for all that is as long as the sequence: the widest, so that nothing loses precision.
        inputs = {"u": u, "delta": delta, "B": B, "C": C} | ({} if z is None else {"z": z})
        name = common_dtype({k: x for k, x in inputs.items() if x.ndim > 2}, _REAL)
        sequences = [x for x in (u, delta, z) if x is not None]
        layout = common_layout(sequences)
        softplus, last_state = (bool(option) for option in options)
        problem = Problem.of(
            self.name,
            sizes._asdict(),
            name,
            {
                "B": "constant" if B.ndim == 2 else "variable",
                "C": "constant" if C.ndim == 2 else "variable",
                "D": D is not None,
                "z": z is not None,
                "delta_bias": delta_bias is not None,
                "softplus": softplus,
                "last_state": last_state,
                "layout": layout,
            },
        )
        kind, weights = dtype(name).torch, dtype(accumulate(name)).torch
        adapters = [
            sequence_adapter(0, u, layout, kind),
            sequence_adapter(1, delta, layout, kind),
            Adapter(2, _weight(A, weights)),
            Adapter(3, _rows(B, weights, sizes.groups)),
            Adapter(4, _rows(C, weights, sizes.groups)),
        ]
        if D is not None:
            adapters.append(Adapter(5, _weight(D, weights)))
        if z is not None:
            adapters.append(sequence_adapter(6, z, layout, kind))
        if delta_bias is not None:
            adapters.append(Adapter(7, _weight(delta_bias, weights)))

        def finish(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (outputs[0].to(result), *outputs[1:])

        result = u.dtype
        plan = kernel_plan(problem, chosen, adapters, tensors, finish if result != kind else None)
        return plan or self.reference_plan(options, chosen, name)

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        u, delta, A, B, C, D, z, delta_bias = tensors
        assert u is not None and delta is not None and A is not None and B is not None and C is not None
        softplus, last_state = options
        inputs = {"u": u, "delta": delta, "B": B, "C": C} | ({} if z is None else {"z": z})
        name = common_dtype({k: x for k, x in inputs.items() if x.ndim > 2}, _REAL)
        kind = dtype(accumulate(name)).torch
        out, state = reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, bool(softplus), dtype=kind)
        out = out.to(u.dtype)
        return (out, state) if last_state else (out,)


_OP = _SelectiveScan()


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> _Sizes:
    """The sizes of a call whose shapes fit together."""
    if u.ndim != 3 or A.ndim != 2:
        raise InvalidInputError(
            f"u must be (batch, dim, seqlen) and A (dim, d_state), but they are {tuple(u.shape)} and {tuple(A.shape)}."
        )
    batch, dim, seqlen = u.shape
    d_state = A.shape[1]
    if 0 in (batch, dim, seqlen, d_state):
        raise InvalidInputError(
            f"every size must be at least 1; u is {tuple(u.shape)}, A is {tuple(A.shape)}."
        )
    sequence = (("batch", "dim", "seqlen"), (batch, dim, seqlen))
    require_shape("delta", delta, *sequence)
    require_shape("A", A, ("dim", "d_state"), (dim, d_state))
    if z is not None:
        require_shape("z", z, *sequence)
    for name, weight in (("D", D), ("delta_bias", delta_bias)):
        if weight is not None:
            require_shape(name, weight, ("dim",), (dim,))
    groups = 1
    for name, rows in (("B", B), ("C", C)):
        if rows.ndim == 2:
            require_shape(name, rows, ("dim", "d_state"), (dim, d_state))
        elif rows.ndim == 3:
            require_shape(name, rows, ("batch", "d_state", "seqlen"), (batch, d_state, seqlen))
        elif rows.ndim == 4:
            groups = max(groups, rows.shape[1])
        else:
            raise InvalidInputError(
                f"{name} has shape {tuple(rows.shape)}, but must be (dim, d_state), (batch, d_state, seqlen) "
                "or (batch, groups, d_state, seqlen)."
            )
    for name, rows in (("B", B), ("C", C)):
        if rows.ndim == 4:
            own = 1 if rows.shape[1] == 1 else groups
            axes = ("batch", "groups", "d_state", "seqlen")
            require_shape(name, rows, axes, (batch, own, d_state, seqlen))
    if dim % groups:
        raise InvalidInputError(f"the {groups} groups of B and C must divide dim={dim}.")
    for name, x in (("A", A), ("B", B), ("C", C), ("D", D), ("delta_bias", delta_bias)):
        if x is not None and by_torch(x.dtype, name) not in _REAL:
            raise InvalidInputError(f"{name} is {x.dtype}; it must be real and floating-point.")
    return _Sizes(batch, dim, seqlen, d_state, groups)


def _weight(x: Tensor, kind: torch.dtype) -> Callable[[Tensor], Tensor] | None:
    """What makes a parameter contiguous in the accumulation dtype; None where it is."""
    if x.dtype == kind and x.is_contiguous():
        return None
    return lambda x: x.to(kind).contiguous()


def _rows(x: Tensor, kind: torch.dtype, groups: int) -> Callable[[Tensor], Tensor] | None:
    """What turns (batch, [groups,] d_state, seqlen) into contiguous rows (batch, groups, seqlen, d_state).

    They are small beside u, and in float32 rows cost a kernel fewer instructions than they save in bytes.
    """
    if x.ndim == 2:
        return _weight(x, kind)

    def convert(x: Tensor) -> Tensor:
        if x.ndim == 3:
            x = x.unsqueeze(1)
        return x.transpose(2, 3).expand(-1, groups, -1, -1).to(kind).contiguous()

    return convert
