"""The reference in the kernels' terms: from the input operands of a problem, by name, to its outputs.

Verification compares kernels with it in float64; second derivatives, and what has no kernel, go through it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ssmgen import reference
from ssmgen.kernels.interfaces import STATE_BLOCK, row_groups, state_slots
from ssmgen.problem import Problem

__all__ = ["RESIDUALS", "gradients", "outputs", "states_between"]

Operands = Mapping[str, Tensor]


def outputs(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    """What forward gives, without the saved states; differentiable.

    Args:
        problem: A problem of either direction; of backward's inputs, those that forward takes are used.
        inputs: Input operands by name.
        dtype: The real or complex dtype in which everything is computed, and the results are.
    """
    return _OUTPUTS[problem.op](problem, inputs, dtype)


def gradients(
    problem: Problem,
    inputs: Operands,
    dtype: torch.dtype,
    *,
    wanted: Sequence[str] | None = None,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """What backward gives, by differentiating `outputs`.

    Args:
        problem: A backward problem.
        inputs: Its input operands by name; `dout` and the like may be missing, which is zero.
        dtype: As for `outputs`.
        wanted: Names of the inputs whose gradients are wanted; None for all that are floating-point.
        create_graph: Whether the gradients are to be differentiable, in the inputs too.
    """
    cotangents = {name[1:]: x for name, x in inputs.items() if name in _COTANGENTS}
    primal = {name: x for name, x in inputs.items() if name not in _COTANGENTS and name not in RESIDUALS}
    if wanted is None:
        wanted = [name for name, x in primal.items() if x.is_floating_point() or x.is_complex()]
    if problem.op == "linear_scan" and "b" not in primal:
        primal["b"] = _inhomogeneity(problem, inputs, dtype)
        wanted = [*wanted, "b"]
    with torch.enable_grad():
        # Each input gets a node of its own, so that a path from one input to another is not followed here.
        leaves = {
            name: x.view_as(x) if create_graph else _widened(x, dtype).requires_grad_(name in wanted)
            for name, x in primal.items()
        }
        results = outputs(problem, leaves, dtype)
    reached = [(y, cotangents[name]) for name, y in results.items() if name in cotangents and y.requires_grad]
    if not reached:
        return {f"d{name}": torch.zeros_like(leaves[name]) for name in wanted}
    found = torch.autograd.grad(
        [y for y, _ in reached],
        [leaves[name] for name in wanted],
        [g.to(y.dtype) for y, g in reached],
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return {f"d{name}": gradient for name, gradient in zip(wanted, found, strict=True)}


def _widened(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A leaf in the dtype of the computation, so that its gradient is not rounded; offsets as they are."""
    if not (x.is_floating_point() or x.is_complex()):
        return x
    kind = dtype.to_complex() if x.is_complex() else dtype.to_real()
    return x.detach().to(kind, copy=True)


# What backward is given beside the inputs of forward: gradients of outputs, and what forward kept.
_COTANGENTS = ("dout", "dlast_state")
RESIDUALS = ("states", "h")


def states_between(problem: Problem, inputs: Operands, interval: int, dtype: torch.dtype) -> Tensor:
    """The states before every `interval`-th step of each sequence, laid out by `state_slots`; NaN where unused.

    Args:
        problem: A selective scan.
        inputs: Input operands by name.
        interval: Steps between two states.
        dtype: The real dtype of everything.
    """
    shape = state_slots(problem, interval)
    found = torch.full(shape, torch.nan, dtype=dtype, device=inputs["u"].device)
    if problem.option("varlen"):
        for index, (start, end) in enumerate(itertools.pairwise(inputs["cu_seqlens"].tolist())):
            first = start // interval + index
            one = slice(index, index + 1)
            for chunk, planes in enumerate(_chunk_states(problem, inputs, interval, dtype, one, start, end)):
                found[first + chunk] = planes[0]
    else:
        batch = problem["batch"]
        every = slice(0, batch)
        chunks = _chunk_states(problem, inputs, interval, dtype, every, 0, problem["seqlen"])
        for chunk, planes in enumerate(chunks):
            found.view(batch, -1, *shape[1:])[:, chunk] = planes
    return found


