"""What every C template is told: types, lanes, constants of the vector functions, and the struct of arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.interface import Interface
from ssmgen.kernels.polynomials import (
    COS_DOUBLE,
    COS_FLOAT,
    EXP2_DOUBLE,
    EXP2_FLOAT,
    EXP2_SIXTEENTH,
    SIN_DOUBLE,
    SIN_FLOAT,
)
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = [
    "STATES_RULE",
    "STORED",
    "arguments",
    "lane_choices",
    "lanes_for_states",
    "program",
    "vector_context",
]

STORED = {
    "fp32": "float",
    "fp64": "double",
    "bf16": "uint16_t",
    "fp16": "uint16_t",
    "c64": "float",
    "c128": "double",
    "i32": "int32_t",
}

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
        "stored": STORED[storage],
        "real": "float" if is_float else "double",
        "vec": "floats" if is_float else "doubles",
        "integer": "int32_t" if is_float else "int64_t",
        "ivec": "ints" if is_float else "longs",
        "lanes": lanes,
        "bytes": itemsize,
        "log2e": repr(math.log2(math.e)) + suffix,
        "ln2": repr(math.log(2)) + suffix,
        "exp2_coefficients": [c + suffix for c in (EXP2_FLOAT if is_float else EXP2_DOUBLE)],
        "exp2_sixteenth": [c + "f" for c in EXP2_SIXTEENTH],
        "exp2_error": "1.9e-7" if is_float else "3e-16",
        "exp2_low": "-127.0f" if is_float else "-1023.0",
        "exp2_high": "128.0f" if is_float else "1024.0",
        "exp2_bound": "125.0f" if is_float else "1021.0",
        "exp2_magnitude": "0x7fffffff" if is_float else "0x7fffffffffffffff",
        "exp2_magic": "0x1.8p23f" if is_float else "0x1.8p52",
        "artanh": [f"{2 / (2 * k + 1)!r}{suffix}" for k in reversed(range(terms))],
        "cos_coefficients": [c + suffix for c in (COS_FLOAT if is_float else COS_DOUBLE)],
        "sin_coefficients": [c + suffix for c in (SIN_FLOAT if is_float else SIN_DOUBLE)],
        "pi": "0x1.921fb6p+1f" if is_float else "0x1.921fb54442d18p+1",
        "pi_log2e": repr(math.pi * math.log2(math.e)) + suffix,
        "inverse_pi": _INVERSE_PI_FLOAT if is_float else _INVERSE_PI_DOUBLE,
        # Of float vectors of 512 bits one holds the sixteenths of an octave.
        "sixteenths": [f"{2 ** (i / 16)!r}f" for i in range(16)] if is_float and lanes == 16 else [],
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


def lanes_for_states(problem: Problem, facts: DeviceFacts) -> int:
    """The narrowest vectors that hold all states, else the widest."""
    choices = lane_choices(problem, facts)
    return min((lanes for lanes in choices if lanes >= problem["d_state"]), default=choices[0])


def _is_widest_or_enough(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    lanes = config.integer("lanes")
    return lanes == lane_choices(problem, facts)[0] or problem["d_state"] <= lanes


STATES_RULE = Rule(
    "lanes", "vectors narrower than the CPU's only pay where they hold all states", _is_widest_or_enough
)


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
            *(f"{'' if x.output or x.updated else 'const '}{STORED[x.dtype]} *{x.name}" for x in operands),
            *(f"{STORED[x.dtype]} *{x.name}" for x in workspaces),
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
