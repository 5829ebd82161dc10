"""Predict the tuned configs that ship for GPUs, and save them; needs no GPU.

    python -m benchmarks.ship_configs            # every device, then those for any
    python -m benchmarks.ship_configs h200       # one device again

The problems are those of `benchmarks.grid`. Configs are searched for a few shapes of each group: at most `TRIALS` of
them are compiled for the architecture and ranked by their predicted time; the search is seeded and bounded by a
number, not by time, so a second run gives the same configs. The best of them are then compiled for every shape of the
group, and of these the fewest are kept with which no shape loses more than `WORST` against its own best. A shape whose
nearest neighbour's entry serves it as well needs none of its own. Devices of one architecture share the search of the
first.

Entries for any NVIDIA GPU (`cuda-generic`) are chosen likewise, out of what the architectures keep and their untuned
configs, by what a config loses on the architecture where it loses most.

What the number of configs is worth is written to `benchmarks/results/few.json`, and drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

import ssmgen
from benchmarks.few_picture import draw
from benchmarks.grid import GRID, Group
from ssmgen import store
from ssmgen.codegen import write_atomically
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space
from ssmgen.model import KernelCost
from ssmgen.problem import Problem
from ssmgen.store import TunedConfig
from ssmgen.store.files import config_path
from ssmgen.store.lookup import GENERIC
from ssmgen.targets import target
from ssmgen.targets.devices import DEVICES, Device
from ssmgen.tuning.few import Few, few_for_many
from ssmgen.tuning.predicted import Forecaster, predicted_entry

SHIPPED = ("a100", "h100", "h200", "b200", "rtx4090", "rtx5090", "mi300x")
TRIALS = {"forward": 20, "backward": 12}  # gradients have smaller spaces, and take longest to compile
CANDIDATES = 4  # of each shape that is searched, for all shapes of its group
WORST = 0.05
RESULTS = Path(__file__).parent / "results" / "few.json"
_SECONDS = 3600.0  # what bounds a search is the number of its trials
_FOLDER = Path(__file__).parent.parent / "tuned_configs"

Costs = dict[Problem, dict[Config, KernelCost]]
Times = dict[Problem, dict[Config, float]]


class Table(NamedTuple):
    """What a device's table holds of one group.

    Attributes:
        curve: The choices by their number of configs.
        chosen: The one that is kept.
        entries: The problems that have an entry, and their configs.
    """

    curve: Sequence[Few]
    chosen: Few
    entries: Mapping[Problem, Config]


def searched(forecaster: Forecaster, group: Group) -> Costs:
    """Costs of the candidates of a group, for each of its problems on an architecture."""
    costs: Costs = {}
    waiting = [group.problem(sizes) for sizes in group.searched]
    tried: set[Problem] = set()
    while waiting:
        candidates: list[Config] = []
        for problem in waiting:
            space = forecaster.target.space(problem)
            costs[problem] = ranked(forecaster, space, TRIALS[group.direction])
            candidates += (*tuple(costs[problem])[:CANDIDATES], space.default())
        count(forecaster, costs, group.problems(), candidates)
        tried |= set(waiting)
        # A shape for which every candidate is too large is searched, too.
        waiting = [problem for problem in group.problems() if not costs[problem] and problem not in tried][:1]
    return costs


def count(
    forecaster: Forecaster, costs: Costs, problems: Iterable[Problem], configs: Sequence[Config]
) -> None:
    """Add what is missing of the configs' costs for problems; configs that fail, or are none of a space, stay out."""
    for problem in problems:
        known = costs.setdefault(problem, {})
        missing = frozenset(configs) - known.keys()
        space = forecaster.target.space(problem).where(missing.__contains__)
        if len(space):
            known |= ranked(forecaster, space)


def ranked(forecaster: Forecaster, space: Space, trials: int | None = None) -> dict[Config, KernelCost]:
    """Costs of what does not fail, the best first: of so many configs that a search proposes, or of all."""
    found, interrupted = forecaster.forecast(space, seconds=_SECONDS, max_trials=trials, every=trials is None)
    if interrupted:
        raise KeyboardInterrupt
    return {config: found.costs[config] for config in found.ranked}


def times(costs: Costs, device: Device) -> Times:
    """Predicted seconds on a device. Configs that spill serve only problems for which every config does."""
    found: Times = {}
    for problem, known in costs.items():
        kept = {config: cost for config, cost in known.items() if not cost.spills} or known
        found[problem] = {config: cost.seconds(device) for config, cost in kept.items()}
    return found


def table(seconds: Times) -> Table:
    """The fewest configs with which no problem loses more than `WORST`, and the entries that say so."""
    curve = few_for_many(seconds)
    chosen = next((few for few in curve if few.worst <= WORST), curve[-1])
    return Table(curve, chosen, entries(chosen, seconds))


def entries(chosen: Few, seconds: Times) -> dict[Problem, Config]:
    """The best of the chosen configs for each problem, less the problems that need no entry of their own."""
    kept = {
        problem: min(chosen.configs, key=lambda config: known.get(config, inf))
        for problem, known in seconds.items()
    }
    bound = max(chosen.worst, WORST)
    for problem in reversed(tuple(kept)):
        others = {other: config for other, config in kept.items() if other != problem}
        if others and all(loss(known, nearest(each, others)) <= bound for each, known in seconds.items()):
            kept = others
    return kept


