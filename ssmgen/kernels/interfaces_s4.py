"""The interfaces of S4's ops: Cauchy and Vandermonde products, and the fused DPLR kernel."""

from __future__ import annotations

from ssmgen.dtypes import with_real
from ssmgen.kernels.interface import Interface, Operand, gradients_of
from ssmgen.problem import Problem

__all__ = [
    "CauchyMult",
    "DplrKernel",
    "LogVandermonde",
    "LogVandermondeTranspose",
    "node_count",
    "product_count",
]


class CauchyMult(Interface):
    """Operands of the Cauchy product: v, w (rows, poles), z (rows, nodes), out (rows, nodes), complex.

    With `imaginary` z is real and holds y, for nodes i y. The strides over rows may be 0, for an operand that
    all rows share; the last dim has unit stride.

    Backward takes what forward takes and dout, and writes dv, dw and, where it is asked for, dz.
    """

    op = "cauchy_mult"
    formula = ("out_l = sum_n v_n / (z_l - w_n)", "symmetric: + conj(v_n) / (z_l - conj(w_n)) for each pole")
    dims = {"rows": 512, "poles": 32, "nodes": 4097}
    dtypes = ("c64", "c128")
    options = {"symmetric": (True, False), "imaginary": (False, True), "dz": (False, True)}
    along, across, outer = "nodes", "rows", "rows"
    optional_gradients = ("z",)

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        rows, poles, nodes = problem["rows"], problem["poles"], problem["nodes"]
        kind = with_real(problem.dtype) if problem.option("imaginary") else problem.dtype
        inputs = (
            _rows("v", problem.dtype, rows, poles),
            _rows("z", kind, rows, nodes),
            _rows("w", problem.dtype, rows, poles),
        )
        if problem.direction == "forward":
            return (*inputs, _rows("out", problem.dtype, rows, nodes, output=True))
        wanted = [x for x in inputs if x.name != "z" or problem.option("dz")]
        return (*inputs, _rows("dout", problem.dtype, rows, nodes), *gradients_of(wanted))


class LogVandermonde(Interface):
    """Operands of the Vandermonde product of S4D: v, x (rows, poles), complex, and out (rows, seqlen), real.

    The strides over rows may be 0; the last dim has unit stride. Backward takes v, x and dout and writes dv and dx.
    """

    op = "log_vandermonde"
    formula = ("out_l = 2 Re sum_n v_n exp(x_n l)",)
    dims = {"rows": 512, "poles": 32, "seqlen": 2048}
    dtypes = ("c64", "c128")
    options = {}
    along, across, outer = "seqlen", "rows", "rows"

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        rows, poles, seqlen = problem["rows"], problem["poles"], problem["seqlen"]
        real = with_real(problem.dtype)
        inputs = (_rows("v", problem.dtype, rows, poles), _rows("x", problem.dtype, rows, poles))
        if problem.direction == "forward":
            return (*inputs, _rows("out", real, rows, seqlen, output=True))
        return (*inputs, _rows("dout", real, rows, seqlen), *gradients_of(inputs))


class LogVandermondeTranspose(Interface):
    """Operands of the transposed product: u (rows, seqlen), real, and v, x, out (rows, poles), complex.

    The strides over rows may be 0; the last dim has unit stride. Backward takes u, v, x and dout and writes du, dv and
    dx.
    """

    op = "log_vandermonde_transpose"
    formula = ("out_n = v_n sum_l u_l exp(x_n l)",)
    dims = {"rows": 512, "poles": 32, "seqlen": 2048}
    dtypes = ("c64", "c128")
    options = {}
    along, across, outer = "seqlen", "rows", "rows"

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        rows, poles, seqlen = problem["rows"], problem["poles"], problem["seqlen"]
        inputs = (
            _rows("u", with_real(problem.dtype), rows, seqlen),
            _rows("v", problem.dtype, rows, poles),
            _rows("x", problem.dtype, rows, poles),
        )
        if problem.direction == "forward":
            return (*inputs, _rows("out", problem.dtype, rows, poles, output=True))
        return (*inputs, _rows("dout", problem.dtype, rows, poles), *gradients_of(inputs))


class DplrKernel(Interface):
    """Operands of the spectrum of a convolution kernel of A = diag(Lambda) - P Q*, bilinear.

    Lambda, B: (dim, poles), P, Q: (dim, rank, poles), C: (channels, dim, poles), complex; step: (dim,), real; out:
    (channels, dim, nodes), complex, the spectrum at the nodes exp(-2 pi i k / seqlen), k = 0 ... seqlen // 2. All are
    contiguous. With `pairs` there is one of each conjugate pair of eigenvalues.

    Backward takes what forward takes and dout, and writes the gradient of every input.
    """

    op = "dplr_kernel"
    formula = (
        "out = (1 + i tan(phi)) (R_CB - R_CP (1 + R_QP)^-1 R_QB),  phi = pi k / seqlen,  z = 2 i tan(phi) / step",
        "R_XY = sum_n conj(X_n) Y_n / (z - Lambda_n), pairs: + X_n conj(Y_n) / (z - conj(Lambda_n))",
    )
    dims = {"channels": 1, "dim": 512, "rank": 1, "poles": 32, "seqlen": 4096}
    dtypes = ("c64", "c128")
    options = {"pairs": (True, False)}
    along, across, outer = "seqlen", "dim", "dim"

    def elements(self, problem: Problem) -> int:
        """(row, pole, node); the nodes are the frequencies of a real transform."""
        return problem["dim"] * problem["poles"] * node_count(problem)

    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """See the class."""
        kind, dim, poles = problem.dtype, problem["dim"], problem["poles"]
        low_rank = (dim, problem["rank"], poles)
        spectrum = (problem["channels"], dim, node_count(problem))
        inputs = (
            Operand("Lambda", kind, (dim, poles)),
            Operand("P", kind, low_rank),
            Operand("Q", kind, low_rank),
            Operand("B", kind, (dim, poles)),
            Operand("C", kind, (problem["channels"], dim, poles)),
            Operand("step", with_real(kind), (dim,)),
        )
        if problem.direction == "forward":
            return (*inputs, Operand("out", kind, spectrum, output=True))
        return (*inputs, Operand("dout", kind, spectrum), *gradients_of(inputs))


def node_count(problem: Problem) -> int:
    """The frequencies of a real transform of that length."""
    return problem["seqlen"] // 2 + 1


def product_count(problem: Problem) -> int:
    """Cauchy products of a row of the DPLR kernel: of each of C and Q with each of B and P."""
    return (problem["channels"] + problem["rank"]) * (1 + problem["rank"])


def _rows(name: str, kind: str, rows: int, size: int, output: bool = False) -> Operand:
    return Operand(name, kind, (rows, size), ((f"{name}_stride_row", 0),), output)
