"""The DPLR kernel of S4 in Triton: nodes across lanes, the poles of one row in a loop, all products at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.interfaces_s4 import node_count, product_count
from ssmgen.kernels.polynomials import SIN_DOUBLE
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    MOST_BLOCKS,
    RECIPROCAL_RULE,
    UNROLL_RULE,
    TritonVariant,
    exp_choices,
    grid_rule,
    parameters,
    per_lane,
    width_rule,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = [
    "KERNELS",
    "PRODUCT_RULES",
    "factor_count",
    "node_blocks",
    "products_context",
    "set_up",
    "set_up_workspaces",
    "sums_fit",
]

_BLOCK = 256  # nodes, or poles of any rows, that one program of the set-up takes
# A lane holds two sums for each product of a node, or for gradients of a pole, and as many numbers that go into them.
_MOST_PRODUCTS = 36


class _Factor(NamedTuple):
    """A factor of products: its name, the operand it lies in, and where, from the pole's number over all rows."""

    name: str
    operand: str
    offset: str


def _lefts(problem: Problem) -> list[_Factor]:
    size = f"dim.to(tl.int64) * {problem['poles']}"
    outer = [
        _Factor(
            name,
            "C",
            "cell" if index == 0 else f"cell + {size}" if index == 1 else f"cell + {size} * {index}",
        )
        for index, name in enumerate(_numbered("C", problem["channels"]))
    ]
    return outer + _low_rank(problem, "Q")


def _rights(problem: Problem) -> list[_Factor]:
    return [_Factor("B", "B", "cell"), *_low_rank(problem, "P")]


def _low_rank(problem: Problem, operand: str) -> list[_Factor]:
    if problem["rank"] == 1:
        return [_Factor(operand, operand, "cell")]
    return [
        _Factor(name, operand, f"low_rank + {index * problem['poles']}" if index else "low_rank")
        for index, name in enumerate(_numbered(operand, problem["rank"]))
    ]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}{index}" for index in range(count)]


def factor_count(problem: Problem) -> int:
    """Left and right factors of a pole's products: C, Q, B and P."""
    return problem["channels"] + 1 + 2 * problem["rank"]


def node_blocks(problem: Problem, config: Config) -> int:
    """Blocks of nodes of a row."""
    return -(-node_count(problem) // config.integer("block"))


def sums_fit(problem: Problem) -> bool:
    """Whether a lane can hold the sums of all products at a node."""
    return product_count(problem) <= _MOST_PRODUCTS


def _registers(problem: Problem, config: Config, facts: DeviceFacts) -> int:
    """Estimated registers of a lane: the sums, the nearest pole's factors, the place of each node; and constants."""
    nodes = max(1, per_lane(config.integer("block"), config, facts))
    return nodes * (2 * product_count(problem) + 2 * factor_count(problem) + 4) + 40


PRODUCT_RULES = (
    RECIPROCAL_RULE,
    Rule(
        "registers",
        "the sums of a lane's nodes do not fit its registers",
        lambda problem, config, facts: (
            _registers(problem, config, facts) <= facts.max_registers
            or config.integer("block") == facts.lanes * config.integer("num_warps")
        ),
    ),
    Rule(
        "lanes",
        "a block with fewer nodes than lanes leaves some idle",
        lambda problem, config, facts: per_lane(config.integer("block"), config, facts) >= 1,
    ),
    width_rule(node_count),
    UNROLL_RULE,
    grid_rule(node_blocks),
)


def products_context(problem: Problem) -> dict[str, object]:
    """What the templates see of the products: their names, in rows of one left factor, and their factors."""
    left, right = _lefts(problem), _rights(problem)
    channels = problem["channels"]
    table = [[x.name + y.name for y in right] for x in left]
    products = [name for row in table for name in row]
    spared = () if problem.direction == "forward" else [row[0] for row in table[:channels]]
    return {
        "channels": channels,
        "halvings": (problem["poles"] - 1).bit_length(),
        "inner": [row[1:] for row in table[channels:]],
        "left": left,
        # The products that the loop over poles computes, and where their constants lie; gradients do without CB.
        "needed": [(name, 4 * index) for index, name in enumerate(products, 1) if name not in spared],
        "numbered": problem.direction == "backward",
        "outers": table[:channels],
        "pairings": [(x.name, y.name) for x in left for y in right],
        "pairs": problem.has("pairs"),
        "poles": problem["poles"],
        "products": products,
        "rank": problem["rank"],
        "right": right,
        "sin": [repr(float.fromhex(term)) for term in SIN_DOUBLE],
        "solved": [row[0] for row in table[channels:]],
        "zip": zip,
    }


def set_up(problem: Problem) -> tuple[Launch, ...]:
    """The launches that place nodes and compute what the loop over nodes needs of each pole."""
    size = (("BLOCK", _BLOCK),)
    poles = problem["dim"] * problem["poles"]
    inputs = ("Lambda", "P", "Q", "B", "C", "step")
    return (
        Launch("place_nodes", ("tangents", "seqlen"), (-(-node_count(problem) // _BLOCK), 1, 1), size),
        Launch("prepare_poles", (*inputs, "terms", "factors", "dim"), (-(-poles // _BLOCK), 1, 1), size),
    )


def set_up_workspaces(problem: Problem) -> tuple[Workspace, ...]:
    """What the set-up writes."""
    poles = (problem["dim"], problem["poles"])
    extra = 3 if problem.direction == "forward" else 4
    return (
        Workspace("tangents", "fp64", (node_count(problem),)),
        Workspace("terms", "fp32", (*poles, product_count(problem) + 1, 4)),
        # Complex factors, the pole, how near a node may come; for gradients the pole's number.
        Workspace("factors", "fp32", (*poles, 2 * factor_count(problem) + extra)),
    )


class Fused(TritonVariant):
    """Every product of a pole, or of a pair of poles, and a node from one reciprocal; the spectrum is written once."""

    interface = INTERFACES["dplr_kernel"]
    name = "fused"
    template = "dplr_kernel_fused.py.j2"
    summary = (
        "nodes across lanes; one reciprocal serves all products of a pole and node, then Woodbury's identity"
    )
    rules = PRODUCT_RULES

    def supports(self, problem: Problem) -> bool:
        """Complex64, and no more products than registers hold the sums of."""
        few = node_count(problem) <= MOST_BLOCKS * 32
        return super().supports(problem) and problem.dtype == "c64" and sums_fit(problem) and few

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block": (32, 64, 128, 256, 512),
            "num_warps": (1, 2, 4),
            "reciprocal": exp_choices(facts),
            "unroll": (1, 2, 4),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """As many nodes for each lane of a warp as leave registers for others: a pole's loads serve them all."""
        products = product_count(problem)
        nodes = 4 if products <= 6 else 2 if products <= 12 else 1
        wanted = [facts.lanes * count for count in (4, 2, 1) if count <= nodes]
        return {"block": wanted, "unroll": (4, 2, 1) if products <= 6 else (2, 1, 4)}

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(config.params),
            **products_context(problem),
            "parameters": parameters(self._launches(problem, config)),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config), set_up_workspaces(problem))

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        return (
            *set_up(problem),
            Launch(
                "dplr_kernel",
                (
                    "step",
                    "tangents",
                    "terms",
                    "factors",
                    "out",
                    *(("dim",) if problem["channels"] > 1 else ()),
                    "seqlen",
                ),
                (problem["dim"], node_blocks(problem, config), 1),
                (("BLOCK", config.integer("block")),),
                (("num_warps", config.integer("num_warps")),),
            ),
        )


KERNELS = (Fused(),)
