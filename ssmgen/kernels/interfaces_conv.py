"""The interfaces of the causal convolution and of its step."""

from __future__ import annotations

from dataclasses import replace

from ssmgen.dtypes import accumulate
from ssmgen.kernels.interface import Interface, Operand, gradients_of, sequence, strided
from ssmgen.problem import Problem

__all__ = ["CausalConv1d", "CausalConv1dUpdate"]

_DTYPES = ("fp32", "bf16", "fp16", "fp64")


class CausalConv1d(Interface):
    """Operands of the causal convolution.

    x, out: (batch, dim, seqlen) in the problem's dtype, in one layout: `layout="time"` has unit stride along seqlen,
    `layout="channel"` along dim. In the accumulation dtype weight: (dim, width), and bias: (dim,). In the problem's
    dtype and contiguous initial_state, last_state: (batch, dim, width - 1), the steps before the first and the last
    ones of all.

    With `packed` several sequences share a row: a step sees those before it whose number in seq_idx (batch, seqlen)
    is its own, and the output of a negative one is 0.

    Backward takes what forward takes and the gradients of its outputs, and writes the gradient of every input.
    """

    op = "causal_conv1d"
    formula = ("out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked",)
    dims = {"batch": 1, "dim": 1536, "seqlen": 2048, "width": 4}
    dtypes = _DTYPES
    options = {
        "bias": (False, True),
        "silu": (False, True),
        "initial_state": (False, True),
        "last_state": (False, True),
        "packed": (False, True),
        "layout": ("time", "channel"),
    }

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        real, batch, dim, width = (
            accumulate(problem.dtype),
            problem["batch"],
            problem["dim"],
            problem["width"],
        )
        state = (batch, dim, width - 1)
        inputs = [sequence("x", problem), Operand("weight", real, (dim, width))]
        if problem.option("bias"):
            inputs.append(Operand("bias", real, (dim,)))
        if problem.option("packed"):
            inputs.append(Operand("seq_idx", "i32", (batch, problem["seqlen"])))
        if problem.option("initial_state"):
            inputs.append(Operand("initial_state", problem.dtype, state))
        if problem.direction == "backward":
            given = [sequence("dout", problem)]
            if problem.option("last_state"):
                given.append(Operand("dlast_state", problem.dtype, state))
            return (*inputs, *given, *gradients_of(inputs))
        outputs = [sequence("out", problem, output=True)]
        if problem.option("last_state"):
            outputs.append(Operand("last_state", problem.dtype, state, output=True))
        return (*inputs, *outputs)


class CausalConv1dUpdate(Interface):
    """Operands of a few steps of the causal convolution, which update the steps kept of before in place.

    In the problem's dtype x, out: (batch, dim, tokens), and conv_state: (slots, dim, length), where length is at least
    width - 1; every axis has a stride of its own. In the accumulation dtype weight: (dim, width), and bias: (dim,).

    Without `ring` conv_state holds the latest steps in order. With it, it is a ring, and token i of sequence b goes to
    the place (cache_seqlens[b] + i) mod length. Sequence b has the state in row b, or with `indices` in row
    `indices[b]`; one that does not exist marks padding, whose output is zero.
    """

    op = "causal_conv1d_update"
    formula = ("out_t = bias + sum_k weight_{W-1-k} x_{t-k}, k = 0 ... W - 1, through silu when asked",)
    dims = {"batch": 1, "tokens": 1, "dim": 1536, "width": 4, "length": 4, "slots": 1}
    dtypes = _DTYPES
    options = {"bias": (False, True), "silu": (False, True), "ring": (False, True), "indices": (False, True)}
    along, across, outer = "batch", "dim", "batch"
    lengths = (1, 2, 5)  # sequences know nothing of one another
    has_gradients = False

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        name, real = problem.dtype, accumulate(problem.dtype)
        batch, tokens, dim, width, length, slots = (size for _, size in problem.dims)
        rows = slots if problem.option("indices") else batch
        state = strided("conv_state", name, (rows, dim, length), "slot", "dim", "step")
        inputs = [
            strided("x", name, (batch, dim, tokens), "batch", "dim", "token"),
            replace(state, updated=True),
            Operand("weight", real, (dim, width)),
        ]
        if problem.option("bias"):
            inputs.append(Operand("bias", real, (dim,)))
        if problem.option("ring"):
            inputs.append(Operand("cache_seqlens", "i32", (batch,)))
        if problem.option("indices"):
            inputs.append(Operand("indices", "i32", (batch,)))
        out = strided("out", name, (batch, dim, tokens), "batch", "dim", "token")
        return (*inputs, replace(out, output=True))
