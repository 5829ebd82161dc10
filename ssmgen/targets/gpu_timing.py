"""How long something takes on the current GPU, with a cold L2 cache: between events, or in a graph if it is short."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ssmgen.targets import driver

__all__ = ["seconds_of"]

# Bytes to overwrite before a timed run at the least: enough to keep a fast GPU busy until the launches after it are
# queued.
_SMALLEST_FLUSH = 256 << 20


def seconds_of(
    run: Callable[[], object], repetitions: int, restore: Callable[[], None] | None = None
) -> list[float]:
    """Seconds of each of some runs; see `Target.time`.

    What takes longer to launch than to run is timed in a graph, whose launches the CPU does not delay, if it can be
    captured.
    """
    flush = driver.memory(max(2 * driver.cache_bytes(), _SMALLEST_FLUSH))
    seconds, queueing = _launched(run, repetitions, restore, flush)
    if min(seconds) > queueing:
        return seconds
    try:
        replayed = _replayed(run, repetitions, restore, flush)
    except RuntimeError:
        # It cannot be captured, or its events cannot be read, as on ROCm. What spoils the GPU shows at the next call.
        return seconds
    return replayed if min(replayed) > 0 else seconds


def _launched(
    run: Callable[[], object], repetitions: int, restore: Callable[[], None] | None, flush: torch.Tensor
) -> tuple[list[float], float]:
    """Seconds between two events around each run, and the fewest that the CPU took to queue one."""
    pairs, queueing = [], []
    for _ in range(repetitions):
        start, end = driver.event(), driver.event()
        flush.zero_()
        start.record()
        begin = time.perf_counter()
        run()
        queueing.append(time.perf_counter() - begin)
        end.record()
        if restore is not None:
            restore()
        pairs.append((start, end))
    driver.synchronize()
    return [driver.elapsed(start, end) for start, end in pairs], min(queueing)


def _replayed(
    run: Callable[[], object], repetitions: int, restore: Callable[[], None] | None, flush: torch.Tensor
) -> list[float]:
    """Seconds between two events inside a graph of one run, replayed."""
    start, end = driver.event(external=True), driver.event(external=True)

    def once() -> None:
        flush.zero_()
        start.record()
        run()
        end.record()

    with driver.side_stream():
        run()
        # Before the capture, which runs nothing, but may take other operands, which are then those to restore.
        if restore is not None:
            restore()
        replay = driver.capture(once)
    seconds = []
    for _ in range(repetitions):
        replay()
        if restore is not None:
            restore()
        # The next replay records the same events.
        driver.synchronize()
        seconds.append(driver.elapsed(start, end))
    return seconds
