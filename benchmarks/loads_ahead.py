"""What loads that start rounds ahead are predicted to bring: the sequential scan with and without them.

    python -m benchmarks.loads_ahead
    python -m benchmarks.loads_ahead --target rtx4090 --target mi300x

Needs no GPU, and some minutes. Of a few configs of one warp each, with `stages` off and on, the fastest that does not
spill is shown, for eight sequences, which leave most of the device idle, and for 64, which fill it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.limits import scan
from ssmgen.config import Config
from ssmgen.kernels import Space
from ssmgen.model import KernelCost, kernel_cost
from ssmgen.targets import target
from ssmgen.targets.devices import device_of
from ssmgen.targets.gpu import GpuTarget

_TARGETS = ("a100", "h100", "b200", "mi300x")
_PLACES = ((16, 8), (16, 64), (64, 64))  # states and sequences


def _configs(space: Space, ahead: bool) -> Iterator[Config]:
    """Configs that differ in what decides how long a warp waits, each way of computing 2^x being the default's."""
    same = {name: space.default()[name] for name in ("exp", "poly", "num_warps")}
    for config in space.configs["sequential"]:
        params = dict(config.params)
        few = config.integer("unroll") <= 4 and config.integer("block_d") <= 128
        if few and same.items() <= params.items() and (config["stages"] != 1) == ahead:
            yield config


def _best(place: GpuTarget, space: Space, ahead: bool) -> KernelCost:
    device = device_of(place.facts.name, place.facts.arch)
    costs = (kernel_cost(place, space.problem, config) for config in _configs(space, ahead))
    return min(costs, key=lambda cost: (cost.spills > 0, cost.seconds(device)))


def main(
    names: Annotated[list[str] | None, typer.Option("--target", help="a GPU that need not be here")] = None,
) -> None:
    """Print the table."""
    table = Table("GPU", "states", "sequences", "ms", "ms, ahead", "gain", "limit", title="Loads ahead")
    for name in names or _TARGETS:
        place = target(name)
        assert isinstance(place, GpuTarget), "only GPUs have machine code of this kind"
        device = device_of(place.facts.name, place.facts.arch)
        for states, batch in _PLACES:
            problem = scan("bf16", states, D=True, z=True, softplus=True).with_dims(batch=batch)
            space = place.space(problem)
            off, on = (_best(place, space, ahead) for ahead in (False, True))
            seconds = off.seconds(device), on.seconds(device)
            table.add_row(
                name,
                str(states),
                str(batch),
                *(f"{each * 1e3:.2f}" for each in seconds),
                f"{seconds[0] / seconds[1]:.1f}x",
                on.limit(device),
            )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
