"""Why a config serves a problem: it and its rivals, what each costs, what limits it, and why others are left out."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ssmgen import store
from ssmgen.config import Config
from ssmgen.errors import TargetUnavailableError
from ssmgen.kernels import Space
from ssmgen.model import KernelCost
from ssmgen.problem import Problem
from ssmgen.report.kernel import Choice, choose
from ssmgen.store import Match
from ssmgen.targets import Target
from ssmgen.targets.devices import Device
from ssmgen.tuning import Observer, Trial, Tuner
from ssmgen.tuning.predicted import Forecast, Forecaster, is_predictable
from ssmgen.tuning.search import default_configs

__all__ = ["Explanation", "Row", "explain"]

_SECONDS = 90.0
_ROWS = 12


@dataclass(frozen=True)
class Row:
    """One config.

    Attributes:
        config: The config.
        measured: What became of it when it was timed here; None where it was not.
        cost: What its machine code costs; None where it was not compiled, and on a CPU.
        predicted: Seconds that it should take; None without a cost that is accounted for.
        failure: Why there is no time, or no trust in one; None where all is well.
    """

    config: Config
    measured: Trial | None = None
    cost: KernelCost | None = None
    predicted: float | None = None
    failure: str | None = None

    @property
    def seconds(self) -> float | None:
        """The measured time, or else the predicted one."""
        if self.measured is not None and self.measured.timing is not None:
            return self.measured.seconds
        return self.predicted


@dataclass(frozen=True)
class Explanation:
    """What is known of a problem's configs on a device.

    Attributes:
        problem: The problem.
        target: The target.
        choice: The config that serves it, and why.
        rows: That config, then the others, the fastest first.
        device: The device that times are predicted for; None on a CPU.
        space: The valid configs, and how many each rule leaves out.
        fallback: The tuned config that would serve without the one of these sizes; None where a default would.
        unknown: Rivals whose time is not known: there was no time to compile them, or they were never timed.
    """

    problem: Problem
    target: Target
    choice: Choice
    rows: tuple[Row, ...]
    device: Device | None
    space: Space
    fallback: Match | None
    unknown: int

    def rules(self) -> list[tuple[str, str, int, str]]:
        """(variant, rule, how many configs, reason) of what static rules leave out, the most first."""
        reasons = {
            (variant.name, rule.name): rule.reason
            for variant in self.space.variants
            for rule in variant.rules
        }
        return [
            (variant, rule, count, reasons[variant, rule])
            for (variant, rule), count in self.space.excluded.most_common()
        ]


def explain(
    problem: Problem, target: Target, text: str | None = None, observer: Observer | None = None
) -> Explanation:
    """Explain the choice of a problem's config.

    Rivals are what was timed here, the default of each variant, and the configs that differ from the chosen one in a
    single param. On a GPU, here or only named, they are compiled and their times predicted, in a minute and a half at
    most.

    Args:
        problem: The problem.
        target: Its target.
        text: A config to explain in the place of the one that serves.
        observer: Told of every config that is compiled.

    Raises:
        InvalidInputError: The config is none of the space: the message names the rule that excludes it, and why.
        TargetUnavailableError: The target has no kernels.
    """
    if target.facts.kind == "interpret":
        raise TargetUnavailableError(
            "target 'interpret' runs kernels to check them: there is no choice to explain; name cpu or a GPU."
        )
    if target.language == "none":
        raise TargetUnavailableError(
            f"target {target.name!r} is plain PyTorch and has no configs to explain; choose another with --target."
        )
    choice = choose(problem, target, text)
    space = target.space(problem)
    measured = _measured(problem, target, space)
    rivals = _rivals(space, choice.config, measured)
    found: Forecast | None = None
    if is_predictable(target):
        with Forecaster(target.name) as forecaster:
            found, _ = forecaster.forecast(
                space.where(rivals.__contains__), seconds=_SECONDS, every=True, observer=observer
            )
    rows = [_row(config, measured.get(config), found) for config in rivals]
    rows.sort(key=lambda row: (row.config != choice.config, row.seconds or inf))
    unknown = [row for row in rows if row.seconds is None and row.failure is None]
    kept = [row for row in rows if row not in unknown or row.config == choice.config]
    return Explanation(
        problem,
        target,
        choice,
        tuple(kept[:_ROWS]),
        None if found is None else found.device,
        space,
        _fallback(problem, target, space),
        len(unknown),
    )


def _measured(problem: Problem, target: Target, space: Space) -> dict[Config, Trial]:
    """What was timed here in earlier runs and still holds."""
    if not target.facts.present:
        return {}
    with Tuner(target.name) as tuner:
        return tuner.known(space)


def _rivals(space: Space, chosen: Config, measured: dict[Config, Trial]) -> list[Config]:
    """The chosen config, defaults, what was timed best, and the chosen one's neighbours."""
    timed = sorted((trial for trial in measured.values() if trial.failure is None), key=lambda x: x.seconds)
    near = [
        config
        for config in space.configs.get(chosen.variant, ())
        if sum(config[name] != value for name, value in chosen.params) == 1
    ]
    ordered = (chosen, *(trial.config for trial in timed[:_ROWS]), *default_configs(space), *near)
    return list(dict.fromkeys(ordered))


def _row(config: Config, measured: Trial | None, found: Forecast | None) -> Row:
    trial = None if found is None else found.search.trials.get(config)
    failed = next((x.failure for x in (measured, trial) if x is not None and x.failure is not None), None)
    predicted = None if trial is None or trial.timing is None else trial.seconds
    return Row(config, measured, None if found is None else found.costs.get(config), predicted, failed)


def _fallback(problem: Problem, target: Target, space: Space) -> Match | None:
    """What would serve if nothing were tuned for this class on this device."""
    wanted = problem.problem_class()

    def may_serve(entry: store.TunedConfig) -> bool:
        own = entry.problem.problem_class() == wanted and entry.device.name == target.facts.name
        return not own and entry.config in space

    return store.lookup(problem, target.facts, may_serve)
