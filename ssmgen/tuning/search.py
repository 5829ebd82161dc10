"""Which configs to try next: all where the budget allows, else neighbours of the best and what Optuna proposes.

One study per variant, because each has a space of its own; the budget moves to the variants that do well. Nothing is
compiled or timed here: `measure` does that, so that a synthetic landscape can stand in for a machine.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ssmgen.config import Config, Value
from ssmgen.kernels import Space, Variant
from ssmgen.tuning.trial import Trial

if TYPE_CHECKING:
    import optuna

__all__ = ["Measure", "Search", "default_configs"]

# Tries configs and returns what became of those that it came to.
Measure = Callable[[Sequence[Config]], Sequence[Trial]]

_MOST_STARTUP = 10  # random configs of a variant before its sampler models them
_NEAR = 0.9  # of the proposals, those that are neighbours of a variant's best
_FIRST_LOOK = 4  # configs of a variant before its promise is judged
_PENALTY = 10.0  # a failure counts as this many times the slowest success
_DISCOUNT = 3.0  # a variant twice as slow gets this power of a half of the budget


def default_configs(space: Space) -> tuple[Config, ...]:
    """The default of each variant, the built-in default first; those that the rules exclude are left out."""
    defaults = (variant.default(space.problem, space.facts) for variant in space.variants)
    return tuple(config for config in dict.fromkeys(defaults) if config in space)


class Search:
    """A search through one space.

    Attributes:
        trials: What is known, by config, in the order in which it was learnt.
        is_exhaustive: Whether every config of the space has been tried.
        is_enumerating: Whether the rest of the budget suffices for every config, so that no sampler is asked.
    """

    def __init__(
        self, space: Space, *, seed: int = 0, known: Iterable[Trial] = (), first: Iterable[Config] = ()
    ) -> None:
        """Start from what is known.

        Args:
            space: The space.
            seed: Seed of every choice made here: the same measurements lead to the same search.
            known: Trials of an earlier run.
            first: Configs to try before all others, after the defaults; for one that is not valid here, the nearest
                that is.
        """
        self.space = space
        self.trials: dict[Config, Trial] = {trial.config: trial for trial in known if trial.config in space}
        self.is_enumerating = False
        self._random = random.Random(seed)
        self._studies = {
            variant.name: _Study(space, variant, seed + index) for index, variant in enumerate(space.variants)
        }
        valid = (self._valid(config) for config in first)
        wanted = dict.fromkeys((*default_configs(space), *(config for config in valid if config)))
        self._left: list[Config] = []
        self._first = [config for config in wanted if config not in self.trials]
        rest = [config for configs in space.configs.values() for config in configs if config not in wanted]
        self._random.shuffle(rest)
        self._rest = [config for config in rest if config not in self.trials]
        for trial in self.trials.values():
            self._studies[trial.config.variant].learn(trial, self._penalty())

    @property
    def is_exhaustive(self) -> bool:
        """Whether every config of the space has been tried."""
        return len(self.trials) == len(self.space)

    @property
    def best(self) -> Trial | None:
        """The fastest trial that did not fail."""
        return min(self._successes(), key=lambda trial: trial.rank, default=None)

    def run(self, measure: Measure, room: Callable[[], int], batch: int = 1) -> None:
        """Try configs until the space or the budget is exhausted.

        Args:
            measure: Tries configs.
            room: How many more configs the budget allows, as far as is known.
            batch: Most configs to hand to `measure` at once.
        """
        while (allowed := room()) > 0 and (self._first or self._rest):
            configs = self._next(min(batch, allowed), allowed)
            for trial in measure(configs):
                if trial.config not in self.trials:
                    self.learn(trial)

    def learn(self, trial: Trial) -> None:
        """Take note of a trial; `measure` may say so at once, lest an interruption loses the others of its batch."""
        self.trials[trial.config] = trial
        self._studies[trial.config.variant].learn(trial, self._penalty())
        for waiting in (self._first, self._rest):
            if trial.config in waiting:
                waiting.remove(trial.config)

    def leave(self, configs: Iterable[Config]) -> None:
        """Propose these no more, unless they are taken back: somebody else tries them."""
        for config in configs:
            for waiting in (self._first, self._rest):
                if config in waiting:
                    waiting.remove(config)
                    self._left.append(config)

    def take_back(self, configs: Collection[Config]) -> None:
        """Propose these again."""
        self._left = [config for config in self._left if config not in configs]
        self._rest += configs

    @property
    def left(self) -> list[Config]:
        """What was left to others, and is not yet learnt."""
        return [config for config in self._left if config not in self.trials]

    def _valid(self, config: Config) -> Config | None:
        """The config or, where a rule excludes it, the nearest valid one; None where it is of another space."""
        if config in self.space:
            return config
        study, valid = self._studies.get(config.variant), self.space.configs.get(config.variant, ())
        return study.nearest(config, valid) if study is not None and valid else None

    def _next(self, count: int, allowed: int) -> list[Config]:
        if self._first:
            return self._first[:count]
        self.is_enumerating = len(self._rest) <= allowed
        if self.is_enumerating:
            return self._rest[:count]
        chosen: list[Config] = []
        for _ in range(count):
            free = [config for config in self._rest if config not in chosen]
            names = [name for name in self._studies if any(config.variant == name for config in free)]
            if not names:
                break
            (name,) = self._random.choices(names, [self._promise(name) for name in names])
            mine = [config for config in free if config.variant == name]
            near = self._neighbour(mine) if self._random.random() < _NEAR else None
            chosen.append(near or self._studies[name].ask(mine))
        return chosen

    def _neighbour(self, free: Sequence[Config]) -> Config | None:
        """Of the free configs that differ from the variant's best in one param, the most promising.

        A value promises what the fastest config that had it took, and one that was never tried everything; a config
        promises what the least promising of its values does.
        """
        tried = [trial for trial in self._of(free[0].variant) if trial.failure is None]
        if not tried:
            return None
        best = dict(min(tried, key=lambda trial: trial.rank).config.params)
        near = [config for config in free if sum(best[name] != value for name, value in config.params) == 1]
        promises: dict[tuple[str, Value], float] = {}
        for trial in self._of(free[0].variant):
            seconds = self._penalty() if trial.timing is None else trial.rank
            for param in trial.config.params:
                promises[param] = min(seconds, promises.get(param, math.inf))
        return min(
            near,
            key=lambda config: max(promises.get(param, 0.0) for param in config.params),
            default=None,
        )

    def _of(self, variant: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.config.variant == variant]

    def _promise(self, variant: str) -> float:
        """The variant's share of the budget: falls with the distance of its best from the best of all."""
        tried = self._of(variant)
        if self.best is None or len(tried) < _FIRST_LOOK:
            return 1.0
        mine = min((trial.rank for trial in tried if trial.failure is None), default=None)
        return 0.01 if mine is None else max(0.01, float((self.best.rank / mine) ** _DISCOUNT))

    def _successes(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.failure is None]

    def _penalty(self) -> float:
        return _PENALTY * max((trial.rank for trial in self._successes()), default=1.0)


