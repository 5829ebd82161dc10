"""The interfaces of the ops: which operands, in which layout, reach the kernels."""

from __future__ import annotations

from ssmgen.dtypes import accumulate
from ssmgen.errors import unknown
from ssmgen.kernels.interface import Interface, Operand
from ssmgen.problem import Problem

__all__ = ["INTERFACES", "CauchyMult", "LinearScan", "SelectiveScan", "interface"]

_REAL = ("fp32", "bf16", "fp16", "fp64")


def _sequence(name: str, problem: Problem, output: bool = False) -> Operand:
    """A (batch, dim, seqlen) operand whose unit stride is along time, or along the channels."""
    shape = (problem["batch"], problem["dim"], problem["seqlen"])
    free = (f"{name}_stride_dim", 1) if problem.option("layout") == "time" else (f"{name}_stride_seqlen", 2)
    return Operand(name, problem.dtype, shape, ((f"{name}_stride_batch", 0), free), output)


class SelectiveScan(Interface):
    """Operands of the selective scan.

    u, delta, z, out: (batch, dim, seqlen) in the problem's dtype, all in one layout: `layout="time"` has unit stride
    along seqlen, `layout="channel"` along dim. A: (dim, d_state). B, C: constant (dim, d_state), or variable as
    (batch, groups, seqlen, d_state), contiguous, so that the states of one step form a row. D, delta_bias: (dim,).
    last_state: (batch, dim, d_state). All but u, delta, z and out are in the accumulation dtype and contiguous.
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
        "last_state": (False, True),
        "layout": ("time", "channel"),
    }

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        real = accumulate(problem.dtype)
        batch, dim, seqlen = problem["batch"], problem["dim"], problem["seqlen"]
        states = (dim, problem["d_state"])
        rows = (batch, problem["groups"], seqlen, problem["d_state"])
        found = [
            _sequence("u", problem),
            _sequence("delta", problem),
            Operand("A", real, states),
            Operand("B", real, rows if problem.option("B") == "variable" else states),
            Operand("C", real, rows if problem.option("C") == "variable" else states),
        ]
        if problem.option("D"):
            found.append(Operand("D", real, (dim,)))
        if problem.option("z"):
            found.append(_sequence("z", problem))
        if problem.option("delta_bias"):
            found.append(Operand("delta_bias", real, (dim,)))
        found.append(_sequence("out", problem, output=True))
        if problem.option("last_state"):
            found.append(Operand("last_state", real, (batch, *states), output=True))
        return tuple(found)


class LinearScan(Interface):
    """Operands of the linear scan: a, b, out (batch, dim, seqlen) in one layout, initial_state (batch, dim)."""

    op = "linear_scan"
    formula = ("h_t = a_t h_{t-1} + b_t",)
    dims = {"batch": 1, "dim": 1536, "seqlen": 2048}
    dtypes = _REAL
    options = {"initial_state": (False, True), "layout": ("time", "channel"), "reverse": (False, True)}

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        found = [_sequence("a", problem), _sequence("b", problem)]
        if problem.option("initial_state"):
            found.append(
                Operand("initial_state", accumulate(problem.dtype), (problem["batch"], problem["dim"]))
            )
        return (*found, _sequence("out", problem, output=True))


class CauchyMult(Interface):
    """Operands of the Cauchy product: v, w (rows, poles), z (rows, nodes), out (rows, nodes), complex.

    The strides over rows may be 0, for an operand that all rows share; the last dim has unit stride.
    """

    op = "cauchy_mult"
    formula = ("out_l = sum_n v_n / (z_l - w_n)", "symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole")
    dims = {"rows": 512, "poles": 32, "nodes": 4097}
    dtypes = ("c64", "c128")
    options = {"symmetric": (True, False)}

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        rows, poles, nodes = problem["rows"], problem["poles"], problem["nodes"]
        return (
            Operand("v", problem.dtype, (rows, poles), (("v_stride_row", 0),)),
            Operand("z", problem.dtype, (rows, nodes), (("z_stride_row", 0),)),
            Operand("w", problem.dtype, (rows, poles), (("w_stride_row", 0),)),
            Operand("out", problem.dtype, (rows, nodes), (("out_stride_row", 0),), output=True),
        )


INTERFACES: dict[str, Interface] = {item.op: item for item in (SelectiveScan(), LinearScan(), CauchyMult())}


def interface(op: str) -> Interface:
    """The interface of an op."""
    if op not in INTERFACES:
        raise unknown("op", op, INTERFACES)
    return INTERFACES[op]
