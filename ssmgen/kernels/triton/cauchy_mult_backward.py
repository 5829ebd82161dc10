"""The gradients of the Cauchy product in Triton: poles across lanes for v and w, nodes across lanes for z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import MOST_BLOCKS, TritonVariant, parameters
from ssmgen.kernels.triton.pole_sums import (
    chunk_blocks,
    chunks,
    is_uniform,
    pole_blocks,
    sizes,
    sum_choices,
    sum_rules,
    width,
)
from ssmgen.problem import Problem

__all__ = ["GRADIENTS"]

_NODES = 256  # that one program of dz takes: eight for each lane
_SUMS = 4  # reals of dv and dw


def _nodes(problem: Problem) -> int:
    return problem["nodes"]


class Chunked(TritonVariant):
    """Chunks of nodes, walked by lanes that hold a pole each, and a pass that adds them in order."""

    interface = INTERFACES["cauchy_mult"]
    direction = "backward"
    name = "chunked"
    template = "cauchy_mult_backward.py.j2"
    summary = "poles across lanes; nodes in chunks, whose sums a last pass adds in order"
    rules = sum_rules(_nodes, lambda problem, config: 30)

    def supports(self, problem: Problem) -> bool:
        """Complex64, with nodes that a launch grid can cover."""
        few = problem["nodes"] <= MOST_BLOCKS * _NODES
        return super().supports(problem) and problem.dtype == "c64" and few

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return sum_choices(facts)

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One warp, and chunks long enough that to add them up is little work."""
        return {"block": (32, 64), "chunk": (256, 128, 64, 32, 512)}

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(problem.options),
            **dict(config.params),
            "parameters": parameters(self._launches(problem, config)),
            "poles": problem["poles"],
            "uniform": is_uniform(problem, config),
            "unroll": min(4, problem["poles"]),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        parts = (problem["rows"], chunks(problem, config, _nodes), _SUMS, problem["poles"])
        return Program(self._launches(problem, config), (Workspace("parts", "fp32", parts),))

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        rows, blocks = problem["rows"], pole_blocks(problem, config)
        one_warp = (("num_warps", 1),)
        nodes = _strided("z", "w", "dout")
        launches = [
            Launch(
                problem.function,
                ("z", "w", "dout", "parts", *nodes, "nodes"),
                (rows, blocks, chunk_blocks(problem, config, _nodes)),
                sizes(problem, config),
                one_warp,
            ),
            Launch(
                "add_chunks",
                ("v", "parts", "dv", "dw", *_strided("v", "dv", "dw"), "nodes"),
                (rows, blocks, 1),
                (("BLOCK", width(problem, config)), ("CHUNK", config.integer("chunk"))),
                one_warp,
            ),
        ]
        if problem.has("dz"):
            names = ("v", "z", "w", "dout", "dz")
            launches.append(
                Launch(
                    "multiply_nodes",
                    (*names, *_strided(*names), "nodes"),
                    (rows, -(-problem["nodes"] // _NODES), 1),
                    (("BLOCK", _NODES),),
                    one_warp,
                )
            )
        return tuple(launches)


def _strided(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_stride_row" for name in names)


GRADIENTS = (Chunked(),)
