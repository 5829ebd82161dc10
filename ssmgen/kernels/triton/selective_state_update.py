"""The step of a selective scan in Triton: a tile of channels and states for each program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Launch, Program
from ssmgen.kernels.triton.common import (
    EXP_RULE,
    FLOATS,
    MOST_BLOCKS,
    TritonVariant,
    exp_choices,
    masks,
    parameters,
    per_lane,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["UPDATES"]

# Registers that the state may take: A takes as many, and B and C a row each.
_MOST_PER_LANE = 32


class Tile(TritonVariant):
    """Channels down and states along a tile, as they lie in memory: a program updates its part of the state."""

    interface = INTERFACES["selective_state_update"]
    name = "tile"
    template = "selective_state_update_tile.py.j2"
    summary = "a tile of channels and states for each program; sums over states across lanes"
    rules = (
        EXP_RULE,
        Rule(
            "registers",
            f"a lane must hold between one and {_MOST_PER_LANE} states, or idles or spills",
            lambda problem, config, facts: (
                1 <= per_lane(config.integer("block_d") * _block_n(problem), config, facts) <= _MOST_PER_LANE
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels in a head only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_d")
                <= max(facts.lanes // _block_n(problem), next_power_of_two(problem["dim"]))
            ),
        ),
        Rule(
            "grid",
            f"a launch grid has no more than {MOST_BLOCKS} heads, nor blocks of channels of one",
            lambda problem, config, facts: max(problem["heads"], _blocks(problem, config)) <= MOST_BLOCKS,
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Sums in fp32 and a state no wider, up to 256 states."""
        narrow = problem.dtype in FLOATS and problem.option("state_dtype") in FLOATS
        fits = problem["d_state"] <= 256 and max(problem["heads"], problem["dim"] // 128) <= MOST_BLOCKS
        return super().supports(problem) and narrow and fits

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (1, 2, 4, 8, 16, 32, 64, 128, 256),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Small tiles: memory is waited for in many programs at once."""
        return {"block_d": (32, 16, 8, 64, 4, 128, 2, 256, 1), "num_warps": (2, 1, 4, 8)}

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        masked = _is_masked(problem, config)
        padded = problem["d_state"] != _block_n(problem)
        checks = (*(("inside[:, None]",) if masked else ()), *(("held[None, :]",) if padded else ()))
        return {
            **dict(problem.options),
            **dict(config.params),
            **masks(problem, masked),
            "n_mask": ", mask=held, other=0.0" if padded else "",
            "cells": " & ".join(checks),
            "padded": padded,
            "d_state": problem["d_state"],
            "grouped": problem["groups"] > 1,
            "several": problem["tokens"] > 1,
            "widen_state": "" if problem.option("state_dtype") == "fp32" else ".to(tl.float32)",
            "parameters": parameters(self._launches(problem, config)),
        }

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        strides = [scalar for operand in operands for scalar, _ in operand.strides]
        # Nothing is multiplied by a place that is always 0.
        if problem["tokens"] == 1:
            strides = [name for name in strides if not name.endswith("_token")]
        if problem["groups"] == 1:
            strides = [name for name in strides if not name.endswith("_group")]
        sizes = ["tokens"] if problem["tokens"] > 1 else []
        sizes += ["slots"] if problem.option("indices") else []
        constants = [("BLOCK_D", config.integer("block_d")), ("BLOCK_N", _block_n(problem))]
        if _is_masked(problem, config) or problem.option("states"):
            constants.insert(0, ("DIM", problem["dim"]))
        if problem["groups"] > 1:
            constants.insert(0, ("GROUPS", problem["groups"]))
        if problem["groups"] > 1 or problem.option("states"):
            constants.insert(0, ("HEADS", problem["heads"]))
        return (
            Launch(
                problem.function,
                (*(operand.name for operand in operands), *strides, *sizes),
                (problem["batch"], problem["heads"], _blocks(problem, config)),
                tuple(constants),
                (("num_warps", config.integer("num_warps")),),
            ),
        )


def _block_n(problem: Problem) -> int:
    return next_power_of_two(problem["d_state"])


def _is_masked(problem: Problem, config: Config) -> bool:
    return problem["dim"] % config.integer("block_d") != 0


def _blocks(problem: Problem, config: Config) -> int:
    return -(-problem["dim"] // config.integer("block_d"))


UPDATES = (Tile(),)
