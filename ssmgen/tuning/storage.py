"""The storage that runs on several machines share: a file, or a database that all of them reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ssmgen.errors import InvalidInputError, StorageError
from ssmgen.trust import complaint

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["open_storage", "told"]

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_SERVERS = ("postgresql", "mysql")
_ATTEMPTS = 5  # of making the tables, which another process may be making at the same time


def open_storage(text: str) -> BaseStorage:
    """A storage of Optuna's.

    Args:
        text: The path of a file, which need not exist, or the URL of a database:
            `postgresql://user:password@host:5432/name`, or `mysql://...`.

    Raises:
        InvalidInputError: It is neither.
        StorageError: It cannot be opened, its driver is missing, or other users may write the file.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _journal(Path(text))
    if scheme.partition("+")[0] not in (*_SERVERS, "postgres"):
        raise InvalidInputError(
            f"--storage takes the path of a file, or the URL of a server (postgresql://..., mysql://...), not of "
            f"{scheme}: SQLite, for one, is not for several writers."
        )
    return _database(f"{_DRIVERS.get(scheme, scheme)}://{rest}")


def _journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    found = complaint(path)
    if found is not None:
        raise StorageError(
            f"{path} {found}, and what it says was verified would be believed: give another file."
        )
    with told():
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))


def _database(url: str) -> BaseStorage:
    from optuna.storages import RDBStorage

    for attempt in range(_ATTEMPTS):
        try:
            with told():
                return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        except ImportError as error:
            raise StorageError(
                f"the driver of {url.partition('://')[0]} is missing ({error}): pip install 'ssmgen[cluster]'."
            ) from error
        except StorageError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def told() -> Iterator[None]:
    """Turn whatever a storage raises into a `StorageError`; its message has no URL, which may hold a password."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, OSError, ValueError) as error:
        cause = error.__cause__ or error
        said = str(getattr(cause, "orig", None) or cause).strip().split("\n")[0]
        raise StorageError(
            f"the storage does not answer as it should: {said or type(error).__name__}. "
            "What was tried until now is in it; the next run goes on from there."
        ) from error
