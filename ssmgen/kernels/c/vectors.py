"""What every C template is told: types, lanes, constants of the vector functions, and the struct of arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.interface import Interface
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.problem import Problem

__all__ = ["arguments", "lane_choices", "program", "vector_context"]

_STORED = {
    "fp32": "float",
    "fp64": "double",
    "bf16": "uint16_t",
    "fp16": "uint16_t",
    "c64": "float",
    "c128": "double",
    "i32": "int32_t",
}

# Coefficients of 2^f, highest power first, by Remez's algorithm on (2^f - 1) / f, so that the constant term is exactly
# 1; the float ones under the weight |f| / (|f| + 0.4), the double ones under |f|.
_EXP2_FLOAT = (
    "0x1.5bcef4p-10f",
    "0x1.3cd19cp-7f",
    "0x1.c6b660p-5f",
    "0x1.ebfa10p-3f",
    "0x1.62e42cp-1f",
    "1.0f",
)
_EXP2_DOUBLE = (
    "0x1.e79207922b469p-32",
    "0x1.e604b02a021c9p-28",
    "0x1.b526636f187a6p-24",
    "0x1.62bfd557d0c24p-20",
    "0x1.ffcbfbc9b5748p-17",
    "0x1.430913091bd46p-13",
    "0x1.5d87fe78c128ap-10",
    "0x1.3b2ab6fba1f4fp-7",
    "0x1.c6b08d704a052p-5",
    "0x1.ebfbdff82c598p-3",
    "0x1.62e42fefa39efp-1",
    "1.0",
)

# Coefficients in f^2, highest power first, of (cos(pi f) - 1) / f^2 and of sin(pi f) / f - pi for f in [-1/2, 1/2], by
# least squares, each power refitted after those below it were rounded: errors of 1.2e-9 and 3.5e-9, or of 5.5e-18 and
# 2e-19.
_COS_FLOAT = (
    "-0x1.8c0b50p-6f",
    "0x1.e0dbdep-3f",
    "-0x1.55ce5cp+0f",
    "0x1.03c1d8p+2f",
    "-0x1.3bd3ccp+2f",
)
_SIN_FLOAT = (
    "0x1.3c5f26p-4f",
    "-0x1.323450p-1f",
    "0x1.46677cp+1f",
    "-0x1.4abbb6p+2f",
    "-0x1.5a307cp-23f",
)
_COS_DOUBLE = (
    "0x1.167c22aeef940p-18",
    "-0x1.b695b5d772851p-14",
    "0x1.f9d2561c35bd5p-10",
    "-0x1.a6d1efd023277p-6",
    "0x1.e1f506815e272p-3",
    "-0x1.55d3c7e3c0266p+0",
    "0x1.03c1f081b59a7p+2",
    "-0x1.3bd3cc9be45dcp+2",
)
_SIN_DOUBLE = (
    "0x1.9c7633eef7739p-21",
    "-0x1.6f73e49b09827p-16",
    "0x1.e8f336f324bd0p-12",
    "-0x1.e3074d46fb7b9p-8",
    "0x1.50783483d4aebp-4",
    "-0x1.32d2cce624376p-1",
    "0x1.466bc6775a9ecp+1",
    "-0x1.4abbce625be51p+2",
    "0x1.0c2ceb68cf55cp-53",
)
# 1 / pi as a sum of two parts.
_INVERSE_PI_FLOAT = ("0x1.45f306p-2f", "0x1.b93910p-27f")
_INVERSE_PI_DOUBLE = ("0x1.45f306dc9c883p-2", "-0x1.6b01ec5417056p-56")


def vector_context(storage: str, lanes: int) -> dict[str, object]:
    """Types and constants for vectors of `lanes` accumulators.

    Args:
        storage: Short name of the dtype that memory holds.
        lanes: Reals per vector.
    """
    is_float = dtype(accumulate(storage)).c == "float"
    itemsize = 4 if is_float else 8
    suffix = "f" if is_float else ""
    terms = 9 if is_float else 17  # of artanh's series: (1/9)^terms is below the rounding
    return {
        "dtype": storage,
        "stored": _STORED[storage],
        "real": "float" if is_float else "double",
        "vec": "floats" if is_float else "doubles",
        "integer": "int32_t" if is_float else "int64_t",
        "ivec": "ints" if is_float else "longs",
        "lanes": lanes,
        "bytes": itemsize,
        "log2e": repr(math.log2(math.e)) + suffix,
        "ln2": repr(math.log(2)) + suffix,
        "exp2_coefficients": _EXP2_FLOAT if is_float else _EXP2_DOUBLE,
        "exp2_error": "1.9e-7" if is_float else "3e-16",
        "exp2_low": "-127.0f" if is_float else "-1023.0",
        "exp2_high": "128.0f" if is_float else "1024.0",
        "exp2_magic": "0x1.8p23f" if is_float else "0x1.8p52",
        "artanh": [f"{2 / (2 * k + 1)!r}{suffix}" for k in reversed(range(terms))],
        "cos_coefficients": _COS_FLOAT if is_float else _COS_DOUBLE,
        "sin_coefficients": _SIN_FLOAT if is_float else _SIN_DOUBLE,
        "pi": "0x1.921fb6p+1f" if is_float else "0x1.921fb54442d18p+1",
        "inverse_pi": _INVERSE_PI_FLOAT if is_float else _INVERSE_PI_DOUBLE,
        "avx512": _avx512(lanes * itemsize, "ps" if is_float else "pd"),
    }


def _avx512(width: int, suffix: str) -> Mapping[str, str] | None:
    """How AVX-512 names its rounding and scaling for vectors of that many bytes, where it has them."""
    if width == 64:
        return {"guard": "defined(__AVX512DQ__)", "prefix": "_mm512", "suffix": suffix}
    if width == 32:
        return {
            "guard": "defined(__AVX512DQ__) && defined(__AVX512VL__)",
            "prefix": "_mm256",
            "suffix": suffix,
        }
    return None


def lane_choices(problem: Problem, facts: DeviceFacts) -> tuple[int, ...]:
    """The widest vector of the CPU and half of it, in reals of the accumulation dtype."""
    widest = facts.lanes if dtype(accumulate(problem.dtype)).c == "float" else facts.lanes // 2
    return tuple(lanes for lanes in (widest, widest // 2) if lanes >= 2)


def arguments(
    interface: Interface, problem: Problem, sizes: Sequence[str], workspaces: Sequence[Workspace] = ()
) -> dict[str, object]:
    """The members of the struct of arguments: a declaration for each pointer, the sizes, and the strides by operand.

    Args:
        interface: The op's interface.
        problem: The problem.
        sizes: The dims that the kernel takes at run time; the strides follow.
        workspaces: Scratch memory; its pointers follow those of the operands.
    """
    operands = interface.operands(problem)
    return {
        "pointers": [
            *(f"{'' if x.output else 'const '}{_STORED[x.dtype]} *{x.name}" for x in operands),
            *(f"{_STORED[x.dtype]} *{x.name}" for x in workspaces),
        ],
        "sizes": list(sizes),
        "strides": [[scalar for scalar, _ in x.strides] for x in operands if x.strides],
    }


def program(
    interface: Interface, problem: Problem, sizes: Sequence[str], workspaces: tuple[Workspace, ...] = ()
) -> Program:
    """One call of the function named like the op and its direction, with what `arguments` lists, in its order."""
    operands = interface.operands(problem)
    pointers = [*(operand.name for operand in operands), *(workspace.name for workspace in workspaces)]
    strides = [scalar for operand in operands for scalar, _ in operand.strides]
    return Program((Launch(problem.function, (*pointers, *sizes, *strides)),), workspaces)
