"""A process for what may crash, hang or take all memory: seen from outside, and its loop inside."""

from ssmgen.worker.process import Process, WorkerDiedError, WorkerTimeoutError
from ssmgen.worker.serve import LastAnswer, Server, serve

__all__ = ["LastAnswer", "Process", "Server", "WorkerDiedError", "WorkerTimeoutError", "serve"]
