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
        self, open_target: Callable[[str], Target], name: str, max_error: float | None = None
    ) -> None:
        self.memory: int | None = None

        def start() -> Start:
            gpu = driver.current_device() if name in ("cuda", "hip") else None
            self.memory = memory.share(_SHARE_OF_MEMORY) if gpu is None else None
            return Start(open_target, name, torch.get_num_threads(), gpu, max_error, self.memory)

        super().__init__("ssmgen.tuning.worker", start)

    def __enter__(self) -> Worker:
        return self
