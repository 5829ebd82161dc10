"""The tuner's worker process, seen from outside."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ssmgen.targets import Target, driver
from ssmgen.tuning.worker import Start
from ssmgen.worker import Process, memory

__all__ = ["Worker"]

_SHARE_OF_MEMORY = 0.8  # of what is free when a worker starts: the machine is for others, too


class Worker(Process):
    """A process for one target; it answers the requests of `ssmgen.tuning.worker`.

    Attributes:
        memory: Bytes that the process may take, and every compiler that it starts; None where that is not
            limited: what the driver of a GPU counts as memory is its own affair.
    """

    def __init__(
        self,
        open_target: Callable[[str], Target],
        name: str,
        max_error: float | None = None,
        gpu: int | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            open_target: Turns the name into the target, by its import path in the process.
            name: The target's name.
            max_error: The largest relative error of a config.
            gpu: The index of the GPU that the process keeps to; of a GPU by default the current one.
        """
        self.memory: int | None = None

        def start() -> Start:
            own = driver.current_device() if gpu is None and name in ("cuda", "hip") else gpu
            self.memory = memory.share(_SHARE_OF_MEMORY) if own is None else None
            return Start(open_target, name, torch.get_num_threads(), own, max_error, self.memory)

        super().__init__("ssmgen.tuning.worker", start)

    def __enter__(self) -> Worker:
        return self
