"""What the gradients of the selective scan hold in a chunk of steps: names, groups of states, registers."""

from __future__ import annotations

from typing import NamedTuple

from ssmgen.config import Config
from ssmgen.kernels.triton.selective_scan import planes, variable_rows
from ssmgen.problem import Problem

__all__ = [
    "StateGroup",
    "carried_registers",
    "channel_sums",
    "channels_per_lane",
    "chunk_registers",
    "is_smallest",
    "recomputes",
    "state_groups",
    "state_sums",
    "walked_sequences",
    "weight_names",
    "weight_rows",
]


class StateGroup(NamedTuple):
    """States that one pass over a chunk takes: the first, and how many."""

    first: int
    size: int


def state_groups(problem: Problem, config: Config, count: int | None = None) -> list[StateGroup]:
    """Groups of the first `count` states of the config's size, and of smaller powers of two for what is left."""
    found, first, size = [], 0, config.integer("states")
    count = problem["d_state"] if count is None else count
    while first < count:
        while size > count - first:
            size //= 2
        found.append(StateGroup(first, size))
        first += size
    return found


def weight_names(problem: Problem) -> list[str]:
    """What does not change with time and has a value for each state and channel."""
    return ["A", *(name for name in ("B", "C") if problem.option(name) == "constant")]


def weight_rows(problem: Problem) -> list[str]:
    """The rows of weights by channel: for each of these names one for each state."""
    if not problem.has("complex"):
        return weight_names(problem)
    return [
        "A",
        "turns",
        "rest",
        *(f"{name}_{part}" for name in weight_names(problem)[1:] for part in ("re", "im")),
    ]


def state_sums(problem: Problem) -> list[str]:
    """Gradients with a value for each state and channel."""
    return [f"d{name}" for name in weight_names(problem)]


def channel_sums(problem: Problem) -> list[str]:
    """Gradients with a value for each channel."""
    return [f"d{name}" for name in ("D", "delta_bias") if problem.has(name)]


def walked_sequences(problem: Problem) -> list[str]:
    """The sequences that are read and written step by step, backwards."""
    gate = problem.has("z")
    return ["u", "delta", "dout", *(["z"] if gate else []), "du", "ddelta", *(["dz"] if gate else [])]


def recomputes(problem: Problem, config: Config) -> bool:
    """Whether a first pass recomputes the states between those that forward saved."""
    return problem.option("saved") != config.integer("interval")


def channels_per_lane(config: Config) -> int:
    """Channels of a block that one lane has."""
    return config.integer("block_d") // config.integer("lanes")


def chunk_registers(problem: Problem, config: Config) -> int:
    """Estimated registers that a lane needs for a chunk's steps and the states of one group."""
    interval, size = config.integer("interval"), config.integer("states")
    steps = (6 if problem.option("z") else 5) * interval
    reals = size * planes(problem) // problem["d_state"]
    rows = len(variable_rows(problem)) * interval * reals
    return channels_per_lane(config) * (steps + (2 * interval + 1) * reals) + rows + interval * reals + 30


def carried_registers(problem: Problem, config: Config) -> int:
    """Registers for what chunks hand on: g, and the sums of each state."""
    return channels_per_lane(config) * (1 + len(weight_names(problem))) * planes(problem)


def is_smallest(config: Config) -> bool:
    """Whether nothing smaller could be tried: it may spill, and is all there is."""
    return (channels_per_lane(config), config["interval"], config["states"]) == (1, 2, 1)
