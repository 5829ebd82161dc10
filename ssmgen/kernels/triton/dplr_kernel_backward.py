"""The gradients of the DPLR kernel in Triton: nodes across lanes for Woodbury's identity, then poles across lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.interfaces_s4 import node_count, product_count
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import MOST_BLOCKS, TritonVariant, parameters
from ssmgen.kernels.triton.dplr_kernel import (
    factor_count,
    products_context,
    set_up,
    set_up_workspaces,
    sums_fit,
)
from ssmgen.kernels.triton.pole_sums import (
    chunk_blocks,
    chunks,
    is_uniform,
    pole_blocks,
    sizes,
    sum_choices,
    sum_rules,
)
from ssmgen.problem import Problem

__all__ = ["GRADIENTS"]

_LANES = 32  # nodes of their nearest pole, then poles of a row, that the last passes take at a time


def _nodes_per_program(problem: Problem) -> int:
    """Nodes of a program that differentiates Woodbury's identity: a lane holds products and their gradients."""
    return 128 if product_count(problem) <= 4 else 64 if product_count(problem) <= 12 else 32


def _record(problem: Problem) -> int:
    """Reals that each node leaves for the sums over nodes, in fours: y, each product's gradient, the nearest pole."""
    return -(-(3 + 2 * product_count(problem)) // 4) * 4


def _shares(problem: Problem) -> int:
    """Reals that each node gives its nearest pole: gradients of its factors and of its distance, and y dy."""
    return 2 * factor_count(problem) + 3


class Chunked(TritonVariant):
    """The gradient of each product at each node; then chunks of nodes, and a pass that adds them in order."""

    interface = INTERFACES["dplr_kernel"]
    alone = False
    direction = "backward"
    name = "chunked"
    template = "dplr_kernel_backward.py.j2"
    summary = "products' gradients, nodes across lanes; sums over chunks of nodes, poles across lanes; sums of chunks"
    rules = sum_rules(node_count, lambda problem, config: 4 * product_count(problem) + 24)

    def supports(self, problem: Problem) -> bool:
        """Complex64, and no more products than registers hold the sums of."""
        few = node_count(problem) <= MOST_BLOCKS * 32
        return super().supports(problem) and problem.dtype == "c64" and sums_fit(problem) and few

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return sum_choices(facts)

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One warp, and chunks long enough that to add them up is little work."""
        return {"block": (32, 64), "chunk": (128, 64, 32, 256)}

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(config.params),
            **products_context(problem),
            "parameters": parameters(self._launches(problem, config)),
            "uniform": is_uniform(problem, config),
            "unroll": min(2, problem["poles"]),
            "width": _record(problem),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        sums = 2 * product_count(problem) + 3
        parts = (problem["dim"], chunks(problem, config, node_count), sums, problem["poles"])
        records = (problem["dim"], node_count(problem), _record(problem))
        shares = _shares(problem)
        workspaces = (
            *set_up_workspaces(problem),
            Workspace("records", "fp32", records),
            Workspace("places", "i32", (problem["dim"], node_count(problem))),
            Workspace("shares", "fp32", (problem["dim"], shares, node_count(problem))),
            Workspace("nearest", "fp32", (problem["dim"], problem["poles"], shares)),
            Workspace("parts", "fp32", parts),
        )
        return Program(self._launches(problem, config), workspaces)

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        dim, nodes = problem["dim"], _nodes_per_program(problem)
        one_warp = (("num_warps", 1),)
        outer = ("dim",) if problem["channels"] > 1 else ()
        factors = ("Lambda", "P", "Q", "B", "C")
        gradients = [f"d{name}" for name in (*factors, "step")]
        return (
            *set_up(problem),
            Launch(
                "differentiate_nodes",
                (
                    "step",
                    "tangents",
                    "terms",
                    "factors",
                    "dout",
                    "records",
                    "places",
                    "shares",
                    *outer,
                    "seqlen",
                ),
                (dim, -(-node_count(problem) // nodes), 1),
                (("BLOCK", nodes),),
                one_warp,
            ),
            Launch(
                problem.function,
                (*factors, "records", "parts", *outer, "seqlen"),
                (dim, pole_blocks(problem, config), chunk_blocks(problem, config, node_count)),
                sizes(problem, config),
                one_warp,
            ),
            Launch(
                "add_nearest",
                (
                    *(("Lambda",) if problem.has("pairs") else ()),
                    "factors",
                    "places",
                    "shares",
                    "nearest",
                    "seqlen",
                ),
                (dim * problem["poles"], 1, 1),
                (("BLOCK", _LANES),),
                one_warp,
            ),
            Launch(
                "finish_rows",
                (*factors[1:], "step", "parts", "nearest", *gradients, *outer, "seqlen"),
                (dim, 1, 1),
                (("BLOCK", _LANES), ("CHUNK", config.integer("chunk"))),
                one_warp,
            ),
        )


GRADIENTS = (Chunked(),)
