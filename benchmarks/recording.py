"""Full sweeps: the times of every valid config of a problem on one machine, in a file to replay searches on."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssmgen.bench import machine_facts
from ssmgen.codegen import write_atomically
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.kernels import Space, variants
from ssmgen.problem import Problem
from ssmgen.targets import Target
from ssmgen.tuning.measure import Bench, busy_seconds
from ssmgen.tuning.trial import Timing

ROUNDS = 41
# In a round, of which the fastest counts: what else the machine does meanwhile only makes a run longer.
RUNS = 3


@dataclass(frozen=True)
class Recording:
    """What a sweep has found.

    Attributes:
        problem: The problem.
        facts: The device, by whose facts the space was made.
        rounds: Seconds of each config, one for each round; within a round all configs ran one after another.
        about: The machine, the date and how busy other processes kept it.
    """

    problem: Problem
    facts: DeviceFacts
    rounds: Mapping[Config, Sequence[float]]
    about: Mapping[str, Any]

    @property
    def space(self) -> Space:
        """The space as it was on that machine, whatever rules would say on this one."""
        found = [
            variant
            for variant in variants(self.problem.op, "c")
            if variant.direction == self.problem.direction and variant.supports(self.problem)
        ]
        space = Space.of(self.problem, self.facts, found)
        recorded = {
            variant.name: tuple(config for config in self.rounds if config.variant == variant.name)
            for variant in found
        }
        return Space(space.problem, space.facts, space.variants, recorded, space.excluded)

    def seconds(self, config: Config) -> float:
        """What a config takes: the first quartile, since what disturbs a run only ever makes it longer."""
        return Timing.of(self.rounds[config]).quartiles[0]

    @staticmethod
    def read(path: Path) -> Recording:
        """The recording that `write` wrote."""
        data = json.loads(path.read_text())
        problem = data["problem"]
        return Recording(
            problem=Problem.of(
                problem["op"], problem["dims"], problem["dtype"], problem["options"], problem["direction"]
            ),
            facts=DeviceFacts(**data["device"]),
            rounds={
                Config.parse(name): [1e-7 * value for value in values]
                for name, values in data["tenths_of_us"].items()
            },
            about=data["about"],
        )

    def write(self, path: Path) -> None:
        """Save it, times in tenths of a microsecond."""
        problem = self.problem
        data = {
            "about": self.about,
            "device": vars(self.facts),
            "problem": {
                "op": problem.op,
                "direction": problem.direction,
                "dtype": problem.dtype,
                "dims": dict(problem.dims),
                "options": dict(problem.options),
            },
        }
        lines = [
            f"    {json.dumps(str(config))}: {json.dumps([round(1e7 * value) for value in values])}"
            for config, values in self.rounds.items()
        ]
        head = json.dumps(data, indent=2).removesuffix("\n}")
        write_atomically(path, head + ',\n  "tenths_of_us": {\n' + ",\n".join(lines) + "\n  }\n}\n")


def record(target: Target, problem: Problem, said: Callable[[str], None], command: str) -> Recording:
    """Compile every valid config, then time all of them in turns, in another order in each round."""
    space, bench = target.space(problem), Bench(target, problem)
    configs = [config for found in space.configs.values() for config in found]
    said(f"compiling {len(configs)} configs")
    with ThreadPoolExecutor() as pool:
        runs = dict(zip(configs, pool.map(bench.rotating, configs), strict=True))
    for run in runs.values():
        run.untimed()
    rounds: dict[Config, list[float]] = {config: [] for config in configs}
    order, draw, before = list(configs), random.Random(0), busy_seconds()
    start = datetime.datetime.now(datetime.timezone.utc)
    for number in range(ROUNDS):
        said(f"round {number + 1} of {ROUNDS}")
        draw.shuffle(order)
        for config in order:
            run = runs[config]
            rounds[config].append(min(target.time(run, RUNS, run.restore)))
    passed = (datetime.datetime.now(datetime.timezone.utc) - start).total_seconds()
    after = busy_seconds()
    about = {
        "command": command,
        "date": start.date().isoformat(),
        "threads": torch.get_num_threads(),
        "conditions": bench.conditions,
        # One where nothing else ran: the sweep itself keeps a core busy.
        "busy_cores": None if before is None or after is None else round((after - before) / passed, 2),
        "machine": machine_facts(target),
    }
    return Recording(problem, target.facts, rounds, about)
