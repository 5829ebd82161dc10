"""Processes that tune, save and dispatch on one folder at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssmgen import store
from tests.helpers import make_problem
from tests.store.strategies import make_entry
from tests.tuning.fakes import FakeTarget

_SAVED = 30  # by each process that saves

# Run with a role and a number. Tuners and savers write to one file; readers, which also choose configs, want what they
# once read to be there for ever, and stop when the file says so.
_PROCESS = """
import sys, time, warnings
from pathlib import Path
from ssmgen import dispatch, settings, store
from ssmgen.tuning import Tuner
from tests.helpers import make_problem
from tests.store.strategies import make_entry
from tests.tuning.fakes import FakeTarget, config, open_fake

warnings.simplefilter("error")
role, number = sys.argv[1], int(sys.argv[2])
target = FakeTarget(("good", "slow"))
path = store.config_path(settings.user_config_dir(), target.facts, "linear_scan")
if role == "saves":
    for power in range({saved}):
        problem = make_problem("linear_scan", batch=1 << power, dim=1 << number)
        store.save([make_entry(problem, target.facts, config=config("good"))])
        time.sleep(0.01)
elif role == "tunes":
    with Tuner("good,slow", open_target=open_fake) as tuner:
        for power in range(2):
            tuner.tune(make_problem("linear_scan", batch=1, dim=1 << number, seqlen=32 << power), budget_seconds=120.0)
elif role == "dispatches":
    known, problem = {{}}, make_problem("linear_scan", batch=2, dim=2)
    while not Path(sys.argv[3]).exists():
        entries = {{entry.key: entry for entry in store.read_file(path)}}
        assert set(known) <= set(entries), "an update was lost"
        known = entries
        dispatch.forget()
        assert dispatch.resolve(problem, target) is not None
        time.sleep(0.02)  # what writes wants the cores, too
"""


@pytest.mark.slow
def test_eight_processes_on_one_folder_lose_and_tear_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    code, end = _PROCESS.format(saved=_SAVED), tmp_path / "end"

    def start(role: str, number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, role, str(number), str(end)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    readers = [start("dispatches", number) for number in range(3)]
    writers = [start("saves", number) for number in range(3)] + [start("tunes", number) for number in (8, 9)]
    said = [process.communicate()[1] for process in writers]
    end.touch()
    said += [process.communicate()[1] for process in readers]
    assert [process.returncode for process in (*writers, *readers)] == [0] * 8, "\n".join(said)
    facts = FakeTarget(("good",)).facts
    wanted = [
        make_problem("linear_scan", batch=1 << power, dim=1 << n) for power in range(_SAVED) for n in range(3)
    ]
    wanted += [
        make_problem("linear_scan", batch=1, dim=1 << n, seqlen=32 << power)
        for n in (8, 9)
        for power in (0, 1)
    ]
    found = {entry.key for entry in store.load(Path(os.environ["SSMGEN_CONFIG_DIR"]))}
    assert found == {make_entry(problem, facts).key for problem in wanted}
