"""One tuning run as docs/how/tuner.md tells it, recorded: every trial, when it ended, and the result.

To record it on this machine, in 18 s and from empty caches, and to draw the picture of it:

    python -m docs.how.tuner_run --folder docs/pictures

`--drawn` draws what was recorded last.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from examples.pictures import BLUE, GREY, ORANGE, label, plt, save
from ssmgen.codegen import write_atomically
from ssmgen.config import Config
from ssmgen.kernels import Space
from ssmgen.request import Request
from ssmgen.targets import target
from ssmgen.tuning import Observer, Trial, tune

RECORDED = Path(__file__).with_suffix(".json")
BUDGET = 18.0
COLOURS = {"channels": BLUE, "states": ORANGE, "chunked": GREY}


class _Recorder(Observer):
    """Keeps what happened, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.trials: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}

    def _now(self) -> float:
        return round(time.monotonic() - self._start, 2)

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        self.facts["started"] = self._now()

    def referenced(self, seconds: float | None) -> None:
        self.facts["referenced"] = self._now()

    def measured(self, trial: Trial) -> None:
        self.trials.append({"at": self._now(), **trial.to_data()})

    def deciding(self, configs: Sequence[Config]) -> None:
        self.facts |= {"deciding": self._now(), "finalists": [str(config) for config in configs]}


def record() -> dict[str, Any]:
    """A run from empty caches, in folders of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SSMGEN_CACHE_DIR": f"{folder}/cache", "SSMGEN_CONFIG_DIR": f"{folder}/configs"}
        here = target("cpu")
        (problem,) = Request({"dim": 768, "seqlen": 1024}).problems(["selective_scan"], here.facts)
        recorder = _Recorder()
        result = tune(problem, "cpu", budget_seconds=BUDGET, observer=recorder)
    assert result.best is not None
    assert result.default is not None
    return {
        "problem": str(problem),
        "device": here.facts.name,
        "threads": torch.get_num_threads(),
        **recorder.facts,
        "valid": result.valid,
        "excluded": {f"{variant}: {rule}": count for (variant, rule), count in result.excluded.items()},
        "best": {
            "config": str(result.best.config),
            "seconds": result.best.seconds,
            "error": result.best.error,
        },
        "default": {"config": str(result.default.config), "seconds": result.default.seconds},
        "reference": None if result.reference is None else result.reference.seconds,
        "failures": dict(result.failures),
        "notes": list(result.notes),
        "seconds": round(result.seconds, 2),
        "trials": recorder.trials,
    }


def draw(run: Mapping[str, Any], path: Path) -> None:
    """Each trial's time, by the second in which it ended, and the best until then."""
    figure, axes = plt.subplots(figsize=(5.4, 3.4))
    timed = [trial for trial in run["trials"] if trial["timing"]]
    for variant, colour in COLOURS.items():
        mine = [trial for trial in timed if trial["config"].startswith(f"{variant}(")]
        if mine:
            at, milliseconds = [t["at"] for t in mine], [1e3 * t["timing"][0] for t in mine]
            axes.semilogy(at, milliseconds, "o", ms=5, color=colour, label=variant)
    best = [min(t["timing"][0] for t in timed[: k + 1]) * 1e3 for k in range(len(timed))]
    axes.step([t["at"] for t in timed], best, where="post", color=GREY, lw=1, label="best so far")
    axes.axvspan(run["deciding"], run["seconds"], color="#e8eef5")
    place = {"ha": "right", "va": "top", "transform": axes.get_xaxis_transform(), "fontsize": 10}
    axes.text(run["deciding"] - 0.2, 0.72, "finalists →", **place)
    label(axes, "A tuning run", "seconds since the start", "ms of one call")
    ticks = [1, 1.5, 2, 3, 5, 10, 20, 30]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="upper left", fontsize=10)
    axes.set_xlim(0, run["seconds"] + 0.2)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the picture goes")
    parser.add_argument("--drawn", action="store_true", help="record nothing anew")
    arguments = parser.parse_args()
    if not arguments.drawn:
        write_atomically(RECORDED, json.dumps(record(), indent=1) + "\n")
    draw(json.loads(RECORDED.read_text()), arguments.folder / "how_tuner_run.png")


if __name__ == "__main__":
    main()
