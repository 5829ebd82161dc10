"""Predict the tuned configs that ship for GPUs, and save them; needs no GPU.

    python -m benchmarks.ship_configs            # every device, then those for any
    python -m benchmarks.ship_configs h200       # one device again

The grid of problems is `GRID`. For each of its problems, at most `TRIALS` configs are compiled for the architecture
and ranked by their predicted time; the search is seeded and bounded by a number, not by time, so a second run gives
the same configs. Devices of one architecture share the search of the first. Entries for any NVIDIA GPU
(`cuda-generic`) are the configs, out of the best and the untuned ones of all architectures, whose worst loss against
an architecture's own best is the least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress

import ssmgen
from benchmarks.limits import problem
from ssmgen import store
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.errors import SsmgenError
from ssmgen.model import KernelCost, kernel_cost
from ssmgen.problem import Option, Problem
from ssmgen.store import TunedConfig
from ssmgen.store.lookup import GENERIC
from ssmgen.targets import target
from ssmgen.targets.devices import DEVICES, device_of
from ssmgen.targets.gpu import GpuTarget
from ssmgen.tuning.predicted import Forecaster, predicted_entry

SHIPPED = ("a100", "h100", "h200", "b200", "rtx4090", "rtx5090", "mi300x")
TRIALS = {"forward": 20, "backward": 12}  # gradients have smaller spaces, and take longest to compile
_SECONDS = 3600.0  # what bounds a search is the number of its trials
_FOLDER = Path(__file__).parent.parent / "tuned_configs"


class Cell(NamedTuple):
    """A problem of the grid, less its direction's saved states."""

    op: str
    dtype: str
    sizes: Mapping[str, int]
    options: Mapping[str, Option]
    direction: str = "forward"


def _scan(batch: int, dim: int, seqlen: int, layout: str, direction: str = "forward", saved: int = 0) -> Cell:
    sizes = {"batch": batch, "dim": dim, "seqlen": seqlen}
    return Cell("selective_scan", "bf16", sizes, {"layout": layout, "saved": saved}, direction)


# Mamba's sizes from 130M to 2.8B parameters, in training and in serving, S4's of the Long Range Arena.
GRID = (
    _scan(1, 1536, 2048, "time"),
    _scan(8, 1536, 2048, "time"),
    _scan(64, 4096, 2048, "time"),
    _scan(1, 4096, 65536, "time"),
    _scan(8, 1536, 2048, "channel"),
    # Of training, pairs: which of them a call takes depends on the sum of both.
    *(_scan(8, 1536, 2048, "time", way, saved) for saved in (4, 32) for way in ("forward", "backward")),
    *(_scan(1, 1536, 16384, "time", way, 32) for way in ("forward", "backward")),
    Cell("selective_state_update", "bf16", {"batch": 1}, {}),
    Cell("selective_state_update", "bf16", {"batch": 64, "dim": 4096}, {}),
    Cell("linear_scan", "bf16", {"batch": 8}, {}),
    Cell("linear_scan", "bf16", {"batch": 8}, {}, "backward"),
    Cell("cauchy_mult", "c64", {}, {}),
    Cell("dplr_kernel", "c64", {}, {}),
    Cell("log_vandermonde", "c64", {}, {}),
)


def problem_of(cell: Cell) -> Problem:
    """The exact problem of a cell."""
    return problem(cell.op, cell.dtype, cell.sizes, cell.direction, **cell.options)


class Found(NamedTuple):
    """What the search of one problem on one architecture has found."""

    problem: Problem
    costs: dict[Config, KernelCost]
    configs: tuple[Config, ...]  # those that did not fail


def _searched(forecaster: Forecaster, cell: Cell) -> Found:
    problem = problem_of(cell)
    space = forecaster.target.space(problem)
    found, interrupted = forecaster.forecast(space, seconds=_SECONDS, max_trials=TRIALS[cell.direction])
    if interrupted:
        raise KeyboardInterrupt
    return Found(problem, dict(found.costs), tuple(found.ranked))


def _best(found: Found, name: str) -> tuple[Config, float]:
    """The fastest config on a device that does not spill, if there is one."""
    device = DEVICES[name]

    def rank(config: Config) -> tuple[bool, float, str]:
        cost = found.costs[config]
        return cost.spills > 0, cost.seconds(device), str(config)

    best = min(found.configs, key=rank)
    return best, found.costs[best].seconds(device)


def _entry(
    facts: DeviceFacts, problem: Problem, config: Config, seconds: float, cost: KernelCost
) -> TunedConfig:
    versions = {"ssmgen": ssmgen.__version__, "triton": target("sm_90").versions()["triton"]}
    return predicted_entry(problem, facts, config, seconds, cost.source_hash, versions)


def _searches(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The device that stands for each architecture in its search, and those of the devices that share it."""
    for arch in dict.fromkeys(DEVICES[name].arch for name in names):
        first = next(name for name in SHIPPED if DEVICES[name].arch == arch)
        yield first, [name for name in names if DEVICES[name].arch == arch]


def _generic(found: Mapping[str, Found]) -> TunedConfig | None:
    """The config, of the best and the untuned ones of NVIDIA's architectures, that loses least where it loses most.

    One that spills anywhere comes after all that do not.
    """
    bests = {name: _best(item, name) for name, item in found.items() if DEVICES[name].arch.startswith("sm_")}
    worst: dict[Config, tuple[bool, float]] = {}
    problem = next(iter(found.values())).problem
    untuned = [target(name).space(problem).default() for name in bests]
    for config in dict.fromkeys((*(config for config, _ in bests.values()), *untuned)):
        losses, spills = [], False
        for name, (_, seconds) in bests.items():
            place = target(name)
            assert isinstance(place, GpuTarget)
            try:
                cost = kernel_cost(place, found[name].problem, config)
            except SsmgenError:
                break
            spills |= cost.spills > 0
            losses.append(cost.seconds(device_of(place.facts.name, place.facts.arch)) / seconds)
        else:
            worst[config] = spills, max(losses)
    if not worst:
        return None
    best = min(worst, key=lambda config: (worst[config], str(config)))
    item = next(iter(found.values()))
    facts = DeviceFacts("cuda", GENERIC, GENERIC, 32, 1024, 255, 99 * 1024)
    place = target("h100")
    assert isinstance(place, GpuTarget)
    cost = kernel_cost(place, item.problem, best)
    return _entry(facts, item.problem, best, cost.seconds(DEVICES["h100"]), cost)


def main(
    devices: Annotated[list[str] | None, typer.Argument(help="which devices", show_default="all")] = None,
    out: Annotated[Path, typer.Option(help="folder of tuned configs")] = _FOLDER,
) -> None:
    """Search, rank, save."""
    names = list(devices or SHIPPED)
    searches = list(_searches(names))
    by_cell: dict[int, dict[str, Found]] = {}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("problems", total=len(searches) * len(GRID))
        for first, sharing in searches:
            with Forecaster(first) as forecaster:
                for number, cell in enumerate(GRID):
                    found = _searched(forecaster, cell)
                    by_cell.setdefault(number, {})[first] = found
                    for name in sharing:
                        config, seconds = _best(found, name)
                        cost = found.costs[config]
                        store.save([_entry(target(name).facts, found.problem, config, seconds, cost)], out)
                    progress.advance(task)
        if not devices:
            entries = [entry for item in by_cell.values() if (entry := _generic(item)) is not None]
            store.save(entries, out)


if __name__ == "__main__":
    typer.run(main)
