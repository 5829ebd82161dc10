"""Mamba-2's scan in C: the recurrence itself, a few states at a time in registers; and its gradients, by chunks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES, sequence_batches
from ssmgen.kernels.program import Program, Workspace
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem

__all__ = ["SCANS"]

# State elements that one thread does in some ten microseconds, and gradients of as many.
_SERIAL_WORK, _SERIAL_GRADIENTS = 1 << 18, 1 << 16
_MOST_STACK = 1 << 20  # bytes: half of what threads have where they have least, and an L2
_NEAR = (("vectors", 2), ("chunk", 64), ("block", 64))
_SIZES = ("batch", "seqlen", "heads", "dim", "groups")


def _fits_registers(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # The states, the sums and inputs of a step, the decay, and B and C of a state.
    vectors = config.integer("vectors")
    return vectors * (config.integer("states") + 2) + 3 <= facts.max_registers


def _is_no_wider(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    lanes = config.integer("lanes")
    widest = -(-problem["dim"] // lanes) * lanes
    return config["vectors"] == 1 or config.integer("vectors") * lanes <= widest


def _is_served(problem: Problem) -> bool:
    return 1 <= problem["d_state"] <= 256 and not (problem.has("varlen") and problem.has("packed"))


class Recurrent(Variant):
    """Channels in lanes; a few states walk through a tile of steps in registers, then the next ones do."""

    interface = INTERFACES["ssd"]
    language = "c"
    name = "recurrent"
    template = "ssd_recurrent.c.j2"
    summary = "channels of a head in vector lanes, groups of states in registers, time in L1 tiles"
    rules = (
        Rule("registers", "more than the CPU's registers are spilled at every step", _fits_registers),
        Rule("width", "vectors beyond the channels of a head only add idle work", _is_no_wider),
    )

    def supports(self, problem: Problem) -> bool:
        """Forward, with up to 256 states; sequences are packed in one way or the other."""
        return problem.direction == "forward" and _is_served(problem)

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "lanes": lane_choices(problem, facts),
            "states": tuple(count for count in (1, 2, 4, 8) if count <= problem["d_state"]),
            "tile": (16, 32, 64),
            "vectors": (1, 2, 4),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """What holds most of the state in registers; of as much, the most channels."""
        found = []
        lanes = lane_choices(problem, facts)[0]
        choices = self.choices(problem, facts)
        for vectors in choices["vectors"]:
            for states in choices["states"]:
                config = Config.of(
                    self.name, {"lanes": lanes, "states": states, "tile": 32, "vectors": vectors}
                )
                if self.broken_rule(problem, config, facts) is None:
                    found.append(config)
        return max(
            found,
            key=lambda config: (config.integer("vectors") * config.integer("states"), config["vectors"]),
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "function": problem.function,
            "serial_work": _SERIAL_WORK,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES)


def _wide(config: Config) -> int:
    """Reals of a row that products hold in registers."""
    return config.integer("lanes") * config.integer("vectors")


def _padded(problem: Problem, config: Config) -> int:
    """States, and what fills the last vector of them."""
    return -(-problem["d_state"] // _wide(config)) * _wide(config)


def _stack(problem: Problem, config: Config) -> int:
    """Bytes of what a thread keeps of a chunk."""
    states, channels, chunk = _padded(problem, config), config.integer("block"), config.integer("chunk")
    numbers = 3 * states * channels + 4 * chunk * (states + channels)
    numbers += chunk * (2 * chunk + max(states, channels))
    return numbers * dtype(accumulate(problem.dtype)).itemsize


class Chunked(Variant):
    """What the steps of a chunk owe to one another and to the states around it, as products of matrices.

    The states before each chunk are recomputed and kept; chunks then follow one another back in time. What heads or
    sequences share is summed for each of them, and added up afterwards, always in the same order.
    """

    interface = INTERFACES["ssd"]
    language = "c"
    direction = "backward"
    name = "chunked"
    template = "ssd_backward.c.j2"
    summary = (
        "gradients: chunks of steps as products of matrices, a tile of them in registers; states recomputed"
    )
    rules = (
        Rule(
            "registers",
            "more than the CPU's registers are spilled at every step",
            lambda problem, config, facts: (
                (config.integer("rows") + 1) * config.integer("vectors") + 1 <= facts.max_registers
            ),
        ),
        Rule(
            "rows",
            "rows come in multiples of a vector's width, and none may be left over",
            lambda problem, config, facts: (
                _wide(config) % config.integer("rows") == 0 and _wide(config) <= 32
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as a head only adds idle work",
            lambda problem, config, facts: config.integer("block") < max(2 * problem["dim"], 33),
        ),
        Rule(
            "stack",
            "what a thread keeps of a chunk must fit its stack and its L2",
            lambda problem, config, facts: _stack(problem, config) <= _MOST_STACK,
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Backward, with up to 256 states; sequences are packed in one way or the other."""
        return problem.direction == "backward" and _is_served(problem)

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block": (32, 64, 128),
            "chunk": (32, 64, 128),
            "lanes": lane_choices(problem, facts),
            "rows": (2, 4, 8),
            "vectors": (1, 2, 4),
        }

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Chunks of 64 steps; of tiles that fit the registers the largest, two vectors wide rather than four."""
        valid = [
            config
            for values in itertools.product(*self.choices(problem, facts).values())
            if self.broken_rule(
                problem,
                config := Config.of(self.name, dict(zip(self.choices(problem, facts), values, strict=True))),
                facts,
            )
            is None
        ]

        def merit(config: Config) -> tuple[int, ...]:
            chunk, block = (min(config.integer(name), 64) for name in ("chunk", "block"))
            tile = config.integer("rows") * config.integer("vectors")
            near = tuple(-abs(config.integer(name) - wanted) for name, wanted in _NEAR)
            return (config.integer("lanes"), chunk + block, tile, *near)

        return max(valid, key=merit)

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, _SIZES, self._workspaces(problem, config)),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "function": problem.function,
            "serial_work": _SERIAL_GRADIENTS,
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, _SIZES, self._workspaces(problem, config))

    def _workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        real, batch, heads = accumulate(problem.dtype), problem["batch"], problem["heads"]
        states, chunk = _padded(problem, config), config.integer("chunk")
        steps = (sequence_batches(problem), problem["seqlen"], heads)
        packed = problem["seqlen"] // chunk + batch
        slots = packed if problem.has("varlen") else batch * -(-problem["seqlen"] // chunk)
        sums = 1 + problem.has("dt_bias") + (problem["dim"] if problem.has("D") else 0)
        return (
            Workspace("states", real, (slots, heads, states, config.integer("block"))),
            Workspace("steps", real, steps),
            Workspace("rows", real, (*steps, 2, states)),
            Workspace("sums", real, (batch, heads, sums)),
        )


SCANS: tuple[Variant, ...] = (Recurrent(), Chunked())