def nearest(problem: Problem, entries: Mapping[Problem, Config]) -> Config:
    """The config that dispatch would take for a problem: see `ssmgen.store.lookup`."""
    wanted = problem.problem_class()

    def rank(other: Problem) -> tuple[float, str]:
        distance = wanted.distance(other.problem_class())
        return inf if distance is None else distance, str(other)

    return entries[min(entries, key=rank)]


def loss(seconds: Mapping[Config, float], config: Config) -> float:
    """By how much a config is slower than the best."""
    return seconds.get(config, inf) / min(seconds.values()) - 1.0


def for_any(costs: Mapping[str, Costs]) -> Table:
    """The table for any of some devices, by the worst ratio of a config's time to the best one on each of these."""
    ratios: dict[Problem, dict[Config, float]] = {}
    every = {name: times(found, DEVICES[name]) for name, found in costs.items()}
    for problem in next(iter(every.values())):
        known = [seconds[problem] for seconds in every.values()]
        common = [config for config in known[0] if all(config in seconds for seconds in known)]
        ratios[problem] = {config: 1.0 + max(loss(seconds, config) for seconds in known) for config in common}
    return table({problem: found for problem, found in ratios.items() if found})


def saved(facts: DeviceFacts, item: Table, costs: Costs, device: Device) -> list[TunedConfig]:
    """The entries of a table, as they are saved."""
    versions = {"ssmgen": ssmgen.__version__, "triton": target("sm_90").versions()["triton"]}
    found = []
    for problem, config in item.entries.items():
        cost = costs[problem][config]
        found.append(
            predicted_entry(problem, facts, config, cost.seconds(device), cost.source_hash, versions)
        )
    return found


def architectures(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The device that stands for each architecture in its search, and those of the devices that share it."""
    for arch in dict.fromkeys(DEVICES[name].arch for name in names):
        first = next(name for name in SHIPPED if DEVICES[name].arch == arch)
        yield first, [name for name in names if DEVICES[name].arch == arch]


def curve_data(item: Table) -> dict[str, Any]:
    """What is recorded of a table."""
    choices = [
        {"configs": [str(config) for config in few.configs], "worst": few.worst, "mean": few.mean}
        for few in item.curve
    ]
    return {"shapes": len(item.chosen.losses), "kept": len(item.chosen.configs), "choices": choices}


def chosen_for(
    group: Group, forecasters: Mapping[str, Forecaster], names: Sequence[str], with_any: bool
) -> tuple[dict[str, Table], dict[str, list[TunedConfig]]]:
    """The tables of a group, and their entries, by device.

    Args:
        group: The group.
        forecasters: By the device that stands for its architecture.
        names: The devices.
        with_any: Whether to choose for any NVIDIA GPU, too.
    """
    costs = {first: searched(forecaster, group) for first, forecaster in forecasters.items()}
    first_of = {name: first for first, sharing in architectures(names) for name in sharing}
    tables = {name: table(times(costs[first], DEVICES[name])) for name, first in first_of.items()}
    found = {
        name: saved(target(name).facts, tables[name], costs[first], DEVICES[name])
        for name, first in first_of.items()
    }
    if with_any:
        nvidia = {
            first: forecaster
            for first, forecaster in forecasters.items()
            if DEVICES[first].arch.startswith("sm_")
        }
        kept = [config for first in nvidia for config in tables[first].chosen.configs]
        for forecaster in nvidia.values():
            kept += [forecaster.target.space(problem).default() for problem in group.problems()]
        for first, forecaster in nvidia.items():
            count(forecaster, costs[first], group.problems(), kept)
        tables[GENERIC] = for_any({first: costs[first] for first in nvidia})
        facts = DeviceFacts("cuda", GENERIC, GENERIC, 32, 1024, 255, 99 * 1024)
        found[GENERIC] = saved(facts, tables[GENERIC], costs["h100"], DEVICES["h100"])
    return tables, found


def main(
    devices: Annotated[list[str] | None, typer.Argument(help="which devices", show_default="all")] = None,
    out: Annotated[Path, typer.Option(help="folder of tuned configs")] = _FOLDER,
    results: Annotated[Path, typer.Option(help="what the number of configs is worth, as JSON")] = RESULTS,
) -> None:
    """Search, choose, save, draw."""
    names = list(devices or SHIPPED)
    firsts = [first for first, _ in architectures(names)]
    curves: dict[str, dict[str, Any]] = json.loads(results.read_text()) if results.exists() else {}
    every: list[TunedConfig] = []
    with Progress(console=Console(stderr=True)) as progress, ExitStack() as stack:
        task = progress.add_task("groups", total=len(GRID))
        forecasters = {first: stack.enter_context(Forecaster(first)) for first in firsts}
        for group in GRID:
            tables, found = chosen_for(group, forecasters, names, with_any=devices is None)
            every += [entry for device in found.values() for entry in device]
            curves[group.name] = curves.get(group.name, {}) | {
                name: curve_data(item) for name, item in tables.items()
            }
            progress.advance(task)
    for path in {config_path(out, entry.device, entry.problem.op) for entry in every}:
        path.unlink(missing_ok=True)
    store.save(every, out)
    write_atomically(results, json.dumps(curves, indent=1) + "\n")
    draw(curves)


if __name__ == "__main__":
    typer.run(main)
