"""The step of a selective scan in C: states in vector lanes, as they lie in memory."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.c.vectors import (
    STATES_RULE,
    STORED,
    arguments,
    lane_choices,
    lanes_for_states,
    program,
    vector_context,
)
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.kernels.program import Program
from ssmgen.kernels.variant import Rule, Variant
from ssmgen.problem import Problem, next_power_of_two

__all__ = ["UPDATES"]

# State elements that one thread updates in some ten microseconds; of tied channels, which take no exponential, more.
# On two cores of an AMD EPYC (Zen 5) a second thread saves 1 us of 8 at 24576 elements and 2 of 11 at 40960 while it
# spins, and where other work has the core, a call waits for it for milliseconds.
_SERIAL_WORK = 1 << 15
_MOST_TOKENS = 16
_TASKS = (16, 32, 64, 128, 256)


def _fits_l1(problem: Problem, config: Config, facts: DeviceFacts) -> bool:
    # What passes hand on: of each channel and token a vector of products, and two numbers.
    itemsize = 8 if problem.dtype == "fp64" else 4
    handed = next_power_of_two(problem["tokens"]) * (config.integer("lanes") + 2) * itemsize
    return config.integer("task") * handed <= 24 << 10


class States(Variant):
    """States in vector lanes, one channel after another, between passes with channels in vector lanes."""

    interface = INTERFACES["selective_state_update"]
    language = "c"
    name = "states"
    template = "selective_state_update_states.c.j2"
    summary = "states in vector lanes, one channel at a time; sums over states by transposition"
    rules = (
        STATES_RULE,
        Rule("l1", "what the passes over a task's channels hand on must stay in L1", _fits_l1),
    )

    def supports(self, problem: Problem) -> bool:
        """Up to 16 tokens and 256 states; double precision with a state in double precision alone."""
        is_double = {problem.dtype == "fp64", problem.option("state_dtype") == "fp64"}
        fits = problem["tokens"] <= _MOST_TOKENS and problem["d_state"] <= 256
        return problem.direction == "forward" and fits and len(is_double) == 1

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {"ahead": (0, 4, 16), "lanes": lane_choices(problem, facts), "task": _TASKS}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The narrowest vectors that hold all states, else the widest; the longest tasks but one that fit L1."""
        lanes = lanes_for_states(problem, facts)
        # Untied channels spend enough time on exponentials for memory to be asked ahead of them.
        ahead = 0 if problem.option("tied") else 16
        configs = [
            Config.of(self.name, {"ahead": ahead, "lanes": lanes, "task": task}) for task in _TASKS[-2::-1]
        ]
        return next(config for config in configs if _fits_l1(problem, config, facts))

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        tokens = next_power_of_two(problem["tokens"])
        return {
            **vector_context(problem.dtype, config.integer("lanes")),
            **arguments(self.interface, problem, self._sizes(problem)),
            **dict(problem.options),
            **dict(config.params),
            "d_state": problem["d_state"],
            "serial_work": _SERIAL_WORK * (2 if problem.option("tied") else 1),
            "several": tokens if tokens > 1 else 0,
            "state_stored": STORED[str(problem.option("state_dtype"))],
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return program(self.interface, problem, self._sizes(problem))

    def _sizes(self, problem: Problem) -> tuple[str, ...]:
        """The dims that the kernel takes at run time."""
        more = (
            *(("tokens",) if problem["tokens"] > 1 else ()),
            *(("slots",) if problem.option("indices") else ()),
        )
        return ("batch", "heads", "dim", "groups", *more)


UPDATES: tuple[Variant, ...] = (States(),)
