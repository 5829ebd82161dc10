"""Whether the default two minutes are enough: what `ssmgen tune` chooses beside the best of all valid configs.

    python -m benchmarks.winners

tunes in a folder of its own, as a first user does. Then, op by op, it times every valid config, first a few runs of
each, and the fastest of these in turns with the one that was chosen. On a machine that does nothing else it takes ten
minutes; benchmarks/results/winners.json keeps the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ssmgen.bench import machine_facts
from ssmgen.codegen import write_atomically
from ssmgen.config import Config
from ssmgen.problem import Problem
from ssmgen.targets import Target, target
from ssmgen.tuning.measure import Bench

RESULTS = Path(__file__).parent.parent / "benchmarks/results/winners.json"
SCREENED = 4  # runs of every config, of which the fastest counts
HOPELESS = 1.5  # times the best: not looked at again
AGAIN = 12  # runs of those within 10% of the best
RIVALS = 6
FINAL_SECONDS = 15.0


def tuned(arguments: list[str]) -> tuple[list[dict[str, Any]], float]:
    """The results of `ssmgen tune` where nothing was tuned before, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SSMGEN_CONFIG_DIR": folder, "SSMGEN_CACHE_DIR": f"{folder}/cache"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "ssmgen", "tune", *arguments, "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)["results"], time.perf_counter() - start


def rivals(there: Target, bench: Bench, configs: list[Config]) -> list[Config]:
    """The fastest of all configs by a few runs of each."""
    with ThreadPoolExecutor() as pool:
        runs = dict(zip(configs, pool.map(bench.rotating, configs), strict=True))
    fastest = {config: min(there.time(run, SCREENED, run.restore)) for config, run in runs.items()}
    best = min(fastest.values())
    for config, seconds in fastest.items():
        if seconds <= 1.1 * best:
            fastest[config] = min(seconds, *there.time(runs[config], AGAIN, runs[config].restore))
    return sorted(fastest, key=lambda config: fastest[config])[:RIVALS]


def compared(there: Target, result: dict[str, Any], console: Console) -> dict[str, Any]:
    """The choice of a tune beside the best of all configs, timed in turns."""
    problem = Problem.of(
        result["op"], result["dims"], result["dtype"], result["options"], result["direction"]
    )
    configs = [config for found in there.space(problem).configs.values() for config in found]
    chosen = Config.parse(result["best"]["config"])
    bench = Bench(there, problem)
    with console.status(f"{problem.op}: {len(configs)} configs"):
        field = list(dict.fromkeys([chosen, *rivals(there, bench, configs)]))
        rounds = bench.final(field, FINAL_SECONDS, 0).rounds
    best = min(field, key=lambda config: median(rounds[config]))
    ratios = [mine / theirs for mine, theirs in zip(rounds[chosen], rounds[best], strict=True)]
    low, _, high = quantiles(ratios, n=4) if chosen != best else (1.0, 1.0, 1.0)
    return {
        "problem": str(problem),
        "configs": len(configs),
        "tried": result["tried"],
        "chosen": str(chosen),
        "chosen_seconds": median(rounds[chosen]),
        "best": str(best),
        "best_seconds": median(rounds[best]),
        "ratio": median(ratios),
        "quartiles": [low, high],
    }


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="of `ssmgen tune`; default: none")] = None,
) -> None:
    """Tune as a first user does, and compare each choice with the best of all configs."""
    console = Console()
    with console.status("ssmgen tune"):
        results, seconds = tuned(arguments or ["--d-state", "16"])
    there = target("cpu")
    found = [compared(there, result, console) for result in results]
    shown = Table("op", "tried", "chosen", "best of all", "chosen / best", title=f"tuned in {seconds:.0f} s")
    for one in found:
        shown.add_row(
            one["problem"].partition(" ")[0],
            f"{one['tried']} of {one['configs']}",
            f"{one['chosen']}, {1e3 * one['chosen_seconds']:.3g} ms",
            f"{one['best']}, {1e3 * one['best_seconds']:.3g} ms",
            f"{one['ratio']:.3f} ({one['quartiles'][0]:.3f} to {one['quartiles'][1]:.3f})",
        )
    console.print(shown)
    data = {"seconds": seconds, "machine": machine_facts(there), "results": found}
    write_atomically(RESULTS, json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
