"""The selective scan in Triton with two-dimensional tiles: channels and time, or channels and states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
from ssmgen.kernels.program import Launch
from ssmgen.kernels.triton.common import EXP_RULE, exp_choices, per_lane
from ssmgen.kernels.triton.selective_scan import (
    GRID,
    SelectiveScan,
    channels_of_group,
    one_pass,
    planes,
    sequences,
    variable_rows,
)
from ssmgen.kernels.triton.stages import Loads, stage_choices, stage_rules
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["SCANS"]

_WIDTH = Rule(
    "width",
    "a block at least twice as wide as there are channels only adds idle work",
    lambda problem, config, facts: config.integer("block_d") < 2 * channels_of_group(problem),
)


class _Tiles(SelectiveScan):
    """One launch, with the second side of its tile as a constant."""

    @abstractmethod
    def tile(self, problem: Problem, config: Config) -> tuple[str, int]:
        """Name and size of the tile's second side."""

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """See `SelectiveScan.launches`."""
        return one_pass(problem, config, self.tile(problem, config))


class States(_Tiles):
    """States across lanes, one step after another."""

    name = "states"
    template = "selective_scan_states.py.j2"
    summary = "states across lanes, time in order: for many states and few channels"
    rules = (
        EXP_RULE,
        _WIDTH,
        GRID,
        Rule(
            "numel",
            "a tile needs an element for at least every second lane, and more than 16 for each spill",
            lambda problem, config, facts: _fits(problem, config, facts),
        ),
        *stage_rules(
            lambda problem, config, facts: _loads(problem, config, facts, 1),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Up to 256 states."""
        return super().supports(problem) and 1 <= problem["d_state"] <= 256

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (1, 2, 4, 8, 16),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4),
            "stages": stage_choices(facts),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Blocks of one warp, of several elements for each lane."""
        return {"block_d": (8, 4, 2, 1)}

    def tile(self, problem: Problem, config: Config) -> tuple[str, int]:
        """See `_Tiles.tile`."""
        return ("BLOCK_N", next_power_of_two(problem["d_state"]))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        found = dict(super().context(problem, config))
        padded = next_power_of_two(problem["d_state"]) != problem["d_state"]
        conditions = ["inside[:, None]"] if found["masked"] else []
        if padded:
            conditions.append(f"(n < {problem['d_state']})[None, :]")
        return {
            **found,
            "n_mask": f", mask=n < {problem['d_state']}, other=0.0" if padded else "",
            "cell_mask": ", mask=present, other=0.0" if conditions else "",
            "cells_inside": f"present = {' & '.join(conditions)}",
        }


def _fits(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    numel = config.integer("block_d") * next_power_of_two(problem["d_state"])
    smallest = config["block_d"] == 1 and config["num_warps"] == 1
    few_channels = channels_of_group(problem) <= config.integer("block_d") and config["num_warps"] == 1
    lanes = per_lane(2 * numel, config, facts)
    return (lanes >= 1 or smallest or few_channels) and per_lane(numel, config, facts) <= 16


def _loads(problem: Problem, config: Config, facts: DeviceFacts, steps: int) -> Loads:
    """What some steps load, a tile of each sequence and a row of each state."""
    block_d = config.integer("block_d")
    reads, rows = len(sequences(problem)) - 1, len(variable_rows(problem)) * planes(problem)
    elements = steps * (reads * block_d + rows)
    size = dtype(problem.dtype).itemsize
    # Neighbours in memory are steps or channels; of a row's, a lane loads one.
    side = steps if problem.option("layout") == "time" else block_d
    width = size * min(side, per_lane(steps * block_d, config, facts))
    return Loads(
        problem["seqlen"] // steps,
        reads + rows,
        steps * (reads * block_d * size + rows * 4),
        per_lane(elements, config, facts),
        max(width, 4 if rows else 0),
    )


class Associative(_Tiles):
    """Blocks of time by an associative scan for each state, a carry from one to the next."""

    name = "associative"
    template = "selective_scan_associative.py.j2"
    summary = "blocks of time by an associative scan for each state"
    rules = (
        EXP_RULE,
        _WIDTH,
        GRID,
        Rule(
            "numel",
            "a tile needs at least one element for each lane, and more than 8 of each value spill",
            lambda problem, config, facts: (
                1 <= per_lane(config.integer("block_d") * config.integer("block_l"), config, facts) <= 8
            ),
        ),
        Rule(
            "length",
            "a block of time at least twice as long as the sequence only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_l") <= max(64, next_power_of_two(problem["seqlen"]))
            ),
        ),
        *stage_rules(
            lambda problem, config, facts: _loads(problem, config, facts, config.integer("block_l")),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """As many states as an unrolled scan for each leaves compilable."""
        return super().supports(problem) and 1 <= problem["d_state"] <= 32

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": (1, 2, 4),
            "block_l": (64, 128, 256, 512),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4),
            "stages": stage_choices(facts, most=2),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One channel along time where time has unit stride, several where channels have."""
        first = (1,) if problem.option("layout") == "time" else (4, 2, 1)
        return {"block_d": first, "block_l": (128, 64), "num_warps": (1, 2, 4)}

    def tile(self, problem: Problem, config: Config) -> tuple[str, int]:
        """See `_Tiles.tile`."""
        return ("BLOCK_L", config.integer("block_l"))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        saved = int(problem.option("saved"))
        return {**super().context(problem, config), "within_blocks": 0 < saved < config.integer("block_l")}


SCANS = (States(), Associative())
