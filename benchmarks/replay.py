"""Searches replayed on recorded sweeps: the tuner's own code, with the recording in place of a machine."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import optuna

from benchmarks.recording import Recording
from ssmgen.config import Config
from ssmgen.tuning.decide import finalists, winner
from ssmgen.tuning.search import Search
from ssmgen.tuning.trial import Timing, Trial

__all__ = ["STRATEGIES", "Strategy", "exhaustive", "ours", "plain_tpe", "random_search", "regrets", "trial"]

# Of the recorded rounds, which a search sees of a config: it times each once, for a fifth of a second.
_SEEN = 9
_BATCH = 4  # configs that are compiled together, as a run on two cores does
_MOST_ASKS = 20  # for each config: a sampler that proposes nothing new after so many is done

# From a recording and a seed to the configs that are measured, one after another, and what was seen of each.
Strategy = Callable[[Recording, int, int], list[Trial]]


def trial(recording: Recording, config: Config, seed: int) -> Trial:
    """What a measurement sees: some of the recorded rounds, the same for the same seed."""
    rounds = recording.rounds[config]
    seen = random.Random(f"{seed} {config}").sample(list(rounds), min(_SEEN, len(rounds)))
    return Trial(config, Timing.of(seen))


def ours(recording: Recording, seed: int, count: int) -> list[Trial]:
    """The tuner's search."""
    tried: list[Trial] = []

    def measure(configs: Sequence[Config]) -> list[Trial]:
        found = [trial(recording, config, seed) for config in configs]
        tried.extend(found)
        return found

    Search(recording.space, seed=seed).run(measure, lambda: count - len(tried), _BATCH)
    return tried


def random_search(recording: Recording, seed: int, count: int) -> list[Trial]:
    """Configs drawn without replacement."""
    drawn = random.Random(seed).sample(list(recording.rounds), count)
    return [trial(recording, config, seed) for config in drawn]


def exhaustive(recording: Recording, seed: int, count: int) -> list[Trial]:
    """Configs in the order of the choices, the first ones of the space."""
    return [trial(recording, config, seed) for config in list(recording.rounds)[:count]]


def plain_tpe(recording: Recording, seed: int, count: int) -> list[Trial]:
    """Optuna's default sampler on one study of all variants: what is not valid fails and costs nothing.

    What it proposes again is measured again, as it would be by a loop that does not look.
    """
    space = recording.space
    params = {variant.name: variant.params(space.problem, space.facts) for variant in space.variants}
    tried: list[Trial] = []

    def propose(asked: optuna.Trial) -> Config:
        names = [name for name in params if space.configs[name]]
        name = asked.suggest_categorical("variant", names) if len(names) > 1 else names[0]
        return Config.of(
            name,
            {key: asked.suggest_categorical(f"{name}.{key}", values) for key, values in params[name].items()},
        )

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(_MOST_ASKS * count):
        if len(tried) == count:
            break
        asked = study.ask()
        config = propose(asked)
        if config not in recording.rounds:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
            continue
        tried.append(trial(recording, config, seed))
        study.tell(asked, tried[-1].rank)
    return tried


STRATEGIES: dict[str, Strategy] = {
    "in order": exhaustive,
    "random": random_search,
    "plain TPE": plain_tpe,
    "ssmgen": ours,
}


def regrets(recording: Recording, strategy: Strategy, seed: int, most: int) -> list[float]:
    """How much slower than the best of the whole sweep the choice is, after one config, after two, up to `most`.

    The choice is the tuner's: the fastest few are compared round by round, and a tie goes to the simpler.
    """
    best = min(map(recording.seconds, recording.rounds))
    default = recording.space.default()
    tried = strategy(recording, seed, most)
    found = []
    for count in range(1, most + 1):
        rounds = {config: recording.rounds[config] for config in finalists(tried[:count], default)}
        found.append(recording.seconds(winner(rounds, default)[0]) / best - 1.0)
    return found
