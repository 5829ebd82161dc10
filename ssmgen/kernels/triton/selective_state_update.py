"""The step of a selective scan in Triton: a tile of channels and states for each program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import NamedTuple

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import dtype
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

_SECTOR_BYTES = 32  # what memory moves at once
# What neighbouring lanes load of a row at once: fewer lanes add up fewer partial sums, but move more sectors apart.
_LINE_BYTES = 64
_ENOUGH_PROGRAMS = 1024  # that all of a large GPU has something to do
# Registers that the state and A may take; B and C take a row each.
_MOST_REGISTERS = 64


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
            f"a lane without a state of each tile idles, and one with over {_MOST_REGISTERS} of state and A may spill",
            lambda problem, config, facts: (
                per_lane(config.integer("block_d") * config.integer("block_n"), config, facts) >= 1
                and _registers(problem, config, facts) <= _MOST_REGISTERS
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels in a head only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_d")
                <= max(facts.lanes // config.integer("block_n"), next_power_of_two(problem["dim"]))
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
            "block_n": _widths(problem),
            "exp": exp_choices(facts),
            "num_warps": (1, 2, 4, 8),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One warp, and as many states for each lane as leave enough programs: they share what finds addresses."""
        width = _itemsize(problem)
        elements = problem["batch"] * problem["heads"] * problem["dim"] * problem["d_state"]
        # At least what a lane loads at once.
        states = max(16 // width, elements // (_ENOUGH_PROGRAMS * facts.lanes))
        states = min(states, _MOST_REGISTERS if problem.option("tied") else _MOST_REGISTERS // 2)
        rows = states * facts.lanes / next_power_of_two(problem["d_state"])
        blocks = self.choices(problem, facts)
        return {
            "block_d": sorted(blocks["block_d"], key=lambda block: _apart(block, rows)),
            "block_n": sorted(blocks["block_n"], key=lambda block: _apart(block, _LINE_BYTES // width)),
            "num_warps": (1, 2, 4, 8),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        masked = _is_masked(problem, config)
        pieces = _pieces(problem, config, masked)
        return {
            **dict(problem.options),
            **dict(config.params),
            **masks(problem, masked),
            "pieces": pieces,
            "padded": pieces[-1].padded,
            "held": problem["d_state"] - (len(pieces) - 1) * config.integer("block_n"),
            "d_state": problem["d_state"],
            "grouped": problem["groups"] > 1,
            "headed": problem["heads"] > 1,
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
        for place in ("head", "group"):
            if problem[f"{place}s"] == 1:
                strides = [name for name in strides if not name.endswith(f"_{place}")]
        sizes = ["tokens"] if problem["tokens"] > 1 else []
        sizes += ["slots"] if problem.option("indices") else []
        constants = [("BLOCK_D", config.integer("block_d")), ("BLOCK_N", config.integer("block_n"))]
        if _is_masked(problem, config) or problem.option("states"):
            constants.insert(0, ("DIM", problem["dim"]))
        if problem["groups"] > 1:
            constants.insert(0, ("GROUPS", problem["groups"]))
        if problem["groups"] > 1 or (problem["heads"] > 1 and problem.option("states")):
            constants.insert(0, ("HEADS", problem["heads"]))
        return (
            Launch(
                problem.function,
                (*(operand.name for operand in operands), *strides, *sizes),
                (problem["batch"], problem["heads"], _blocks(problem, config)),
                tuple(constants),
                (("num_warps", config.integer("num_warps")),),
                tuple(name for name in strides if name.endswith("_dim")),
            ),
        )


def _itemsize(problem: Problem) -> int:
    """Bytes of a state."""
    return dtype(str(problem.option("state_dtype"))).itemsize


def _apart(block: Value, wanted: float) -> float:
    """How far a size is from the one that is wanted, in powers of two; beyond it counts for more than short of it."""
    distance = log2(int(block) / wanted)
    return -distance if distance <= 0 else distance + 0.5


class _Piece(NamedTuple):
    """Some neighbouring states of every channel: a tile.

    Attributes:
        name: What its variables end in; empty if it is the only one.
        at: What leads from the first piece to this one.
        padded: Whether it has places for more states than there are.
        mask: What its loads and stores are masked by.
    """

    name: str
    at: str
    padded: bool
    mask: str


def _widths(problem: Problem) -> tuple[int, ...]:
    """States along a tile: at least as many as memory is read at once, at most as many as there are."""
    most = next_power_of_two(problem["d_state"])
    least = _SECTOR_BYTES // _itemsize(problem)
    return (*(width for width in (8, 16, 32, 64, 128) if least <= width < most), most)


def _pieces(problem: Problem, config: Config, masked: bool) -> list[_Piece]:
    """The tiles of a program, those of the first states first; `masked` says whether some have too few channels."""
    width = config.integer("block_n")
    count = -(-problem["d_state"] // width)
    found = []
    for k in range(count):
        padded = (k + 1) * width > problem["d_state"]
        checks = [
            *(("inside[:, None]",) if masked else ()),
            *(("held[None, :]",) if padded else ()),
        ]
        mask = "present" if len(checks) == 2 else "".join(checks)
        found.append(_Piece(str(k) if count > 1 else "", f" + {k * width}" if k else "", padded, mask))
    return found


def _registers(problem: Problem, config: Config, facts: DeviceFacts) -> int:
    """Those of a lane that hold the state and, unless one number serves a head, A."""
    width = config.integer("block_n")
    states = -(-problem["d_state"] // width) * width
    held = per_lane(config.integer("block_d") * states, config, facts)
    return held if problem.option("tied") else 2 * held


def _is_masked(problem: Problem, config: Config) -> bool:
    return problem["dim"] % config.integer("block_d") != 0


def _blocks(problem: Problem, config: Config) -> int:
    return -(-problem["dim"] // config.integer("block_d"))


UPDATES = (Tile(),)
