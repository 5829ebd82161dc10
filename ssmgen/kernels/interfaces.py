"""The interfaces of the scans and of the step: which operands, in which layout, reach kernels; and all, by name."""

from __future__ import annotations

from dataclasses import replace

from ssmgen.dtypes import accumulate, with_complex
from ssmgen.errors import unknown
from ssmgen.kernels.interface import Interface, Operand, gradients_of, sequence, sequence_batches, strided
from ssmgen.kernels.interfaces_conv import CausalConv1d, CausalConv1dUpdate
from ssmgen.kernels.interfaces_s4 import CauchyMult, DplrKernel, LogVandermonde, LogVandermondeTranspose
from ssmgen.kernels.interfaces_ssd import Ssd
from ssmgen.problem import Problem

__all__ = [
    "INTERFACES",
    "STATE_BLOCK",
    "LinearScan",
    "SelectiveScan",
    "SelectiveStateUpdate",
    "interface",
    "is_descending",
    "row_groups",
    "sequence_batches",
    "state_slots",
]

_REAL = ("fp32", "bf16", "fp16", "fp64")


class SelectiveScan(Interface):
    """Operands of the selective scan.

    u, delta, z, out: (batch, dim, seqlen) in the problem's dtype, all in one layout: `layout="time"` has unit stride
    along seqlen, `layout="channel"` along dim. A: (dim, d_state). B, C: constant (dim, d_state), or variable as
    (batch, groups, seqlen, d_state), contiguous, so that the states of one step form a row. D, delta_bias: (dim,).
    initial_state, last_state: (batch, dim, d_state). All but u, delta, z and out are in the accumulation dtype and
    contiguous; with `complex`, A, B, C and the states are complex.

    With `varlen` sequences lie one behind the other: u, delta, z, out and rows have a batch of 1, `batch` counts the
    sequences, and sequence s holds the steps cu_seqlens[s] to cu_seqlens[s + 1].

    With `saved` forward also writes `states` (slots, blocks, planes, 16), the states before every `saved`-th step of
    each sequence, which backward recomputes the others from; see `state_slots`.

    Backward takes what forward takes, the gradients of its outputs, and `states` if `saved`; it writes the gradient of
    every input, summed over all that shares the input.
    """

    op = "selective_scan"
    formula = (
        "h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  y_t = C_t . h_t + D u_t,  out = y * silu(z)",
        "delta = softplus(delta + delta_bias) when asked",
    )
    dims = {"batch": 1, "dim": 1536, "seqlen": 2048, "d_state": 16, "groups": 1}
    dtypes = _REAL
    options = {
        "B": ("variable", "constant"),
        "C": ("variable", "constant"),
        "D": (False, True),
        "z": (False, True),
        "delta_bias": (False, True),
        "softplus": (False, True),
        "complex": (False, True),
        "initial_state": (False, True),
        "last_state": (False, True),
        "varlen": (False, True),
        "saved": (0, 2, 4, 8, 16, 32, 64, 128, 256),
        "layout": ("time", "channel"),
    }

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        real = accumulate(problem.dtype)
        kind = with_complex(real) if problem.option("complex") else real
        batch, dim, seqlen = problem["batch"], problem["dim"], problem["seqlen"]
        weight, state = (dim, problem["d_state"]), (batch, dim, problem["d_state"])
        rows = (sequence_batches(problem), problem["groups"], seqlen, problem["d_state"])
        inputs = [
            sequence("u", problem),
            sequence("delta", problem),
            Operand("A", kind, weight),
            Operand("B", kind, rows if problem.option("B") == "variable" else weight),
            Operand("C", kind, rows if problem.option("C") == "variable" else weight),
        ]
        if problem.option("D"):
            inputs.append(Operand("D", real, (dim,)))
        if problem.option("z"):
            inputs.append(sequence("z", problem))
        if problem.option("delta_bias"):
            inputs.append(Operand("delta_bias", real, (dim,)))
        if problem.option("initial_state"):
            inputs.append(Operand("initial_state", kind, state))
        if problem.option("varlen"):
            inputs.append(Operand("cu_seqlens", "i32", (batch + 1,)))
        backward = problem.direction == "backward"
        saved = int(problem.option("saved"))
        states = Operand("states", real, state_slots(problem, saved), output=not backward) if saved else None
        if backward:
            inputs.append(sequence("dout", problem))
            if problem.option("last_state"):
                inputs.append(Operand("dlast_state", kind, state))
            given = [x for x in inputs if x.name not in ("dout", "dlast_state")]
            return (*inputs, *([states] if states else ()), *gradients_of(given))
        outputs = [sequence("out", problem, output=True)]
        if problem.option("last_state"):
            outputs.append(Operand("last_state", kind, state, output=True))
        return (*inputs, *outputs, *([states] if states else ()))


STATE_BLOCK = 16


def row_groups(problem: Problem) -> int:
    """Groups of channels that share rows of B or C; one where there are no rows to share."""
    return problem["groups"] if "variable" in (problem.option("B"), problem.option("C")) else 1


