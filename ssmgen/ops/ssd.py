"""The scan of Mamba-2: shapes, checks and preparation of a call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.dispatch import Tensors, pick_target
from ssmgen.dtypes import accumulate, by_torch, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Adapter, Call
from ssmgen.ops.op import Op, Options, common_dtype, require_shape, require_tensor
from ssmgen.ops.selective_scan_inputs import REAL, check_offsets, offsets, weight
from ssmgen.problem import Problem

__all__ = ["ssd"]

_UNLIMITED = (0.0, math.inf)


@overload
def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int | None = ...,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    dt_bias: Tensor | None = ...,
    initial_states: Tensor | None = ...,
    seq_idx: Tensor | None = ...,
    cu_seqlens: Tensor | None = ...,
    dt_softplus: bool = ...,
    dt_limit: tuple[float, float] = ...,
    return_final_states: Literal[False] = ...,
    *,
    target: str | None = ...,
) -> Tensor: ...
@overload
def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int | None = ...,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    dt_bias: Tensor | None = ...,
    initial_states: Tensor | None = ...,
    seq_idx: Tensor | None = ...,
    cu_seqlens: Tensor | None = ...,
    dt_softplus: bool = ...,
    dt_limit: tuple[float, float] = ...,
    return_final_states: bool = ...,
    *,
    target: str | None = ...,
) -> Tensor | tuple[Tensor, Tensor]: ...
def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int | None = None,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    seq_idx: Tensor | None = None,
    cu_seqlens: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    *,
    target: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The scan of Mamba-2 (SSD, arXiv 2405.21060), with the arguments of mamba-ssm's `mamba_chunk_scan_combined`.

    `h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T`, `y_t = h_t C_t + D x_t`, `out = y * silu(z)` for each head, where dt
    is first replaced by `softplus(dt + dt_bias)` when asked and kept within `dt_limit`. States and sums are in
    float32, or in float64 for float64 inputs. Differentiable in every floating-point tensor, by kernels that give the
    same bits every time.

    Args:
        x: (batch, seqlen, heads, dim), float32, bfloat16, float16 or float64; unit stride along dim costs no copy.
        dt: (batch, seqlen, heads), the step sizes.
        A: (heads,), the decay rates, negative in a stable model.
        B: (batch, seqlen, groups, d_state), where groups divides heads.
        C: As B.
        chunk_size: Taken for the sake of calls written for mamba-ssm, and without effect: how many steps make a chunk
            is the kernel's choice, which is tuned, and no result depends on it but by rounding.
        D: (heads,) or (heads, dim), the skip connection; left out when None.
        z: As x, the gate; left out when None.
        dt_bias: (heads,), added to dt; left out when None.
        initial_states: (batch, heads, dim, d_state), the states before the first step; zero when None.
        seq_idx: (batch, seqlen), int32 or int64, for several sequences in one row: the state starts from zero wherever
            the number changes. The initial state is that of a row's first sequence, the final one that of its last.
        cu_seqlens: (sequences + 1,), int32 or int64, instead of seq_idx, for sequences that lie one behind the other
            in a batch of 1; see `selective_scan`. States then have one row for each sequence.
        dt_softplus: Whether dt passes through softplus.
        dt_limit: The least and the largest dt; by default only negative ones are raised to 0.
        return_final_states: Whether to return the states after the last step too.
        target: What runs it; see `selective_scan`.

    Returns:
        out (batch, seqlen, heads, dim) in x's dtype, contiguous; with `return_final_states`, a pair of it and the
        final states (batch or sequences, heads, dim, d_state) in float32 (float64 for float64 inputs).

    Raises:
        InvalidInputError: Shapes, dtypes, devices or options do not fit together.
        TargetUnavailableError: The target cannot be used here.
    """
    tensors = (x, dt, A, B, C, D, z, dt_bias, initial_states, seq_idx, cu_seqlens)
    low, high = dt_limit
    options = (chunk_size, bool(dt_softplus), (float(low), float(high)), bool(return_final_states))
    outputs = _call(tensors, options, target)
    return (outputs[0], outputs[1]) if return_final_states else outputs[0]


