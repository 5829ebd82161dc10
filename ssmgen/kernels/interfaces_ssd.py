"""The interface of Mamba-2's scan."""

from __future__ import annotations

from dataclasses import replace

from ssmgen.dtypes import accumulate
from ssmgen.kernels.interface import Interface, Operand, gradients_of, sequence_batches, strided
from ssmgen.problem import Problem

__all__ = ["Ssd"]


class Ssd(Interface):
    """Operands of Mamba-2's scan, in which the channels of a head share their decay.

    In the problem's dtype x, z, out: (batch, seqlen, heads, dim), dt: (batch, seqlen, heads), and B, C: (batch,
    seqlen, groups, d_state); the last axis has unit stride, but for dt. `dim` counts the channels of a head. In the
    accumulation dtype A, dt_bias: (heads,), and D: (heads, dim), with stride 0 where it is one number for each head;
    limit: (2,), the least and the largest dt; initial_state, last_state: (batch, heads, dim, d_state), contiguous.

    With `varlen` sequences lie one behind the other: those operands that have steps have a batch of 1, `batch` counts
    the sequences, and sequence s holds the steps cu_seqlens[s] to cu_seqlens[s + 1]. With `packed` the state starts
    from zero wherever seq_idx (batch, seqlen) changes.
    """

    op = "ssd"
    formula = (
        "h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t + D x_t,  out = y * silu(z)",
        "dt = softplus(dt + dt_bias) when asked, within limits",
    )
    dims = {"batch": 1, "seqlen": 2048, "heads": 24, "dim": 64, "d_state": 128, "groups": 1}
    dtypes = ("fp32", "bf16", "fp16", "fp64")
    options = {
        "D": (False, True),
        "z": (False, True),
        "dt_bias": (False, True),
        "softplus": (False, True),
        "limit": (False, True),
        "initial_state": (False, True),
        "last_state": (False, True),
        "varlen": (False, True),
        "packed": (False, True),
    }

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        name, real = problem.dtype, accumulate(problem.dtype)
        batch, seqlen, heads, dim, d_state, groups = (size for _, size in problem.dims)
        outer, token = sequence_batches(problem), ("batch", "step", "head")
        state = (batch, heads, dim, d_state)
        inputs = [
            strided("x", name, (outer, seqlen, heads, dim), *token),
            strided("dt", name, (outer, seqlen, heads), *token),
            Operand("A", real, (heads,)),
            strided("B", name, (outer, seqlen, groups, d_state), "batch", "step", "group"),
            strided("C", name, (outer, seqlen, groups, d_state), "batch", "step", "group"),
        ]
        if problem.option("D"):
            inputs.append(strided("D", real, (heads, dim), "head", "dim"))
        if problem.option("z"):
            inputs.append(strided("z", name, (outer, seqlen, heads, dim), *token))
        if problem.option("dt_bias"):
            inputs.append(Operand("dt_bias", real, (heads,)))
        if problem.option("limit"):
            inputs.append(Operand("limit", real, (2,)))
        if problem.option("initial_state"):
            inputs.append(Operand("initial_state", real, state))
        if problem.option("varlen"):
            inputs.append(Operand("cu_seqlens", "i32", (batch + 1,)))
        if problem.option("packed"):
            inputs.append(Operand("seq_idx", "i32", (outer, seqlen)))
        if problem.direction == "backward":
            given = [strided("dout", name, (outer, seqlen, heads, dim), *token)]
            if problem.option("last_state"):
                given.append(Operand("dlast_state", real, state))
            return (*inputs, *given, *gradients_of([x for x in inputs if x.name != "limit"]))
        outputs = [replace(strided("out", name, (outer, seqlen, heads, dim), *token), output=True)]
        if problem.option("last_state"):
            outputs.append(Operand("last_state", real, state, output=True))
        return (*inputs, *outputs)
