"""The tuner's worker process, seen from outside."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ssmgen.targets import Target, driver
from ssmgen.tuning.worker import Start
from ssmgen.worker import Process

__all__ = ["Worker"]


class Worker(Process):
    """A process for one target; it answers the requests of `ssmgen.tuning.worker`."""

    def __init__(
        self, open_target: Callable[[str], Target], name: str, max_error: float | None = None
    ) -> None:
        def start() -> Start:
            gpu = driver.current_device() if name in ("cuda", "hip") else None
            return Start(open_target, name, torch.get_num_threads(), gpu, max_error)

        super().__init__("ssmgen.tuning.worker", start)

    def __enter__(self) -> Worker:
        return self