def state_slots(problem: Problem, interval: int) -> tuple[int, int, int, int]:
    """The shape (slots, blocks, planes, 16) of the states before every `interval`-th step of each sequence.

    Chunk c of sequence b is slot b ceil(seqlen / interval) + c; of packed sequences, slot start // interval + b + c,
    which leaves some unused but lets every sequence find its slots by itself. A complex state is two planes, real and
    imaginary. The channels of each group lie in blocks of 16, the last of them padded: what a CPU's vector of channels
    saves is then one run of memory, where planes as wide as dim cost a forward scan 70% more time.
    """
    batch, seqlen, groups = problem["batch"], problem["seqlen"], row_groups(problem)
    slots = seqlen // interval + batch if problem.option("varlen") else batch * -(-seqlen // interval)
    blocks = groups * -(-(problem["dim"] // groups) // STATE_BLOCK)
    return slots, blocks, problem["d_state"] * (2 if problem.option("complex") else 1), STATE_BLOCK


class LinearScan(Interface):
    """Operands of the linear scan: a, b, out (batch, dim, seqlen) in one layout, initial_state (batch, dim).

    Backward takes a, h (what forward wrote), initial_state and dout, and writes da, db and dinitial_state. All may be
    complex; a gradient is then that of the real and of the imaginary part.
    """

    op = "linear_scan"
    formula = ("h_t = a_t h_{t-1} + b_t",)
    dims = {"batch": 1, "dim": 1536, "seqlen": 2048}
    dtypes = (*_REAL, "c64", "c128")
    options = {"initial_state": (False, True), "layout": ("time", "channel"), "reverse": (False, True)}

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        state = Operand("initial_state", accumulate(problem.dtype), (problem["batch"], problem["dim"]))
        given = [state] if problem.option("initial_state") else []
        a, b = sequence("a", problem), sequence("b", problem)
        if problem.direction == "forward":
            return (a, b, *given, sequence("out", problem, output=True))
        h, dout = sequence("h", problem), sequence("dout", problem)
        return (a, h, *given, dout, *gradients_of([a, b, *given]))


def is_descending(problem: Problem) -> bool:
    """Whether a linear scan walks from the last step to the first: gradients walk against the scan."""
    return problem.option("reverse") is (problem.direction == "forward")


class SelectiveStateUpdate(Interface):
    """Operands of the step of a selective scan, which updates its state in place.

    state: (slots, heads, dim, d_state), of a dtype of its own, `state_dtype`. In the problem's dtype x, dt, z, out:
    (batch, tokens, heads, dim), and B, C: (batch, tokens, groups, d_state). In the accumulation dtype A: (heads, dim,
    d_state), and D, dt_bias: (heads, dim). `dim` counts the channels of a head; Mamba has one head. The last axis has
    unit stride; D may be one number for each head, repeated with stride 0.

    With `tied` the channels of a head share A, dt and dt_bias, which lack the axes of channels and states.

    Sequence b has the state in row b, or with `indices` in row `indices[b]`; one that does not exist marks padding,
    whose output is zero. Without `update` the state stays as it was. With `states` the state after each token is
    written to states (batch, tokens, heads, dim, d_state), contiguous; padding leaves its part alone.
    """

    op = "selective_state_update"
    formula = (
        "h = exp(dt A) h + dt B x,  y = C . h + D x,  out = y * silu(z), token by token",
        "dt = softplus(dt + dt_bias) when asked",
    )
    dims = {"batch": 1, "tokens": 1, "heads": 1, "dim": 1536, "d_state": 16, "groups": 1, "slots": 1}
    dtypes = _REAL
    options = {
        "D": (False, True),
        "z": (False, True),
        "dt_bias": (False, True),
        "softplus": (False, True),
        "tied": (False, True),
        "indices": (False, True),
        "update": (True, False),
        "states": (False, True),
        "state_dtype": _REAL,
    }
    along, across, outer = "batch", "dim", "batch"
    lengths = (1, 2, 5)  # sequences know nothing of one another
    has_gradients = False

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        name, real, kind = problem.dtype, accumulate(problem.dtype), str(problem.option("state_dtype"))
        batch, tokens, heads, dim, d_state, groups, slots = (size for _, size in problem.dims)
        channels = () if problem.option("tied") else (dim,)
        states = () if problem.option("tied") else (dim, d_state)
        token = ("batch", "token", "head")
        state = (slots if problem.option("indices") else batch, heads, dim, d_state)
        inputs = [
            replace(strided("state", kind, state, "slot", "head", "dim"), updated=problem.has("update")),
            strided("x", name, (batch, tokens, heads, dim), *token),
            strided("dt", name, (batch, tokens, heads, *channels), *token),
            strided("A", real, (heads, *states), "head", *("dim" for _ in channels)),
            strided("B", name, (batch, tokens, groups, d_state), "batch", "token", "group"),
            strided("C", name, (batch, tokens, groups, d_state), "batch", "token", "group"),
        ]
        if problem.option("D"):
            inputs.append(strided("D", real, (heads, dim), "head", "dim"))
        if problem.option("z"):
            inputs.append(strided("z", name, (batch, tokens, heads, dim), *token))
        if problem.option("dt_bias"):
            inputs.append(strided("dt_bias", real, (heads, *channels), "head"))
        if problem.option("indices"):
            inputs.append(Operand("indices", "i32", (batch,)))
        outputs = [replace(strided("out", name, (batch, tokens, heads, dim), *token), output=True)]
        if problem.option("states"):
            outputs.append(Operand("states", kind, (batch, tokens, *state[1:]), output=True))
        return (*inputs, *outputs)


INTERFACES: dict[str, Interface] = {
    item.op: item
    for item in (
        SelectiveScan(),
        SelectiveStateUpdate(),
        LinearScan(),
        CauchyMult(),
        LogVandermonde(),
        LogVandermondeTranspose(),
        DplrKernel(),
        Ssd(),
        CausalConv1d(),
        CausalConv1dUpdate(),
    )
}


def interface(op: str) -> Interface:
    """The interface of an op."""
    if op not in INTERFACES:
        raise unknown("op", op, INTERFACES)
    return INTERFACES[op]
