"""The causal convolution in Triton: a tile of channels and steps for each program; and its step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    EXP_RULE,
    MOST_BLOCKS,
    TritonVariant,
    exp_choices,
    masks,
    parameters,
    per_lane,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["CONVOLUTIONS"]

# Channels of a program that adds up what tiles have summed.
_SUMMED = 32


def _channel_blocks(problem: Problem, config: Config) -> int:
    return -(-problem["dim"] // config.integer("block_d"))


def _step_blocks(problem: Problem, config: Config) -> int:
    """Blocks of steps; gradients begin with the steps before the first where there are some."""
    early = problem["width"] - 1 if problem.direction == "backward" and problem.has("initial_state") else 0
    return -(-(problem["seqlen"] + early) // config.integer("block_l"))


def _is_masked(problem: Problem, config: Config) -> bool:
    return problem["dim"] % config.integer("block_d") != 0


class _Convolution(TritonVariant):
    """What the variants share: what their templates are told, and the launches."""

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **dict(problem.options),
            **dict(config.params),
            **masks(problem, _is_masked(problem, config)),
            "width": problem["width"],
            "parameters": parameters(self._launches(problem, config)),
        }

    @abstractmethod
    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """The launches, in order."""


class Tile(_Convolution):
    """Channels down and steps along; every tap reads the tile anew, from L1."""

    interface = INTERFACES["causal_conv1d"]
    name = "tile"
    template = "causal_conv1d_tile.py.j2"
    summary = "a tile of channels and steps for each program, read once for each tap"
    most_elements = 16  # of a tile, in one lane
    rules = (
        EXP_RULE,
        Rule(
            "numel",
            "a tile needs at least one element for each lane, and one with too many of each spills",
            lambda problem, config, facts: (
                1
                <= per_lane(config.integer("block_d") * config.integer("block_l"), config, facts)
                <= (Tile if problem.direction == "forward" else TileBackward).most_elements
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_d") < max(2 * problem["dim"], 2 * _widths(problem)[0][0])
            ),
        ),
        Rule(
            "length",
            "a block at least twice as long as the sequence only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_l") <= max(_widths(problem)[1][0], next_power_of_two(problem["seqlen"]))
            ),
        ),
        Rule(
            "grid",
            f"a launch grid has no more than {MOST_BLOCKS} blocks along its second and third axis",
            lambda problem, config, facts: (
                max(_channel_blocks(problem, config), _step_blocks(problem, config)) <= MOST_BLOCKS
            ),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Two to four taps, without states beside packed sequences; as much as a launch grid covers."""
        keeps = problem.has("initial_state") or problem.has("last_state")
        taps = 2 <= problem["width"] <= 4 and not (problem.has("packed") and keeps)
        fits = problem["dim"] <= MOST_BLOCKS * 8 and problem["seqlen"] <= MOST_BLOCKS * 32
        return super().supports(problem) and taps and fits

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        widths, lengths = _widths(problem)
        return {"block_d": widths, "block_l": lengths, "exp": exp_choices(facts), "num_warps": (1, 2, 4, 8)}

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Lanes along what lies side by side."""
        if problem.option("layout") == "time":
            return {"block_d": (8, 16, 32), "block_l": (128, 64, 32), "num_warps": (4, 2, 1)}
        return {"block_d": (128, 64, 32), "block_l": (8, 16, 32), "num_warps": (4, 2, 1)}

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        strides = [scalar for operand in operands for scalar, _ in operand.strides]
        constants = [("BLOCK_D", config.integer("block_d")), ("BLOCK_L", config.integer("block_l"))]
        if _is_masked(problem, config) or problem.has("initial_state") or problem.has("last_state"):
            constants.insert(0, ("DIM", problem["dim"]))
        return (
            Launch(
                problem.function,
                (*(operand.name for operand in operands), *strides, "seqlen"),
                (problem["batch"], _channel_blocks(problem, config), _step_blocks(problem, config)),
                tuple(constants),
                (("num_warps", config.integer("num_warps")),),
            ),
        )


class TileBackward(Tile):
    """The gradients of a tile; those of the weights are sums over its steps, added up by a second launch."""

    direction = "backward"
    template = "causal_conv1d_backward.py.j2"
    summary = "gradients: a tile of channels and steps for each program; sums over steps added up in order"
    most_elements = 8

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        rows = problem["width"] + (1 if problem.has("bias") else 0)
        sums = Workspace("sums", "fp32", (_tiles(problem, config), rows, problem["dim"]))
        return Program(self._launches(problem, config), (sums,))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        masked = problem["dim"] % _SUMMED != 0
        return {
            **super().context(problem, config),
            "masked_sums": masked,
            "mask_sums": ", mask=inside" if masked else "",
        }

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        summed = ["dweight", *(["dbias"] if problem.has("bias") else [])]
        unused = ["bias"] if not problem.has("silu") else []
        strides = [scalar for operand in operands for scalar, _ in operand.strides]
        names = [x.name for x in operands if x.name not in (*summed, *unused)]
        tile = (("BLOCK_D", config.integer("block_d")), ("BLOCK_L", config.integer("block_l")))
        return (
            Launch(
                problem.function,
                (*names, "sums", *strides, "seqlen"),
                (problem["batch"], _channel_blocks(problem, config), _step_blocks(problem, config)),
                (("DIM", problem["dim"]), *tile),
                (("num_warps", config.integer("num_warps")),),
            ),
            Launch(
                "add_up",
                ("sums", *summed),
                (-(-problem["dim"] // _SUMMED), 1, 1),
                (("tiles", _tiles(problem, config)), ("DIM", problem["dim"]), ("BLOCK_D", _SUMMED)),
                (("num_warps", 1),),
            ),
        )


def _tiles(problem: Problem, config: Config) -> int:
    """Tiles of steps of all sequences."""
    return problem["batch"] * _step_blocks(problem, config)


def _widths(problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels down a tile and steps along it."""
    if problem.option("layout") == "time":
        return (8, 16, 32), (32, 64, 128, 256)
    return (32, 64, 128, 256), (4, 8, 16, 32)


