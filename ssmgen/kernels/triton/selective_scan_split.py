"""The selective scan in Triton with the states of a channel split over some lanes of a warp: for few channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.program import Launch
from ssmgen.kernels.triton.common import EXP_RULE, exp_choices
from ssmgen.kernels.triton.selective_scan import (
    GRID,
    SelectiveScan,
    channels_of_group,
    is_masked,
    one_pass,
    planes,
    sequences,
    variable_rows,
)
from ssmgen.kernels.triton.stages import Loads, stage_choices, stage_rules
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = ["SCANS"]

_FEWEST_LANES, _MOST_LANES = 4, 32  # of a channel; with two, a tile of two steps would hide no latency
_MOST_REGISTERS = 255  # AMD's further ones serve as a place to spill to
# One channel for each lane gives that many channels two warps for each scheduler of a large GPU.
_MOST_CHANNELS = 32768


def _held(problem: Problem, config: Config) -> int:
    """Planes of a channel's states that a lane holds."""
    each = -(-problem["d_state"] // config.integer("lanes"))
    return each * planes(problem) // problem["d_state"]


def _wide(problem: Problem, config: Config) -> int:
    """Planes of a row that a lane loads at once, which are neighbours in it."""
    held = _held(problem, config)
    if held * config.integer("lanes") > planes(problem):
        return 1
    return next(count for count in (4, 2, 1) if held % count == 0)


def _registers(problem: Problem, config: Config, ahead: int) -> int:
    """Estimated registers of a lane: states and coefficients, rows of some steps, a tile of steps, and addresses."""
    held = 1 + (problem.option("B") == "constant") + (problem.option("C") == "constant")
    rates = 1.5 if problem.has("complex") else 1.0
    planes_of_lane = _held(problem, config)
    rows = ahead * config.integer("lanes") * len(variable_rows(problem))
    return int(planes_of_lane * (held + rates + max(2, rows))) + 60


def _fits(problem: Problem, config: Config, facts: DeviceFacts, ahead: int) -> bool:
    return _registers(problem, config, ahead) <= min(facts.max_registers, _MOST_REGISTERS)


def _loads(problem: Problem, config: Config, facts: DeviceFacts) -> Loads:
    """What a tile loads: sequences, and for each of its steps what each lane holds of rows."""
    lanes, held, wide = config.integer("lanes"), _held(problem, config), _wide(problem, config)
    reads, rows = len(sequences(problem)) - 1, lanes * len(variable_rows(problem))
    return Loads(
        problem["seqlen"] // lanes,
        reads + rows * held // wide,
        4 * facts.lanes * (reads + rows * held),
        reads + rows * held,
        4 * wide,
    )


class Split(SelectiveScan):
    """States split over lanes, one step after another; a tile of steps has a lane for each."""

    name = "split"
    template = "selective_scan_split.py.j2"
    summary = "states split over lanes, time in tiles, sums over lanes by transposition: for few channels"
    rules = (
        EXP_RULE,
        GRID,
        Rule(
            "lanes",
            "a lane of the one warp takes one step of one channel",
            lambda problem, config, facts: config.integer("block_d") * config.integer("lanes") == facts.lanes,
        ),
        Rule(
            "width",
            "half of the lanes would have no channel, where more lanes could share the channels there are",
            lambda problem, config, facts: (
                config.integer("block_d") < 2 * channels_of_group(problem)
                or 2 * config.integer("lanes") > min(_MOST_LANES, problem["d_state"])
            ),
        ),
        Rule(
            "idle",
            "more lanes than states leave some idle",
            lambda problem, config, facts: config.integer("lanes") <= problem["d_state"],
        ),
        Rule(
            "registers",
            "the states and their coefficients do not fit a lane's registers and would be spilled at every step",
            lambda problem, config, facts: (
                _fits(problem, config, facts, config.integer("ahead"))
                or (
                    not config["ahead"] and 2 * config.integer("lanes") > min(_MOST_LANES, problem["d_state"])
                )
            ),
        ),
        Rule(
            "stages",
            "registers that have room for the next tile hold it without copies or barriers",
            lambda problem, config, facts: config["stages"] == 1 or not _fits(problem, config, facts, 1),
        ),
        *stage_rules(_loads, lambda problem, config, facts: _registers(problem, config, 0)),
    )

    def supports(self, problem: Problem) -> bool:
        """Some states to split, of channels that are few, or that a single lane could not hold the states of."""
        few = problem["batch"] * problem["dim"] <= _MOST_CHANNELS
        return (
            super().supports(problem)
            and _FEWEST_LANES <= problem["d_state"] <= 256
            and (few or planes(problem) > 32)
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "ahead": (0, 1),
            "block_d": (1, 2, 4, 8, 16),
            "exp": exp_choices(facts),
            "lanes": (4, 8, 16, 32),
            "num_warps": (1,),
            "stages": stage_choices(facts, most=2),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Many lanes for each channel, long tiles with them, and the next tile under way if registers hold it."""
        return {"ahead": (1, 0), "block_d": (2, 4, 8, 16, 1)}

    def launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """See `one_pass`."""
        return one_pass(problem, config, ("LANES", config.integer("lanes")))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        found = dict(super().context(problem, config))
        held, total, lanes = _held(problem, config), planes(problem), config.integer("lanes")
        padded = held * lanes > total
        # Which planes some lane has too many of.
        beyond = [(lanes - 1) * held + n >= total for n in range(held)]
        masked = is_masked(problem, config)
        exist = [
            " & ".join(
                (["inside[:, None]"] if masked else []) + ([f"(first < {total - n})"] if beyond[n] else [])
            )
            for n in range(held)
        ]
        return {
            **found,
            "cell_masks": [f", mask={each}, other=0.0" if each else "" for each in exist],
            "halves": [1 << bit for bit in range(lanes.bit_length() - 1)],
            "held": held,
            "padded": padded,
            "row_masks": [f", mask=first < {total - n}, other=0.0" if beyond[n] else "" for n in range(held)],
            "store_masks": [f", mask={each}" if each else "" for each in exist],
            "wide": _wide(problem, config),
        }


SCANS = (Split(),)
