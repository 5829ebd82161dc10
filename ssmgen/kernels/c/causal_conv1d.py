"""The causal convolution in C: steps in vector lanes, or channels, whichever lie side by side; and its step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.c.vectors import arguments, lane_choices, program, vector_context
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program
from ssmgen.kernels.variant import Variant
from ssmgen.problem import Problem

__all__ = ["CONVOLUTIONS", "is_convolution_served"]

# Steps of channels that one thread does in some ten microseconds.
_SERIAL_WORK = 1 << 15


def is_convolution_served(problem: Problem) -> bool:
    """Whether kernels have the taps, and keep steps of no more than one sequence in a row."""
    keeps = problem.has("initial_state") or problem.has("last_state")
    return 2 <= problem["width"] <= 4 and not (problem.has("packed") and keeps)


class _Convolution(Variant):
    """What the variants share."""

    interface = INTERFACES["causal_conv1d"]
    language = "c"
    layout: ClassVar[str]

    def supports(self, problem: Problem) -> bool:
        """Two to four taps, in the layout whose neighbours share a vector."""
        return (
            problem.direction == self.direction
            and problem.option("layout") == self.layout
            and is_convolution_served(problem)
        )

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, ("batch", "dim", "seqlen")),
            **dict(problem.options),
            **dict(config.params),
            "backward": problem.direction == "backward",
            "function": problem.function,
            "serial_work": _SERIAL_WORK,
            "width": problem["width"],
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, ("batch", "dim", "seqlen"))


class Steps(_Convolution):
    """Steps in lanes, one channel after another, through a window in L1 that the taps are read from."""

    name = "steps"
    layout = "time"
    template = "causal_conv1d_steps.c.j2"
    summary = "steps in vector lanes, one channel at a time, by tiles in L1"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"lanes": lane_choices(problem, facts), "tile": (64, 128, 256, 512, 1024)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The widest vectors."""
        return Config.of(self.name, {"lanes": lane_choices(problem, facts)[0], "tile": 256})


class StepsBackward(Steps):
    """The gradients: the window of what each step passes on is convolved the other way."""

    direction = "backward"
    template = "causal_conv1d_steps_backward.c.j2"
    summary = "gradients: steps in vector lanes, one channel of all sequences at a time"


class Channels(_Convolution):
    """Channels in lanes, rows of them step by step, as they lie in memory."""

    name = "channels"
    layout = "channel"
    template = "causal_conv1d_channels.c.j2"
    summary = "channels in vector lanes, step by step; rows of earlier steps from L1"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"block": (64, 256, 512), "chunk": (64, 256, 1024), "lanes": lane_choices(problem, facts)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Long rows, and short chunks of time for many threads."""
        return Config.of(self.name, {"block": 256, "chunk": 64, "lanes": lane_choices(problem, facts)[0]})


class ChannelsBackward(Channels):
    """The gradients of a block of channels, all of time in order."""

    direction = "backward"
    template = "causal_conv1d_channels_backward.c.j2"
    summary = (
        "gradients: channels in vector lanes, step by step; a ring of rows for the steps that are seen later"
    )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"block": (64, 128, 256, 512), "lanes": lane_choices(problem, facts)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """Blocks short enough that there are some for every thread."""
        return Config.of(self.name, {"block": 128, "lanes": lane_choices(problem, facts)[0]})


class Update(Variant):
    """The step, in place: channels in lanes."""

    interface = INTERFACES["causal_conv1d_update"]
    language = "c"
    name = "channels"
    template = "causal_conv1d_update.c.j2"
    summary = "channels in vector lanes, gathered from wherever their steps lie"

    def supports(self, problem: Problem) -> bool:
        """Two to four taps."""
        width = problem["width"]
        return problem.direction == "forward" and 2 <= width <= 4 and problem["length"] >= width - 1

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"lanes": lane_choices(problem, facts)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The widest vectors."""
        return Config.of(self.name, {"lanes": lane_choices(problem, facts)[0]})

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, self._sizes(problem)),
            **dict(problem.options),
            **dict(config.params),
            "backward": False,
            "function": problem.function,
            "packed": False,
            "serial_work": _SERIAL_WORK,
            "width": problem["width"],
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, self._sizes(problem))

    def _sizes(self, problem: Problem) -> tuple[str, ...]:
        """The dims that the kernel takes at run time."""
        return ("batch", "tokens", "dim", "length", *(("slots",) if problem.option("indices") else ()))


CONVOLUTIONS: tuple[Variant, ...] = (Steps(), Channels(), StepsBackward(), ChannelsBackward(), Update())