class _Study:
    """One variant's Optuna study, made when it is first asked; until then it only remembers."""

    def __init__(self, space: Space, variant: Variant, seed: int) -> None:
        self._choices = dict(variant.params(space.problem, space.facts))
        self._name = variant.name
        self._seed = seed
        self._count = len(space.configs[variant.name])
        self._study: optuna.Study | None = None
        self._asked: dict[Config, optuna.trial.Trial] = {}
        self._learnt: list[tuple[Trial, float]] = []

    def ask(self, free: Sequence[Config]) -> Config:
        """The sampler's proposal or, where that has been tried or is not valid, its nearest free neighbour.

        Args:
            free: The configs that may still be proposed; at least one.
        """
        import optuna

        if self._study is None:
            self._study = self._new_study()
            for trial, value in self._learnt:
                self._add(trial, value)
        asked = self._study.ask(self._distributions())
        proposal = Config.of(self._name, asked.params)
        if proposal in free:
            self._asked[proposal] = asked
            return proposal
        # Nothing new to learn from this one; what its neighbour gives is added as a trial of its own.
        self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return min(free, key=lambda config: self._distance(config, proposal))

    def nearest(self, wanted: Config, configs: Sequence[Config]) -> Config | None:
        """The nearest of some configs; None where what is wanted has params or values that are none of the choices."""
        given = dict(wanted.params)
        if given.keys() != self._choices.keys() or any(
            given[name] not in values for name, values in self._choices.items()
        ):
            return None
        return min(configs, key=lambda config: self._distance(config, wanted))

    def learn(self, trial: Trial, penalty: float) -> None:
        """Tell the sampler what became of a config: its seconds, or a finite penalty for a failure."""
        value = penalty if trial.timing is None else trial.rank
        asked = self._asked.pop(trial.config, None)
        if self._study is None:
            self._learnt.append((trial, value))
        elif asked is None:
            self._add(trial, value)
        else:
            if trial.failure is not None:
                asked.set_user_attr("failure", trial.failure)
            self._study.tell(asked, value)

    def _add(self, trial: Trial, value: float) -> None:
        import optuna

        assert self._study is not None
        attributes = {} if trial.failure is None else {"failure": trial.failure}
        self._study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.config.params),
                distributions=self._distributions(),
                value=value,
                user_attrs=attributes,
            )
        )

    def _new_study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            # Said of `multivariate` and `constant_liar`, whose defaults differ between Optuna 4 and 5.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                multivariate=True,
                constant_liar=True,
                n_startup_trials=min(_MOST_STARTUP, max(2, self._count // 10)),
                seed=self._seed,
            )
        return optuna.create_study(sampler=sampler, direction="minimize")

    def _distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        import optuna

        return {
            name: optuna.distributions.CategoricalDistribution(values)
            for name, values in self._choices.items()
        }

    def _distance(self, config: Config, other: Config) -> float:
        """Steps between two configs along the ordered choices, each choice counting alike."""
        return sum(
            abs(values.index(config[name]) - values.index(other[name])) / max(len(values) - 1, 1)
            for name, values in self._choices.items()
        )
