"""Forward and backward tuned together: how often forward saves a state decides what backward recomputes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from ssmgen.dtypes import dtype
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.tuning.predicted import Forecaster
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.tune import Tuner

__all__ = ["Pair", "training_pairs", "tune_training"]

# What finding the best pair by its defaults may take of the budget, and backward of the rest: it has the larger space.
_PAIRS_SHARE = 0.5
_BACKWARD_SHARE = 0.7


class Pair(NamedTuple):
    """The two problems of a training step, which agree on what is saved."""

    forward: Problem
    backward: Problem


def training_pairs(problem: Problem, target: Target, most_states: float) -> list[Pair]:
    """The pairs that training can run in the place of a forward problem.

    Args:
        problem: The forward problem; what it says of saved states does not count.
        target: Where it runs.
        most_states: Most memory of saved states, in multiples of that of u.

    Raises:
        InvalidInputError: No kernel gives gradients, or none with so few states.
    """
    intervals = interface(problem.op).options.get("saved")
    forwards = [problem]
    if intervals is not None:
        candidates = (problem.with_options(saved=interval) for interval in intervals)
        forwards = [forward for forward in candidates if _states_per_u(forward) <= most_states]
    pairs = [Pair(forward, replace(forward, direction="backward")) for forward in forwards]
    served = [pair for pair in pairs if all(len(target.space(problem)) for problem in pair)]
    if not served:
        limit = (
            f" that need no more than {most_states:g} times the memory of u for saved states; allow more, or"
        )
        remedy = f"{limit if intervals else ';'} choose another dtype, option or target"
        raise InvalidInputError(
            f"target {target.name} has no kernels for the gradients of {problem}{remedy}."
        )
    return served


def _states_per_u(forward: Problem) -> float:
    """The memory of the states that a forward problem saves, in multiples of that of u."""
    sizes = {
        operand.name: prod(operand.shape) * dtype(operand.dtype).itemsize
        for operand in interface(forward.op).operands(forward)
    }
    return sizes.get("states", 0) / sizes["u"]


def tune_training(
    tuner: Tuner | Forecaster,
    pairs: Sequence[Pair],
    *,
    budget_seconds: float,
    max_trials: int | None = None,
    seed: int = 0,
    top_k: int | None = None,
    observer: Observer | None = None,
) -> Iterator[TuneResult]:
    """Tune what training runs of an op: the defaults of every pair, then all of the fastest pair.

    Everything measured is saved, and training calls take the pair with the smallest sum of times.

    Args:
        tuner: What tunes.
        pairs: The pairs; see `training_pairs`.
        budget_seconds: Wall-clock seconds for all of them.
        max_trials: Most configs to try of each problem of the fastest pair.
        seed: Seed of each search.
        top_k: See `Tuner.tune`.
        observer: Told of every step.

    Yields:
        Backward, then forward, of the fastest pair.
    """
    search = _Search(tuner, time.monotonic() + budget_seconds, seed, top_k, observer)
    return search.run(pairs, max_trials)


class _Search:
    """The pairs of one op, until a deadline."""

    def __init__(
        self,
        tuner: Tuner | Forecaster,
        deadline: float,
        seed: int,
        top_k: int | None,
        observer: Observer | None,
    ) -> None:
        self._tuner = tuner
        self._deadline = deadline
        self._seed = seed
        self._top_k = top_k
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
            top_k=self._top_k,
            observer=self._observer,
        )
