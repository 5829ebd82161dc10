"""Kill tuning runs at random moments, and look whether anything that was measured is lost.

    python -m benchmarks.kills --kills 50

A study of real kernels for the CPU goes through ten kills, then another one does: each run starts from what the ones
before have left, and is ended by `kill -9` at a random moment between its start and the saving of its result. After
each, every line of the journal but the last is whole, and so is every file of tuned configs. At the end every
measurement that was told of is in the journal, and a run that nobody kills finishes each study.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Outcome", "kill_runs"]

# What a run says, a line for each event, at once: what had been said when it died had been done.
_RUN = """
import sys
from ssmgen.request import Request
from ssmgen.targets import target
from ssmgen.tuning import Observer, tune

class Teller(Observer):
    def started(self, space, resumed, deadline):
        print(f"resumed {resumed}", flush=True)
    def measured(self, trial):
        print(f"measured {trial.config}", flush=True)

sizes = {"batch": 2, "dim": 48, "seqlen": 300, "d_state": 16}
(problem,) = Request(sizes, "fp32", ()).problems(["selective_scan"], target("cpu").facts)
tune(problem, "cpu", budget_seconds=float(sys.argv[1]), observer=Teller())
print("saved", flush=True)
"""


_KILLS_OF_A_STUDY = 10  # then nearly everything has been tried
# A kill comes so many seconds after so many lines: with none, Python starts; with one, the search; then it goes on.
_MOST_LINES, _MOST_SECONDS = 8, 2.0


class Outcome(NamedTuple):
    """What a number of kills came to.

    Attributes:
        kills: Runs that were killed; those that ended before their moment came do not count.
        measured: Measurements that they had told of.
        lost: Of those, how many the journals do not hold.
        torn: Files of tuned configs, and lines of the journal that are not its last, that are not whole.
        resumed: What the last run of each study, which was not killed, started from.
        journalled: How many configs the journals held then.
        is_saved: Whether each of those runs saved a config.
    """

    kills: int
    measured: int
    lost: int
    torn: int
    resumed: int
    journalled: int
    is_saved: bool


def kill_runs(kills: int, folder: Path, seed: int = 0, budget: float = 15.0) -> Outcome:
    """Kill that many runs, and let another one finish each study.

    Args:
        kills: How many.
        folder: Where the studies, and what they save, are kept; new or empty.
        seed: Of the moments.
        budget: Seconds of each run.
    """
    chance = random.Random(seed)
    found = Outcome(0, 0, 0, 0, 0, 0, True)
    while found.kills < kills:
        count = min(_KILLS_OF_A_STUDY, kills - found.kills)
        new = _study(count, folder / str(found.kills), chance, budget)
        counts = [mine + more for mine, more in zip(found[:-1], new[:-1], strict=True)]
        found = Outcome(*counts, found.is_saved and new.is_saved)
    return found


def _study(kills: int, folder: Path, chance: random.Random, budget: float) -> Outcome:
    told: set[str] = set()
    killed = torn = 0
    while killed < kills:
        # Seconds alone would mean other moments on a slower machine. A run may end before its moment comes.
        said, was_killed = _run(
            folder, budget, chance.randint(0, _MOST_LINES), chance.uniform(0.0, _MOST_SECONDS)
        )
        killed += was_killed
        told |= {line.partition(" ")[2] for line in said if line.startswith("measured ")}
        torn += _torn(folder)
    journal = _journalled(folder)
    said, _ = _run(folder, 2.0 * budget)
    resumed = next(int(line.split()[1]) for line in said if line.startswith("resumed "))
    lost = len(told - journal)
    return Outcome(killed, len(told), lost, torn + _torn(folder), resumed, len(journal), "saved" in said)


def _run(folder: Path, budget: float, lines: int = 0, seconds: float | None = None) -> tuple[list[str], bool]:
    """What a run said, and whether it was killed, so many seconds after so many lines; with None it is not."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "SSMGEN_CACHE_DIR": str(folder / "cache"),
        "SSMGEN_CONFIG_DIR": str(folder / "configs"),
    }
    with tempfile.TemporaryFile() as output:
        run = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(budget)],
            env=environment,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        while run.poll() is None and os.pread(output.fileno(), 1 << 20, 0).count(b"\n") < lines:
            time.sleep(0.01)
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
        code = run.wait()
        output.seek(0)
        # A line that was being said does not count.
        said = output.read().decode().rpartition("\n")[0].splitlines()
    return said, code == -signal.SIGKILL


def _journalled(folder: Path) -> set[str]:
    found = set()
    for path in folder.glob("cache/sessions/*/*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found.add(json.loads(line)["config"])
            except (ValueError, KeyError):
                continue  # half a line, or what a run says of itself
    return found


def _torn(folder: Path) -> int:
    from ssmgen import store

    torn = 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for path in folder.glob("configs/*/*.json"):
            torn += not store.read_file(path)
    for path in folder.glob("cache/sessions/*/*.jsonl"):
        for line in path.read_text().splitlines()[:-1]:
            torn += bool(line) and not line.endswith("}")
    return torn + len(said)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_runs(chosen.kills, Path(folder), chosen.seed)
    print(f"{outcome} in {time.monotonic() - start:.0f} s")
    sys.exit(bool(outcome.lost or outcome.torn or not outcome.is_saved))


if __name__ == "__main__":
    main()
