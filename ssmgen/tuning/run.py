"""One problem's tuning run, from the first trial to the saved config."""

from __future__ import annotations

import datetime
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import mean

from ssmgen import store
from ssmgen.config import Config
from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space
from ssmgen.store import TunedConfig
from ssmgen.targets import Target
from ssmgen.tuning import worker as requests
from ssmgen.tuning.blame import kind_of_death
from ssmgen.tuning.compiling import Beforehand, Compiling
from ssmgen.tuning.decide import finalists, winner
from ssmgen.tuning.measure import FinalTimes
from ssmgen.tuning.patience import Patience
from ssmgen.tuning.process import Worker
from ssmgen.tuning.record import Record
from ssmgen.tuning.result import Final, Observer, TuneResult
from ssmgen.tuning.search import Search
from ssmgen.tuning.session import source_hash, threads_of
from ssmgen.tuning.trial import Timing, Trial
from ssmgen.worker import WorkerDiedError, WorkerTimeoutError

__all__ = ["Run"]

_TRY_SECONDS = (5.0, 30.0)  # a request that takes longer hangs: at least, and at most
_FINAL_SECONDS = 4.0
_MOST_REFERENCES = 6
_MOST_SAVED = 4  # saved configs that a search starts from
_POLL_SECONDS = 0.2
_REFERENCE_SHARE = 0.25  # of the budget that one run of the reference may take
_FIRST_GUESS = 0.5  # seconds that a config takes to compile, verify and time, before any did