def _chunk_states(
    problem: Problem,
    inputs: Operands,
    interval: int,
    dtype: torch.dtype,
    batches: slice,
    start: int,
    end: int,
) -> Iterator[Tensor]:
    """The slots (batches, blocks, planes, 16) before each chunk of the steps start to end, scanned chunk by chunk."""
    scan = problem.with_options(varlen=False, last_state=True, initial_state=True, saved=0)
    state = inputs["A"].new_zeros(batches.stop - batches.start, *inputs["A"].shape)
    if problem.option("initial_state"):
        state = inputs["initial_state"][batches]
    for first in range(start, end, interval):
        planes = torch.view_as_real(state).flatten(2) if state.is_complex() else state
        yield _blocks(planes.to(dtype), row_groups(problem))
        steps = slice(first, min(first + interval, end))
        piece = {name: _steps(name, x, steps) for name, x in inputs.items() if name != "cu_seqlens"}
        state = outputs(scan, {**piece, "initial_state": state}, dtype)["last_state"]


def _blocks(planes: Tensor, groups: int) -> Tensor:
    """The (batches, dim, planes) states of one step in blocks of a group's channels; padding is NaN."""
    batches, dim, count = planes.shape
    width = dim // groups
    short = -width % STATE_BLOCK
    padded = torch.nn.functional.pad(
        planes.view(batches, groups, width, count), (0, 0, 0, short), value=torch.nan
    )
    return padded.reshape(batches, -1, STATE_BLOCK, count).transpose(2, 3)


def _steps(name: str, x: Tensor, steps: slice) -> Tensor:
    """These steps of an operand; the whole of one that does not change with time."""
    if name in ("u", "delta", "z"):
        return x[..., steps]
    return x[:, :, steps] if name in ("B", "C") and x.ndim == 4 else x


