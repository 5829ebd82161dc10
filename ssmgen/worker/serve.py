"""The loop of a worker process: requests in, answers out, until the other side closes or is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from ssmgen.errors import SsmgenError
from ssmgen.worker import memory

__all__ = ["LastAnswer", "Server", "serve"]


class LastAnswer(Exception):  # noqa: N818 - no error, but the way out of an answer
    """Carries an answer after which nothing in this process can be trusted: it takes no more requests."""


class Server(Protocol):
    """What answers the requests."""

    def answer(self, request: object, partial: Callable[[object], None]) -> object:
        """The answer to a request; `partial` sends what is known earlier."""

    def is_poisoned_by(self, error: Exception) -> bool:
        """Whether nothing that comes after this error can be trusted."""


def serve(connection: Connection, open_: Callable[[Any], Server]) -> None:
    """Answer (number, request) pairs with (number, kind, answer).

    After an answer of the kind `last` this process takes no more requests: the other side is to end it. `refused` is
    an error of ours, whose message is for the user; `error` is one that nobody foresaw.

    Args:
        connection: To the process that asks.
        open_: Makes the server from the first request.
    """
    memory.volunteer()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    number, start = connection.recv()
    server = open_(start)
    connection.send((number, "done", None))
    while True:
        try:
            number, request = connection.recv()
        except EOFError:
            return
        try:
            connection.send((number, "done", server.answer(request, _sender(connection, number))))
        except LastAnswer as last:
            connection.send((number, "last", last.args[0]))
        except SsmgenError as error:
            connection.send((number, "refused", str(error)))
        except Exception as error:
            if server.is_poisoned_by(error):
                traceback.print_exc()
                os._exit(1)
            connection.send((number, "error", traceback.format_exc()))


def _end_with_parent(parent: int) -> None:
    # A parent that was killed cannot end a kernel that hangs, nor the compilers that were started here.
    while os.getppid() == parent:
        time.sleep(1.0)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _sender(connection: Connection, number: int) -> Callable[[object], None]:
    return lambda answer: connection.send((number, "partial", answer))