class Update(_Convolution):
    """A block of channels for each program, its steps one after another."""

    interface = INTERFACES["causal_conv1d_update"]
    name = "channels"
    template = "causal_conv1d_update.py.j2"
    summary = "channels across lanes, token by token"
    rules = (
        EXP_RULE,
        Rule(
            "lanes",
            "with fewer channels in a block than lanes, lanes do the same work twice",
            lambda problem, config, facts: per_lane(config.integer("block_d"), config, facts) >= 1,
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels only adds idle work",
            lambda problem, config, facts: config.integer("block_d") < max(2 * problem["dim"], 65),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Two to four taps; as many channels as a launch grid covers."""
        width = problem["width"]
        taps = 2 <= width <= 4 and problem["length"] >= width - 1
        return super().supports(problem) and taps and problem["dim"] <= MOST_BLOCKS * 64

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"block_d": (64, 128, 256), "exp": exp_choices(facts), "num_warps": (1, 2, 4)}

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        operands = self.interface.operands(problem)
        strides = [scalar for operand in operands for scalar, _ in operand.strides]
        sizes = ["tokens", "length", *(["slots"] if problem.option("indices") else [])]
        constants = [("BLOCK_D", config.integer("block_d"))]
        if _is_masked(problem, config):
            constants.insert(0, ("DIM", problem["dim"]))
        return (
            Launch(
                problem.function,
                (*(operand.name for operand in operands), *strides, *sizes),
                (problem["batch"], _channel_blocks(problem, config), 1),
                tuple(constants),
                (("num_warps", config.integer("num_warps")),),
            ),
        )


CONVOLUTIONS = (Tile(), TileBackward(), Update())
