"""A worker process seen from outside: started, asked with a time limit, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO

from ssmgen.errors import SsmgenError
from ssmgen.worker import memory

__all__ = ["Process", "WorkerDiedError", "WorkerTimeoutError"]

_START_SECONDS = 120.0


class WorkerDiedError(SsmgenError, RuntimeError):
    """The worker ended in the middle of a request; the message says by which signal.

    Attributes:
        signal: The signal that ended it; None where it ended itself.
        peak: Most bytes of memory that it held; 0 where that is unknown.
    """

    def __init__(self, message: str, signal: signal.Signals | None = None, peak: int = 0) -> None:
        super().__init__(message)
        self.signal = signal
        self.peak = peak


class WorkerTimeoutError(SsmgenError, TimeoutError):
    """The worker did not answer in time and was killed."""


class Process:
    """A process that answers requests. It starts with the first one, and again after it died or was killed."""

    def __init__(
        self, module: str, start: Callable[[], object], environment: Mapping[str, str] | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            module: What the process runs: `python -m module FD`, which calls `serve`.
            start: Makes the first request, each time the process starts.
            environment: Variables that it gets beside those that this process has.
        """
        self._module = module
        self._first = start
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._errors: IO[bytes] | None = None
        self._number = 0
        self._inherited = 0  # bytes that this process held at most when it started the other

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, so that a request need not start it."""
        return self._process is not None and self._process.poll() is None

    def busy_seconds(self) -> float:
        """Seconds that the process has worked on all cores; 0 where it does not run, or the system does not say."""
        if self._process is None:
            return 0.0
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, request: object, limit: float, partial: Callable[[object], None] | None = None) -> object:
        """The answer to a request.

        Args:
            request: What the module's server answers.
            limit: Seconds to wait for the answer, the start of the process not counted.
            partial: Called with every answer that comes before the last.

        Raises:
            WorkerTimeoutError: No answer in time; the process is killed.
            WorkerDiedError: The process ended.
            SsmgenError: It refused the request, and says why.
        """
        if not self.is_alive:
            self._start()
        return self._exchange(request, limit, partial)

    def kill(self) -> None:
        """End the process and everything it started."""
        if self._process is not None:
            # It leads a process group, so that a compiler it waits for goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        if self._errors is not None:
            self._errors.close()
        self._process = self._connection = self._errors = None

    def end(self) -> None:
        """Kill the process while another thread waits for its answer; that one gets a `WorkerDiedError`."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _start(self) -> None:
        self.kill()
        ours, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (kill closes it)
        path = os.pathsep.join(filter(None, sys.path))
        self._inherited = memory.status("VmHWM") or 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            # Ctrl-C is for the parent, which lets the measurement in flight end.
            start_new_session=True,
        )
        theirs.close()
        self._connection = ours
        self._exchange(self._first(), _START_SECONDS, None)

    def _exchange(self, request: object, limit: float, partial: Callable[[object], None] | None) -> object:
        assert self._connection is not None
        self._number += 1
        end = time.monotonic() + limit
        try:
            self._connection.send((self._number, request))
            while self._connection.poll(max(0.0, end - time.monotonic())):
                number, kind, answer = self._connection.recv()
                if number != self._number:
                    continue  # the answer to a request that was interrupted
                if kind == "refused":
                    raise SsmgenError(str(answer))
                if kind == "error":
                    raise RuntimeError(f"the worker of {self._module} failed:\n{answer}")
                if kind == "last":
                    self.kill()
                if kind in ("done", "last"):
                    return answer
                if partial is not None:
                    partial(answer)
        except (EOFError, ConnectionError) as error:
            raise self._obituary() from error
        self.kill()
        raise WorkerTimeoutError(f"no answer within {limit:.1f} s")

    def _obituary(self) -> WorkerDiedError:
        assert self._process is not None
        assert self._errors is not None
        peak = 0
        if self._process.returncode is None:
            # `wait` does not say how much memory it held.
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            # A process counts what its parent held when it started, too: no more than that says nothing.
            peak = usage.ru_maxrss << 10
            peak = peak if peak > self._inherited else 0
        code = self._process.returncode
        self._errors.seek(0)
        said = self._errors.read()[-2000:].decode(errors="replace").strip()
        by = signal.Signals(-code) if code < 0 else None
        how = f"exit code {code}" if by is None else by.name
        self.kill()
        return WorkerDiedError(f"{how}: {said}" if said else how, by, peak)
