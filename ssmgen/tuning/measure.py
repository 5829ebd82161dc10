"""Times of compiled configs that can be believed: warm device, cold cache, medians, finalists side by side."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.kernels import interface, oracle
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target, driver
from ssmgen.tuning.operands import allocate, runner

__all__ = ["Bench", "FinalError", "FinalTimes", "Rotation", "busy_seconds", "last_level_cache"]

_WARM_SECONDS = 0.2  # clocks rise and threads start within this
_CONFIG_SECONDS = 0.2
_FIRST_RUNS = 4  # of which the fastest tells a clear loser
_RUNS = (3, 300)
_MOST_ROUNDS = 50
_LOSES_BY = 2.0
_MOST_BYTES = 1 << 30


class FinalError(Exception):
    """A config failed among the finalists; the cause says how."""

    def __init__(self, config: Config, cause: Exception) -> None:
        super().__init__(str(config))
        self.config = config
        self.cause = cause


class FinalTimes(NamedTuple):
    """Samples of the finalists, timed in turns.

    Attributes:
        rounds: Seconds by config, one for each round, so that those of one round can be compared in pairs.
        reference: Seconds of the reference's runs among them.
        others: Cores that other processes used meanwhile; None where that is unknown.
    """

    rounds: dict[Config, list[float]]
    reference: list[float]
    others: float | None


class Rotation:
    """Runs a kernel on one set of operands after another, and undoes what the last run changed."""

    def __init__(self, run: Runner, sets: Sequence[list[Tensor]], before: Mapping[int, Tensor]) -> None:
        self._run = run
        self._sets = itertools.cycle(sets)
        self._before = before
        self._last: list[Tensor] = []

    def __call__(self) -> None:
        """Run on the next set."""
        self._last = next(self._sets)
        self._run(self._last)

    @property
    def restore(self) -> Callable[[], None] | None:
        """What gives operands that were updated in place their values from before; None where there are none."""
        return self._restore if self._before else None

    def untimed(self) -> None:
        """One run, after which operands are as they were."""
        self()
        self._restore()

    def _restore(self) -> None:
        for index, values in self._before.items():
            self._last[index].copy_(values)


class Bench:
    """Times configs of one problem on operands that rotate, so that each run finds the last-level cache cold."""

    def __init__(self, target: Target, problem: Problem) -> None:
        self.target = target
        self.problem = problem
        self._inputs = oracle.sample(problem, seed=0, device=target.device)
        first = allocate(problem, self._inputs, target.device)
        self.bytes = sum(x.numel() * x.element_size() for x in first)
        wanted = 1 + -(-2 * last_level_cache(target.device) // max(self.bytes, 1))
        count = max(2, min(wanted, 64, _MOST_BYTES // max(self.bytes, 1)))
        self._sets = [first] + [allocate(problem, self._inputs, target.device) for _ in range(count - 1)]
        operands = enumerate(interface(problem.op).operands(problem))
        self._before = {index: self._inputs[x.name] for index, x in operands if x.updated}
        self._is_warm = False

    @property
    def operands(self) -> list[Tensor]:
        """One set of operands."""
        return self._sets[0]

    @property
    def conditions(self) -> str:
        """How inputs are cached while they are timed, for the record."""
        cache, total = last_level_cache(self.target.device), len(self._sets) * self.bytes
        state = "cold" if total > cache else "warm, for so small a problem"
        return (
            f"last-level cache {state}: {len(self._sets)} sets of operands in turns, {total / 2**20:.1f} MiB in all, "
            f"for a cache of {cache / 2**20:.0f} MiB"
        )

    def time(self, config: Config, best: float | None) -> list[float]:
        """Seconds of some runs; only a few for a config that is more than twice as slow as the best."""
        run = self.rotating(config)
        self._warm_up(run)
        first = self.target.time(run, _FIRST_RUNS, run.restore)
        if best is not None and min(first) > _LOSES_BY * best:
            return first
        fewest, most = _RUNS
        wanted = int(_CONFIG_SECONDS / max(min(first), 1e-9))
        return self.target.time(run, max(fewest, min(most, wanted)), run.restore)

    def reference(self) -> float:
        """Seconds of one run of the PyTorch reference, in the dtype that kernels accumulate in."""
        self.target.synchronize()
        start = time.perf_counter()
        oracle.baseline(self.problem, self._inputs)
        self.target.synchronize()
        return time.perf_counter() - start

    def final(self, configs: Sequence[Config], seconds: float, references: int) -> FinalTimes:
        """Time configs in turns until the time is over, the reference among the first rounds.

        Raises:
            FinalError: One of them failed.
        """
        runs: dict[Config, Rotation] = {}
        rounds: dict[Config, list[float]] = {config: [] for config in configs}
        reference: list[float] = []
        for config in configs:
            with _blaming(config):
                runs[config] = self.rotating(config)
                self._warm_up(runs[config])
                runs[config].untimed()
        busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
        for turn in itertools.count():
            # Each round starts with another config, so that none always follows the same one.
            order = [*configs[turn % len(configs) :], *configs[: turn % len(configs)]]
            for config in order:
                run = runs[config]
                with _blaming(config):
                    rounds[config].append(min(self.target.time(run, 2, run.restore)))
            if turn < references:
                reference.append(self.reference())
            if turn >= 2 and (turn >= _MOST_ROUNDS or time.perf_counter() - start > seconds):
                break
        took = time.perf_counter() - start
        now = busy_seconds()
        if busy is None or now is None:
            return FinalTimes(rounds, reference, None)
        return FinalTimes(rounds, reference, max(0.0, now - busy - (time.process_time() - own)) / took)

    def rotating(self, config: Config) -> Rotation:
        """The compiled kernel of a config, on one set of operands after another."""
        run = runner(self.target, self.problem, config, self._sets[0])
        return Rotation(run, self._sets, self._before)

    def _warm_up(self, run: Rotation) -> None:
        run.untimed()
        if self._is_warm:
            return
        end = time.perf_counter() + _WARM_SECONDS
        while time.perf_counter() < end:
            run.untimed()
            self.target.synchronize()
        self._is_warm = True


@contextmanager
def _blaming(config: Config) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise FinalError(config, error) from error


def last_level_cache(device: torch.device) -> int:
    """Bytes of the cache nearest to memory; 32 MiB where the system does not say."""
    if device.type == "cuda":
        return driver.cache_bytes(device) or 32 << 20
    known = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        known.append(int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}[text[-1]])
    return max(known) or 32 << 20


def busy_seconds() -> float | None:
    """Seconds that all cores have worked since the machine started; None where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(value) for value in fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
