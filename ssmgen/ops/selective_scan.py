"""The selective scan of Mamba: shapes, checks and preparation of a call."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import accumulate, dtype
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, common_dtype, require_tensor
from ssmgen.ops.selective_scan_inputs import (
    REAL,
    check_shapes,
    deinterleaved,
    offsets,
    rows,
    weight,
)
from ssmgen.ops.sequences import common_layout, sequence_adapter
from ssmgen.problem import Problem

__all__ = ["selective_scan"]


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
    initial_state: Tensor | None = ...,
    cu_seqlens: Tensor | None = ...,
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
    initial_state: Tensor | None = ...,
    cu_seqlens: Tensor | None = ...,
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
    initial_state: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    target: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan of Mamba (arXiv 2312.00752, section 3.3), with the arguments of mamba-ssm.

    `h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t`, `y_t = C_t . h_t + D u_t`, `out = y * silu(z)`, where delta is
    first replaced by `softplus(delta + delta_bias)` when asked. The state is kept and summed in float32, or in float64
    for float64 inputs; what is stored in half precision is rounded to it, and overflows to infinity. Differentiable in
    every tensor, by kernels that give the same bits every time.

    With a complex A the states are complex, one of each conjugate pair, and `y_t = 2 Re(C_t . h_t) + D u_t`.

    Args:
        u: (batch, dim, seqlen), float32, bfloat16, float16 or float64; any strides. Unit stride along seqlen or along
            dim costs no copy.
        delta: (batch, dim, seqlen), the step sizes.
        A: (dim, d_state), real or complex; the decay rates, of negative real part in a stable model.
        B: (dim, d_state), constant over time; or (batch, d_state, seqlen); or (batch, groups, d_state, seqlen), where
            groups divides dim and each group of channels shares its rows. For a complex A complex, or, if it changes
            with time, real with interleaved parts (..., 2 seqlen), as in mamba-ssm.
        C: As B, independently of it.
        D: (dim,), the skip connection; left out when None.
        z: (batch, dim, seqlen), the gate; left out when None.
        delta_bias: (dim,), added to delta; left out when None.
        delta_softplus: Whether delta passes through softplus (the identity above 20).
        return_last_state: Whether to return the state after the last step too.
        initial_state: (batch, dim, d_state), the state before the first step; zero when None.
        cu_seqlens: (sequences + 1,), int32 or int64, for sequences of several lengths packed one behind the other into
            a batch of 1: sequence s holds the steps `cu_seqlens[s]` to `cu_seqlens[s + 1]`, from 0 to seqlen in all.
            States have one row for each sequence. On a GPU the values are not checked, which would stall it.
        target: What runs it (`cpu`, `cuda`, `hip`, `interpret`, `reference`). By default SSMGEN_TARGET, else
            whatever serves the tensors' device.

    Returns:
        out (batch, dim, seqlen) in u's dtype, in the layout that most of u, delta and z have; with
        `return_last_state`, a pair of it and the last state (batch, dim, d_state) in float32 (float64 for float64
        inputs), or the complex dtype of that precision.

    Raises:
        InvalidInputError: Shapes, dtypes or devices do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    options = (bool(delta_softplus), bool(return_last_state))
    tensors = (u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens)
    outputs = _call(tensors, options, target)
    return (outputs[0], outputs[1]) if return_last_state else outputs[0]


class _SelectiveScan(Op):
    name = "selective_scan"
    schema = (
        "(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D=None, Tensor? z=None, "
        "Tensor? delta_bias=None, bool delta_softplus=False, bool return_last_state=False, *, "
        "Tensor? initial_state=None, Tensor? cu_seqlens=None, str? target=None) -> (Tensor, Tensor)"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        u, delta, A, B, C = map(require_tensor, ("u", "delta", "A", "B", "C"), tensors)
        D, z, delta_bias, initial_state, cu_seqlens = tensors[5:]
        sizes = check_shapes(u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens)
        chosen = pick_target(target, tensors)
        name = _dtype(u, delta, B, C, z)
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
                "complex": A.is_complex(),
                "initial_state": initial_state is not None,
                "last_state": last_state,
                "varlen": cu_seqlens is not None,
                "saved": 0,
                "layout": layout,
            },
        )
        kind, real = dtype(name).torch, dtype(accumulate(name)).torch
        weights = real.to_complex() if A.is_complex() else real
        adapters = [
            sequence_adapter(0, u, layout, kind),
            sequence_adapter(1, delta, layout, kind),
            weight(2, A, weights),
            rows(3, B, weights, sizes),
            rows(4, C, weights, sizes),
        ]
        if D is not None:
            adapters.append(weight(5, D, real))
        if z is not None:
            adapters.append(sequence_adapter(6, z, layout, kind))
        if delta_bias is not None:
            adapters.append(weight(7, delta_bias, real))
        if initial_state is not None:
            adapters.append(weight(8, initial_state, weights))
        if cu_seqlens is not None:
            adapters.append(Adapter(9, offsets(sizes.seqlen), checks=cu_seqlens.is_cpu))

        def finish(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (outputs[0].to(result), *outputs[1:])

        result = u.dtype
        return Call(problem, chosen, tuple(adapters), finish if result != kind else None)

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens = tensors
        assert u is not None and delta is not None and A is not None and B is not None and C is not None
        softplus, last_state = options
        out, state = reference.selective_scan(
            u,
            delta,
            A,
            deinterleaved(B, u.shape[2]) if A.is_complex() else B,
            deinterleaved(C, u.shape[2]) if A.is_complex() else C,
            D,
            z,
            delta_bias,
            bool(softplus),
            initial_state=initial_state,
            cu_seqlens=None if cu_seqlens is None else offsets(u.shape[2])(cu_seqlens),
            dtype=dtype(accumulate(_dtype(u, delta, B, C, z))).torch,
        )
        out = out.to(u.dtype)
        return (out, state) if last_state else (out,)


_call = _SelectiveScan().call


def _dtype(u: Tensor, delta: Tensor, B: Tensor, C: Tensor, z: Tensor | None) -> str:
    """One dtype for all that is as long as the sequence: the widest, so that nothing loses precision."""
    inputs = {"u": u, "delta": delta} | ({} if z is None else {"z": z})
    # Complex rows reach kernels in the accumulation dtype whatever the others have; only double precision counts.
    inputs |= {
        name: x.real if x.is_complex() else x
        for name, x in (("B", B), ("C", C))
        if x.ndim > 2 and x.dtype != torch.complex64
    }
    return common_dtype(inputs, REAL)
