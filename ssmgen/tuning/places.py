"""Several GPUs of one kind, each with a worker of its own: problems wait in one queue for whichever is free."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

import torch

from ssmgen.config import Config
from ssmgen.kernels import Space
from ssmgen.targets import driver
from ssmgen.tuning.result import Observer, TuneResult
from ssmgen.tuning.trial import Trial

__all__ = ["at_once", "gpus_alike"]

_POLL = 0.2

Work = Callable[[Observer], Iterable[TuneResult]]


def gpus_alike() -> list[int]:
    """The GPUs that have the current one's name, and so share its tuned configs; the current one first."""
    current = driver.current_device()

    def name(index: int) -> str:
        return str(driver.properties(torch.device("cuda", index)).name)

    others = [index for index in range(driver.count()) if index != current and name(index) == name(current)]
    return [current, *others]


def at_once(works: Sequence[Work], observers: Sequence[Observer]) -> Iterator[TuneResult]:
    """Do several works, each in a thread and told to an observer of its own; results come as they are found.

    Ctrl-C ends the search of each, which compares and saves what it has. An error in one ends the others in the same
    way, and is raised when they are done.
    """
    found: SimpleQueue[TuneResult | Exception | None] = SimpleQueue()
    stop = threading.Event()

    def do(work: Work, observer: Observer) -> None:
        try:
            for result in work(_Stopping(observer, stop)):
                found.put(result)
                if stop.is_set():
                    return
        except KeyboardInterrupt:
            pass
        except Exception as error:
            stop.set()
            found.put(error)
        finally:
            found.put(None)

    threads = [
        threading.Thread(target=do, args=pair, daemon=True) for pair in zip(works, observers, strict=True)
    ]
    error: Exception | None = None
    running = len(threads)
    with _ctrl_c_sets(stop):
        for thread in threads:
            thread.start()
        try:
            while running:
                try:
                    # A signal that comes just before the wait does not end it.
                    item = found.get(timeout=_POLL)
                except Empty:
                    continue
                if item is None:
                    running -= 1
                elif isinstance(item, Exception):
                    error = error or item
                else:
                    yield item
        finally:
            stop.set()
    if error is not None:
        raise error


@contextmanager
def _ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set an event, once: the next one is for those who cannot wait."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Stopping(Observer):
    """Passes everything on, and ends a search as Ctrl-C does, which only the main thread hears."""

    def __init__(self, observer: Observer, stop: threading.Event) -> None:
        self._observer = observer
        self._stop = stop
        self._has_ended = False

    def _check(self) -> None:
        # Once: what a run does after it was interrupted is to end well.
        if self._stop.is_set() and not self._has_ended:
            self._has_ended = True
            raise KeyboardInterrupt

    def started(self, space: Space, resumed: int, deadline: float) -> None:
        """See `Observer`."""
        self._observer.started(space, resumed, deadline)
        self._check()

    def referenced(self, seconds: float | None) -> None:
        """See `Observer`."""
        self._observer.referenced(seconds)
        self._check()

    def compiling(self, configs: Sequence[Config]) -> None:
        """See `Observer`."""
        self._observer.compiling(configs)
        self._check()

    def timing(self, config: Config) -> None:
        """See `Observer`."""
        self._observer.timing(config)
        self._check()

    def measured(self, trial: Trial) -> None:
        """See `Observer`."""
        self._observer.measured(trial)
        self._check()

    def deciding(self, configs: Sequence[Config]) -> None:
        """See `Observer`; what is decided is saved, so that it is not stopped."""
        self._has_ended = True
        self._observer.deciding(configs)

    def finished(self, result: TuneResult) -> None:
        """See `Observer`."""
        self._has_ended = False
        self._observer.finished(result)