class _Inputs(NamedTuple):
    """The tensors of a call, in its order."""

    x: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    dt_bias: Tensor | None
    initial_states: Tensor | None
    seq_idx: Tensor | None
    cu_seqlens: Tensor | None


class _Ssd(Op):
    name = "ssd"
    schema = (
        "(Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, int? chunk_size=None, Tensor? D=None, Tensor? z=None, "
        "Tensor? dt_bias=None, Tensor? initial_states=None, Tensor? seq_idx=None, Tensor? cu_seqlens=None, "
        "bool dt_softplus=False, float[]? dt_limit=None, bool return_final_states=False, *, "
        "str? target=None) -> (Tensor, Tensor)"
    )

    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        inputs = _Inputs(*tensors)  # type: ignore[arg-type]
        sizes = _check(inputs, options)
        chosen = pick_target(target, tensors)
        name, limits = _dtype(inputs), _limits(options)
        problem = Problem.of(
            self.name,
            sizes,
            name,
            {
                "D": inputs.D is not None,
                "z": inputs.z is not None,
                "dt_bias": inputs.dt_bias is not None,
                "softplus": bool(options[1]),
                "limit": limits is not None,
                "initial_state": inputs.initial_states is not None,
                "last_state": bool(options[3]),
                "varlen": inputs.cu_seqlens is not None,
                "packed": inputs.seq_idx is not None,
            },
        )
        kind, real = dtype(name).torch, dtype(accumulate(name)).torch
        heads, dim = inputs.x.shape[2:]
        adapters = [
            _side_by_side(0, inputs.x, kind),
            Adapter(1, None if inputs.dt.dtype == kind else (lambda x: x.to(kind))),
            weight(2, inputs.A, real),
            _side_by_side(3, inputs.B, kind),
            _side_by_side(4, inputs.C, kind),
        ]
        if inputs.D is not None:
            adapters.append(Adapter(5, _of_channels(heads, dim, real)))
        if inputs.z is not None:
            adapters.append(_side_by_side(6, inputs.z, kind))
        if inputs.dt_bias is not None:
            adapters.append(weight(7, inputs.dt_bias, real))
        if limits is not None:
            adapters.append(Adapter(1, lambda x: torch.tensor(limits, dtype=real, device=x.device)))
        if inputs.initial_states is not None:
            adapters.append(weight(8, inputs.initial_states, real))
        if inputs.cu_seqlens is not None:
            adapters.append(Adapter(10, offsets(inputs.x.shape[1]), checks=inputs.cu_seqlens.is_cpu))
        if inputs.seq_idx is not None:
            adapters.append(Adapter(9, lambda x: x.to(torch.int32).contiguous()))
        result = inputs.x.dtype

        def finish(outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (outputs[0].to(result), *outputs[1:])

        return Call(problem, chosen, tuple(adapters), finish if result != kind else None)

    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        inputs = _Inputs(*tensors)  # type: ignore[arg-type]
        _check(inputs, options)
        x, limits, D = inputs.x, _limits(options), inputs.D
        real = dtype(accumulate(_dtype(inputs))).torch
        cu_seqlens = inputs.cu_seqlens
        out, state = reference.ssd(
            x,
            inputs.dt,
            inputs.A,
            inputs.B,
            inputs.C,
            D[:, None] if D is not None and D.ndim == 1 else D,
            inputs.z,
            inputs.dt_bias,
            bool(options[1]),
            limit=None if limits is None else torch.tensor(limits, dtype=real, device=x.device),
            initial_state=inputs.initial_states,
            seq_idx=inputs.seq_idx,
            cu_seqlens=None if cu_seqlens is None else offsets(x.shape[1])(cu_seqlens),
            dtype=real,
        )
        out = out.to(x.dtype)
        return (out, state) if options[3] else (out,)


_call = _Ssd().call


def _limits(options: Options) -> tuple[float, float] | None:
    """The limits of dt; None where softplus keeps within them anyway."""
    given: Any = options[2]  # through PyTorch, None where it is left out
    limits: tuple[float, float] = given or _UNLIMITED
    return None if options[1] and limits == _UNLIMITED else limits


def _side_by_side(index: int, x: Tensor, kind: torch.dtype) -> Adapter:
    """The adapter that gives a tensor this dtype and unit stride along its last axis; it copies only if it has to."""
    if x.dtype == kind and (x.stride(-1) == 1 or x.shape[-1] == 1):
        return Adapter(index, None)
    return Adapter(index, lambda x: x.to(kind).contiguous())


def _of_channels(heads: int, dim: int, kind: torch.dtype) -> Callable[[Tensor], Tensor]:
    """What gives each channel of each head its own, without a copy."""
    return lambda D: (D[:, None] if D.ndim == 1 else D).to(kind).expand(heads, dim)


def _dtype(inputs: _Inputs) -> str:
    """One dtype for all that a step brings: the widest, so that nothing loses precision."""
    brought = {"x": inputs.x, "dt": inputs.dt, "B": inputs.B, "C": inputs.C}
    return common_dtype(brought | ({} if inputs.z is None else {"z": inputs.z}), REAL)


def _check(inputs: _Inputs, options: Options) -> dict[str, int]:
    """The sizes of a call whose arguments fit together.

    Raises:
        InvalidInputError: They do not.
    """
    x, B = require_tensor("x", inputs.x), require_tensor("B", inputs.B)
    if x.ndim != 4 or B.ndim != 4 or 0 in (*x.shape, *B.shape):
        raise InvalidInputError(
            "x must be (batch, seqlen, heads, dim) and B (batch, seqlen, groups, d_state), every size at least 1; "
            f"they are {tuple(x.shape)} and {tuple(B.shape)}."
        )
    batch, seqlen, heads, dim = x.shape
    groups, d_state = B.shape[2:]
    rows = (("batch", "seqlen", "groups", "d_state"), (batch, seqlen, groups, d_state))
    require_shape("dt", inputs.dt, ("batch", "seqlen", "heads"), (batch, seqlen, heads))
    require_shape("A", inputs.A, ("heads",), (heads,))
    require_shape("B", B, *rows)
    require_shape("C", inputs.C, *rows)
    if heads % groups:
        raise InvalidInputError(f"the {groups} groups of B and C must divide heads={heads}.")
    if inputs.D is not None and tuple(inputs.D.shape) not in ((heads,), (heads, dim)):
        raise InvalidInputError(
            f"D has shape {tuple(inputs.D.shape)}, but must be (heads={heads},) or (heads={heads}, dim={dim})."
        )
    if inputs.z is not None:
        require_shape("z", inputs.z, ("batch", "seqlen", "heads", "dim"), (batch, seqlen, heads, dim))
    if inputs.dt_bias is not None:
        require_shape("dt_bias", inputs.dt_bias, ("heads",), (heads,))
    sequences = batch
    if inputs.cu_seqlens is not None:
        if inputs.seq_idx is not None:
            raise InvalidInputError("seq_idx and cu_seqlens say the same: give one of them.")
        sequences = check_offsets(inputs.cu_seqlens, batch, "x")
    if inputs.seq_idx is not None:
        require_shape("seq_idx", inputs.seq_idx, ("batch", "seqlen"), (batch, seqlen))
        if inputs.seq_idx.dtype not in (torch.int32, torch.int64):
            raise InvalidInputError(f"seq_idx is {inputs.seq_idx.dtype}; it must be int32 or int64.")
    if inputs.initial_states is not None:
        names = ("sequences" if inputs.cu_seqlens is not None else "batch", "heads", "dim", "d_state")
        require_shape("initial_states", inputs.initial_states, names, (sequences, heads, dim, d_state))
    for name in ("A", "D", "dt_bias", "initial_states"):
        tensor = getattr(inputs, name)
        if tensor is not None and by_torch(tensor.dtype, name) not in REAL:
            raise InvalidInputError(f"{name} is {tensor.dtype}; it must be real and floating-point.")
    chunk, limits = options[0], _limits(options)
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise InvalidInputError(
            f"chunk_size must be a number of steps, at least 1, or None; it is {chunk!r}."
        )
    if limits is not None and not limits[0] <= limits[1]:
        raise InvalidInputError(f"dt_limit must be the least and the largest dt; it is {limits}.")
    return {
        "batch": sequences,
        "seqlen": seqlen,
        "heads": heads,
        "dim": dim,
        "d_state": d_state,
        "groups": groups,
    }
