"""Forward and backward tuned together: how often forward saves a state decides what backward recomputes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ssmgen import store
from ssmgen.dtypes import dtype
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.targets import target as open_target
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.tune import Tuner

__all__ = ["MOST_STATES", "Pair", "training_campaign", "training_pairs"]

# Most memory of saved states, in multiples of that of u: as much as u, delta, z and out take together.
MOST_STATES = 4.0
# What finding the best pair by its defaults may take of the budget, and backward of the rest: it has the larger space.
_PAIRS_SHARE = 0.5
_BACKWARD_SHARE = 0.7


class Pair(NamedTuple):
    """The two problems of a training step, which agree on what is saved."""

    forward: Problem
    backward: Problem


def training_pairs(problem: Problem, target: Target, most_states: float = MOST_STATES) -> list[Pair]:
    """The pairs that training can run in the place of a forward problem.

    Args:
        problem: The forward problem; what it says of saved states does not count.
        target: Where it runs.
        most_states: Most memory of saved states, in multiples of that of u.

    Raises:
        InvalidInputError: No kernel gives gradients, or none with so few states.
    """
    options = interface(problem.op).options.get("saved")
    forwards = (
        [problem]
        if options is None
        else [
            problem.with_options(saved=saved) for saved in options if _states(problem, saved) <= most_states
        ]
    )
    pairs = [Pair(forward, replace(forward, direction="backward")) for forward in forwards]
    served = [pair for pair in pairs if len(target.space(pair.forward)) and len(target.space(pair.backward))]
    if not served:
        raise InvalidInputError(
            f"target {target.name} has no kernels for the gradients of {problem} that need no more than "
            f"{most_states:g} times the memory of u for saved states; allow more, or choose another dtype, option or "
            "target."
        )
    return served


def _states(problem: Problem, saved: object) -> float:
    """The memory of the states that forward saves, in multiples of that of u."""
    operands = {
        operand.name: operand
        for operand in interface(problem.op).operands(problem.with_options(saved=int(str(saved))))
    }
    if "states" not in operands:
        return 0.0
    sizes = [
        operands[name].allocate("meta").numel() * dtype(operands[name].dtype).itemsize
        for name in ("states", "u")
    ]
    return sizes[0] / sizes[1]


def training_campaign(
    problems: Sequence[Problem],
    target_name: str,
    *,
    budget_seconds: float,
    most_states: float = MOST_STATES,
    max_trials: int | None = None,
    seed: int = 0,
    observer: Observer | None = None,
) -> Iterator[TuneResult]:
    """Tune what training runs of each op: the defaults of every pair, then all of the fastest pair.

    Everything measured is saved, and training calls take the pair with the smallest sum of times.

    Args:
        problems: The forward problems.
        target_name: A target that is present.
        budget_seconds: Wall-clock seconds for all of them.
        most_states: See `training_pairs`.
        max_trials: Most configs to try of each problem of the fastest pairs.
        seed: Seed of each search.
        observer: Told of every step.

    Yields:
        Backward, then forward, of each op's fastest pair.

    Raises:
        TargetUnavailableError: The target cannot be timed here.
        InvalidInputError: An op has no gradients here; see `training_pairs`.
        ConfigFileError: Results could not be saved; found out before anything is tuned.
    """
    deadline = time.monotonic() + budget_seconds
    target = open_target(target_name)
    pairs = [training_pairs(problem, target, most_states) for problem in problems]
    with Tuner(target_name) as tuner:
        for problem in problems:
            store.require_writable(tuner.target.facts, problem.op)
        for index, choice in enumerate(pairs):
            budget = (deadline - time.monotonic()) / (len(pairs) - index)
            search = _Search(tuner, time.monotonic() + budget, seed, observer)
            for result in search.run(choice, max_trials):
                yield result
                if result.is_interrupted:
                    return


class _Search:
    """The pairs of one op, until a deadline."""

    def __init__(self, tuner: Tuner, deadline: float, seed: int, observer: Observer | None) -> None:
        self._tuner = tuner
        self._deadline = deadline
        self._seed = seed
        self._observer = observer

    def run(self, pairs: Sequence[Pair], max_trials: int | None) -> Iterator[TuneResult]:
        best, note = pairs[0], ""
        if len(pairs) > 1:
            compared: dict[Pair, float] = {}
            for index, pair in enumerate(pairs):
                # Half of what is left goes to the pairs, evenly over those that are still to come.
                share = _PAIRS_SHARE * self._left() / (len(pairs) - index)
                results = [self._tune(problem, share / 2, 1) for problem in (pair.backward, pair.forward)]
                if any(result.is_interrupted for result in results):
                    yield from results
                    return
                compared[pair] = sum(
                    float("inf") if result.best is None else result.best.seconds for result in results
                )
            best = min(compared, key=lambda pair: compared[pair])
            note = "both directions by their defaults: " + ", ".join(
                f"{seconds * 1e3:.2f} ms with saved={pair.forward.option('saved')}"
                for pair, seconds in compared.items()
            )
        backward = self._tune(best.backward, _BACKWARD_SHARE * self._left(), max_trials)
        yield replace(backward, notes=(*backward.notes, note)) if note else backward
        if not backward.is_interrupted:
            yield self._tune(best.forward, self._left(), max_trials)

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 1.0)

    def _tune(self, problem: Problem, seconds: float, max_trials: int | None) -> TuneResult:
        return self._tuner.tune(
            problem,
            budget_seconds=seconds,
            max_trials=max_trials,
            seed=self._seed,
            observer=self._observer,
        )