def _selective_scan(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    rows = {
        name: inputs[name].transpose(-1, -2) if problem.option(name) == "variable" else inputs[name]
        for name in ("B", "C")
    }
    out, last_state = reference.selective_scan(
        inputs["u"],
        inputs["delta"],
        inputs["A"],
        rows["B"],
        rows["C"],
        inputs.get("D"),
        inputs.get("z"),
        inputs.get("delta_bias"),
        bool(problem.option("softplus")),
        initial_state=inputs.get("initial_state"),
        cu_seqlens=inputs.get("cu_seqlens"),
        dtype=dtype,
    )
    return {"out": out, "last_state": last_state} if problem.option("last_state") else {"out": out}


def _selective_state_update(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    state, indices = inputs["state"], inputs.get("indices")
    dt, A, dt_bias = inputs["dt"], inputs["A"], inputs.get("dt_bias")
    if problem.option("tied"):
        dt, A = dt[..., None], A[:, None, None]
        dt_bias = dt_bias if dt_bias is None else dt_bias[:, None]
    out, states = reference.selective_state_update(
        state,
        inputs["x"],
        dt,
        A,
        inputs["B"],
        inputs["C"],
        inputs.get("D"),
        inputs.get("z"),
        dt_bias,
        bool(problem.option("softplus")),
        indices,
        dtype=dtype,
    )
    found = {"out": out}
    if problem.option("update"):
        found["state"] = reference.replaced(state.to(dtype), indices, states[:, -1])
    if problem.option("states"):
        found["states"] = states
        if indices is not None:
            padding = reference.is_padding(indices, state)
            found["states"] = states.masked_fill(padding[:, None, None, None, None], torch.nan)
    return found


def _ssd(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    out, last_state = reference.ssd(
        inputs["x"],
        inputs["dt"],
        inputs["A"],
        inputs["B"],
        inputs["C"],
        inputs.get("D"),
        inputs.get("z"),
        inputs.get("dt_bias"),
        problem.has("softplus"),
        limit=inputs.get("limit"),
        initial_state=inputs.get("initial_state"),
        seq_idx=inputs.get("seq_idx"),
        cu_seqlens=inputs.get("cu_seqlens"),
        dtype=dtype,
    )
    return {"out": out, "last_state": last_state} if problem.option("last_state") else {"out": out}


def _linear_scan(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    out = reference.linear_scan(
        inputs["a"],
        inputs["b"],
        initial_state=inputs.get("initial_state"),
        reverse=bool(problem.option("reverse")),
        dtype=dtype,
    )
    return {"out": out}


def _inhomogeneity(problem: Problem, inputs: Operands, dtype: torch.dtype) -> Tensor:
    """The b of a linear scan, from a and h: backward is given h in its place."""
    a, h = inputs["a"].to(dtype), inputs["h"].to(dtype)
    first = h.new_zeros(h.shape[:2])
    if problem.option("initial_state"):
        first = inputs["initial_state"].to(dtype)
    if problem.option("reverse"):
        before = torch.cat([h[..., 1:], first[..., None]], dim=-1)
    else:
        before = torch.cat([first[..., None], h[..., :-1]], dim=-1)
    return h - a * before


def _causal_conv1d(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    out, last_state = reference.causal_conv1d(
        inputs["x"],
        inputs["weight"],
        inputs.get("bias"),
        problem.has("silu"),
        seq_idx=inputs.get("seq_idx"),
        initial_state=inputs.get("initial_state"),
        dtype=dtype,
    )
    return {"out": out, "last_state": last_state} if problem.option("last_state") else {"out": out}


def _causal_conv1d_update(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    state, indices = inputs["conv_state"], inputs.get("indices")
    out, states = reference.causal_conv1d_update(
        inputs["x"],
        state,
        inputs["weight"],
        inputs.get("bias"),
        problem.has("silu"),
        cache_seqlens=inputs.get("cache_seqlens"),
        indices=indices,
        dtype=dtype,
    )
    return {"out": out, "conv_state": reference.replaced(state, indices, states)}


def _cauchy_mult(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    z = inputs["z"]
    if problem.option("imaginary"):
        y = z.to(dtype.to_real())
        z = torch.complex(torch.zeros_like(y), y)
    symmetric = bool(problem.option("symmetric"))
    return {"out": reference.cauchy_mult(inputs["v"], z, inputs["w"], symmetric, dtype=dtype)}


def _log_vandermonde(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    return {"out": reference.log_vandermonde(inputs["v"], inputs["x"], problem["seqlen"], dtype=dtype)}


def _log_vandermonde_transpose(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    u, v, x = inputs["u"], inputs["v"], inputs["x"]
    return {"out": reference.log_vandermonde_transpose(u, v, x, problem["seqlen"], dtype=dtype)}


def _dplr_kernel(problem: Problem, inputs: Operands, dtype: torch.dtype) -> dict[str, Tensor]:
    out = reference.dplr_spectrum(
        inputs["Lambda"],
        inputs["P"],
        inputs["Q"],
        inputs["B"],
        inputs["C"],
        inputs["step"],
        problem["seqlen"],
        pairs=bool(problem.option("pairs")),
        dtype=dtype,
    )
    return {"out": out}


_OUTPUTS: dict[str, Callable[[Problem, Operands, torch.dtype], dict[str, Tensor]]] = {
    "selective_scan": _selective_scan,
    "selective_state_update": _selective_state_update,
    "ssd": _ssd,
    "linear_scan": _linear_scan,
    "causal_conv1d": _causal_conv1d,
    "causal_conv1d_update": _causal_conv1d_update,
    "cauchy_mult": _cauchy_mult,
    "log_vandermonde": _log_vandermonde,
    "log_vandermonde_transpose": _log_vandermonde_transpose,
    "dplr_kernel": _dplr_kernel,
}
