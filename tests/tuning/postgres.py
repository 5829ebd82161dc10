"""A PostgreSQL server of the tests' own, for as long as they need it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["serving"]

_USER = "ssmgen"


@contextmanager
def serving() -> Iterator[str]:
    """The URL of a database on a server that only a socket of its folder reaches; skips where there can be none."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed (ssmgen[cluster])")
    programs = [shutil.which(name) for name in ("initdb", "postgres")]
    if None in programs:
        pytest.skip("initdb and postgres are not on the PATH")
    initdb, postgres = map(str, programs)
    # PostgreSQL refuses to run as root; and pytest's folders are for nobody else.
    who = _another_user() if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="ssmgen-postgres-"))
    try:
        if who:
            os.chown(folder, who["user"], who["group"])
        data, log = folder / "data", folder / "log"
        made = subprocess.run(
            [initdb, "-D", data, "-A", "trust", "-U", _USER, "--no-sync"],
            cwd=folder,
            capture_output=True,
            **who,  # type: ignore[call-overload]
        )
        assert made.returncode == 0, made.stderr
        command = [postgres, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with log.open("wb") as out:
            server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, **who)  # type: ignore[call-overload]
        try:
            _wait(server, folder, log)
            yield f"postgresql://{_USER}@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # which waits for no client
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _another_user() -> dict[str, object]:
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


def _wait(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    import psycopg

    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user=_USER, dbname="postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