class Run:
    """Tunes one problem. Every step is bounded by the time that is left."""

    def __init__(
        self,
        target: Target,
        space: Space,
        worker: Worker,
        versions: dict[str, str],
        budget_seconds: float,
        max_trials: int | None,
        seed: int,
        observer: Observer,
        record: Record,
        compiling: Compiling | None = None,
    ) -> None:
        self._start = time.monotonic()
        self._target = target
        self._space = space
        self._problem = space.problem
        self._worker = worker
        self._versions = versions
        self._budget = budget_seconds
        self._deadline = self._start + budget_seconds
        self._max_trials = max_trials
        self._observer = observer
        self._threads = threads_of(target)
        self._trials = record
        known = record.load(partial(source_hash, space))
        self._resumed = len(known)
        self._search = Search(space, seed=seed, known=known.values(), first=self._saved_configs())
        self._tried = self._others = 0
        self._costs: list[float] = []
        self._compiling = compiling or Beforehand(worker, self._revive)
        self._try_patience = Patience(*_TRY_SECONDS)
        self._reference: list[float] = []
        self._notes: list[str] = []
        # What the search leaves for the final comparison.
        self._reserve = min(_FINAL_SECONDS, 0.15 * budget_seconds)

    def complete(self) -> TuneResult:
        """Search, compare the finalists, save."""
        interrupted = False
        try:
            self._prepare()
            self._search.run(self._measure, self._room, self._compiling.batch)
            while self._is_left_something():
                self._search.run(self._measure, self._room, self._compiling.batch)
        except KeyboardInterrupt:
            interrupted = True
        best, default = self._decide(interrupted)
        path = None if best is None else self._save(best, default)
        failures = Counter(
            trial.failure for trial in self._search.trials.values() if trial.failure is not None
        )
        return TuneResult(
            problem=self._problem,
            facts=self._target.facts,
            reference=Timing.of(self._reference) if self._reference else None,
            default=default,
            best=best,
            tried=self._tried,
            resumed=self._resumed,
            valid=len(self._space),
            failures=failures,
            excluded=self._space.excluded,
            is_exhaustive=self._search.is_exhaustive,
            is_interrupted=interrupted,
            notes=tuple(self._notes),
            path=path,
            seconds=time.monotonic() - self._start,
        )

    def _prepare(self) -> None:
        self._observer.started(self._space, self._resumed, self._deadline)
        conditions = self._ask_prepared()
        self._notes.append(f"timed with the {conditions}")
        try:
            limit = max(5.0, _REFERENCE_SHARE * self._budget)
            seconds = self._worker.ask(requests.Reference(self._problem), limit)
            assert isinstance(seconds, float)
            self._reference.append(seconds)
            # The final comparison times it again.
            self._reserve += min(_MOST_REFERENCES * seconds, 0.1 * self._budget)
        except WorkerTimeoutError:
            self._notes.append(f"one run of the reference takes more than {limit:.0f} s: it was not timed")
        self._observer.referenced(self._reference[0] if self._reference else None)

    def _ask_prepared(self) -> object:
        try:
            return self._worker.ask(requests.Prepare(self._problem), max(30.0, self._budget))
        except WorkerTimeoutError as error:
            raise SsmgenError(
                f"the float64 results of {self._problem}, which every config is checked against, take longer than "
                f"the budget of {self._budget:.0f} s; give a larger one, or smaller sizes of the same class."
            ) from error

    def _left(self) -> float:
        return self._deadline - self._reserve - time.monotonic()

    def _room(self) -> int:
        """How many more configs the budget allows; one at least, so that there is something to compare."""
        cost = mean(self._costs) if self._costs else _FIRST_GUESS
        room = max(int(self._left() / cost), 0 if self._costs else 1)
        return room if self._max_trials is None else min(room, self._max_trials - self._tried)

    def _measure(self, configs: Sequence[Config]) -> list[Trial]:
        """Compile all, then verify and time one after another while there is time; not what other runs try."""
        self._hear()
        mine = self._trials.claim([config for config in configs if config not in self._search.trials])
        self._search.leave([config for config in configs if config not in mine])
        try:
            return self._measure_own(mine) if mine else []
        finally:
            self._trials.release()

    def _hear(self) -> None:
        """Learn what other runs have tried."""
        for trial in self._trials.news():
            self._search.learn(trial)
            self._others += 1

    def _is_left_something(self) -> bool:
        """Whether configs that other runs were trying are free again; waits for those runs while there is time."""
        while self._search.left and self._left() > 0:
            self._hear()
            if free := set(self._search.left).difference(self._trials.taken(self._search.left)):
                self._search.take_back(free)
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _measure_own(self, configs: Sequence[Config]) -> list[Trial]:
        start = time.monotonic()
        trials = []
        self._observer.compiling(configs)
        with closing(self._compiling.ready(self._problem, configs, self._left)) as ready:
            for item in ready:
                if isinstance(item, Trial):
                    trials.append(self._record(item))
                    continue
                if self._left() <= 0 and self._costs:
                    break
                self._observer.timing(item)
                tried = self._try(item)
                if tried is None:
                    break
                trials.append(self._record(tried))
        self._costs.append((time.monotonic() - start) / max(len(trials), 1))
        return trials

    def _try(self, config: Config) -> Trial | None:
        """The trial of one config; None where the budget, and not the config, ended it."""
        best = self._search.best
        if best is None:
            return self._ask_try(requests.Try(self._problem, config, None))
        beside: list[object] = []
        trial = self._ask_try(requests.Try(self._problem, config, best.rank, best.config), beside.append)
        if trial is not None and trial.failure is not None and beside:
            # Its rival may be to blame; alone, it is the config.
            return self._ask_try(requests.Try(self._problem, config, best.rank))
        return trial

    def _ask_try(
        self, request: requests.Try, partial: Callable[[object], None] | None = None
    ) -> Trial | None:
        is_cut = False
        try:
            self._revive()
            limit, is_cut = self._try_patience.limit(self._left())
            start = time.monotonic()
            trial = self._worker.ask(request, limit, partial)
            assert isinstance(trial, Trial)
            self._try_patience.learn(time.monotonic() - start)
            return trial
        except WorkerTimeoutError as error:
            return None if is_cut else Trial(request.config, failure="timeout", detail=str(error))
        except WorkerDiedError as error:
            return self._dead(request.config, error)

    def _dead(self, config: Config, error: WorkerDiedError) -> Trial:
        return Trial(config, failure=kind_of_death(error, self._worker.memory), detail=str(error))

    def _revive(self) -> None:
        # Float64 results are lost with the worker; computing them again is no config's fault.
        if not self._worker.is_alive:
            self._ask_prepared()

    def _record(self, trial: Trial) -> Trial:
        trial = Trial(
            trial.config,
            trial.timing,
            trial.error,
            trial.failure,
            trial.detail,
            source_hash(self._space, trial.config) or "",
        )
        self._trials.append(trial)
        self._search.learn(trial)
        self._tried += 1
        self._observer.measured(trial)
        return trial

    def _decide(self, interrupted: bool) -> tuple[Final | None, Final | None]:
        """The best config and the default, after the finalists were timed in turns."""
        self._hear()
        # Another run that compares them may have the rest of the budget, and its usual time after that.
        wait = 0.0 if interrupted else max(self._deadline - time.monotonic(), 0.0) + 2.0 * _FINAL_SECONDS
        count = len(self._search.trials)
        rounds = self._trials.decide(count, lambda: self._final_rounds(interrupted), wait)
        self._hear()
        if self._others:
            self._notes.append(f"{self._others} configs were tried by other runs on this storage")
        # What failed among the finalists is no longer among them.
        known = {config: trial for config, trial in self._search.trials.items() if trial.failure is None}
        if not known:
            return None, None
        default, best = self._space.default(), self._finalists()[0]
        timings = {config: trial.timing for config, trial in known.items()}
        if rounds:
            timings |= {config: Timing.of(samples) for config, samples in rounds.items()}
            best, tied = winner(rounds, default)
            if tied:
                self._notes.append(f"{best} ties with {', '.join(map(str, tied))}; the simpler is kept")

        def final(config: Config) -> Final:
            timing = timings[config]
            assert timing is not None
            return Final(config, timing, dict(known[config].error), known[config].source_hash)

        return final(best), final(default) if default in known else None

    def _finalists(self) -> list[Config]:
        return finalists(self._search.trials.values(), self._space.default())

    def _final_rounds(self, interrupted: bool) -> dict[Config, list[float]]:
        """Seconds of the finalists in each round; none where they could not be timed in turns.

        A finalist that fails now, having worked before, is a failure like any other: the next one takes its place.
        """
        why = "the budget was spent"
        while configs := self._finalists():
            self._observer.deciding(configs)
            try:
                found = self._final(configs, interrupted)
                if isinstance(found, FinalTimes):
                    self._note_others(found)
                    return found.rounds
                failed = [found] if isinstance(found, Trial) else self._culprits(configs, interrupted)
            except KeyboardInterrupt:
                failed, why = [], "interrupted"
            else:
                why = "the budget was spent" if failed else str(found)
            for trial in failed:
                self._record(trial)
            if not failed or time.monotonic() > self._deadline:
                break
        if configs:
            self._notes.append(
                f"the finalists could not be timed in turns ({why}): times are those of the search"
            )
        return {}

    def _final(self, configs: Sequence[Config], interrupted: bool) -> FinalTimes | Trial | SsmgenError:
        """Times in turns, or the config that failed, or how the worker ended."""
        left = self._deadline - time.monotonic()
        seconds = 1.0 if interrupted else max(0.5, min(left, _FINAL_SECONDS))
        references, reference = 0, self._reference[0] if self._reference else 0.0
        if self._reference and not interrupted:
            references = max(0, min(_MOST_REFERENCES, int(left / 2 / max(reference, 1e-9))))
        request = requests.Final(self._problem, tuple(configs), seconds, references)
        limit = self._try_patience.hangs + 2.0 * (seconds + references * reference)
        try:
            self._revive()
            found = self._worker.ask(request, limit)
        except WorkerTimeoutError as error:
            return Trial(configs[0], failure="timeout", detail=str(error)) if len(configs) == 1 else error
        except WorkerDiedError as error:
            return self._dead(configs[0], error) if len(configs) == 1 else error
        assert isinstance(found, (FinalTimes, Trial))
        return found

    def _culprits(self, configs: Sequence[Config], interrupted: bool) -> list[Trial]:
        """Those of the finalists that take the worker down alone, too."""
        found = (self._final([config], interrupted) for config in configs)
        return [trial for trial in found if isinstance(trial, Trial)]

    def _note_others(self, found: FinalTimes) -> None:
        self._reference += found.reference
        cores = os.cpu_count() or 1
        if self._threads is not None and found.others is not None and found.others > 0.15 * cores:
            self._notes.append(
                f"other processes used {found.others:.1f} of {cores} cores while the finalists were timed: times are "
                "longer than on an idle machine"
            )

    def _save(self, best: Final, default: Final | None) -> Path:
        entry = TunedConfig(
            problem=self._problem,
            config=best.config,
            evidence="measured",
            seconds=best.timing.seconds,
            quartiles=best.timing.quartiles,
            default_seconds=None if default is None else default.seconds,
            reference_seconds=Timing.of(self._reference).seconds if self._reference else None,
            error=best.error,
            source_hash=best.source_hash,
            versions=self._versions,
            device=self._target.facts,
            threads=self._threads,
            created=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        )
        return store.save([entry])[0]

    def _saved_configs(self) -> list[Config]:
        """What serves the problem today, which must be beaten or found again, and what serves its neighbours.

        Measured or predicted, here or on a like device, tuned by the user or shipped.
        """
        configs = [match.entry.config for match in store.matches(self._problem, self._target.facts)]
        return list(dict.fromkeys(configs))[:_MOST_SAVED]
