"""Several runs on one storage: a file, and a PostgreSQL server that is started here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, StorageError
from ssmgen.kernels import Space
from ssmgen.targets import target
from ssmgen.tuning import claims, shared
from ssmgen.tuning.claims import Claims
from ssmgen.tuning.session import source_hash
from ssmgen.tuning.shared import Shared
from ssmgen.tuning.storage import open_storage
from ssmgen.tuning.trial import Timing, Trial
from tests.helpers import make_problem
from tests.tuning.postgres import serving

PROBLEM = make_problem("linear_scan", dim=32, seqlen=128)


@pytest.fixture(scope="module")
def space() -> Space:
    return target("cpu").space(PROBLEM)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(params=["file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "trials.journal") if request.param == "file" else request.getfixturevalue("server")


@pytest.fixture
def runs(url: str, space: Space, request: pytest.FixtureRequest) -> Callable[[], Shared]:
    """Makes the records of runs that share a study, which no other test has."""
    return lambda: Shared(open_storage(url), space, 2, {"test": request.node.nodeid})


def tried(space: Space, config: Config, failure: str | None = None) -> Trial:
    timing = None if failure else Timing(2e-3, (1e-3, 3e-3))
    return Trial(config, timing, {"out": 1e-7}, failure, source_hash=source_hash(space, config) or "")


def test_a_config_is_claimed_by_one_run_and_told_to_the_others(
    runs: Callable[[], Shared], space: Space
) -> None:
    one, other = runs(), runs()
    configs = [config for group in space.configs.values() for config in group][:6]
    assert one.claim(configs[:4]) == configs[:4]
    assert other.claim(configs) == configs[4:]
    assert set(other.taken(configs)) == set(configs)
    one.append(tried(space, configs[0]))
    one.append(tried(space, configs[1], "crash"))
    assert one.news() == []
    assert sorted(map(str, other.news())) == sorted(
        map(str, (tried(space, configs[0]), tried(space, configs[1], "crash")))
    )
    assert other.news() == []
    one.release()
    assert set(runs().taken(configs)) == {*configs[:2], *configs[4:]}
    assert other.claim(configs[:4]) == configs[2:4]
    assert set(runs().load(partial(source_hash, space))) == set(configs[:2])
    assert runs().load(lambda config: "another") == {}


def test_many_claim_at_once_and_each_config_has_one_run(runs: Callable[[], Shared], space: Space) -> None:
    configs = [config for group in space.configs.values() for config in group]
    records = [runs() for _ in range(4)]

    def claim_all(record: Shared) -> list[Config]:
        return [mine for config in configs for mine in record.claim([config])]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(claim_all, records))
    assert Counter(config for group in found for config in group) == Counter(configs)


def test_what_a_process_that_is_gone_has_claimed_is_free(
    runs: Callable[[], Shared], space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    configs = space.configs[next(iter(space.configs))][:2]
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: gone.pid)
        runs().claim(configs[:1])
    with monkeypatch.context() as patched:
        patched.setattr(claims, "_host", lambda: "elsewhere")
        runs().claim(configs[1:])
    # Of another machine's processes nothing is known until much time has passed.
    assert runs().taken(configs) == [configs[1]]
    monkeypatch.setattr(claims, "_LEASE", 0.0)
    assert runs().taken(configs) == []


def test_a_timeout_holds_for_the_run_that_saw_it(runs: Callable[[], Shared], space: Space) -> None:
    config = space.default()
    one, other = runs(), runs()
    one.claim([config])
    one.append(tried(space, config, "timeout"))
    assert [trial.failure for trial in other.news()] == ["timeout"]
    assert other.claim([config]) == []
    later = runs()
    assert later.load(partial(source_hash, space)) == {}
    assert later.claim([config]) == [config]


def test_finalists_are_compared_once(runs: Callable[[], Shared], space: Space) -> None:
    config = space.default()
    one, other = runs(), runs()
    rounds = {config: [1.0, 2.0]}
    assert one.decide(5, lambda: rounds, 1.0) == rounds
    assert other.decide(5, lambda: pytest.fail("they are known"), 1.0) == rounds
    assert other.decide(6, lambda: {config: [3.0]}, 1.0) == {config: [3.0]}
    # Who could not compare them says so, too.
    assert one.decide(7, dict, 1.0) == other.decide(7, lambda: pytest.fail("known"), 1.0) == {}


def test_who_waits_in_vain_compares_finalists_itself(
    runs: Callable[[], Shared], space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_POLL", 0.01)
    config, one, other = space.default(), runs(), runs()

    def while_the_first_compares() -> dict[Config, list[float]]:
        assert other.decide(5, lambda: {config: [2.0]}, 0.1) == {config: [2.0]}
        return {config: [1.0]}

    assert one.decide(5, while_the_first_compares, 0.1) == {config: [1.0]}
    assert runs().decide(5, lambda: pytest.fail("known"), 1.0) == {config: [1.0]}


def test_runs_that_differ_share_nothing(url: str, space: Space, request: pytest.FixtureRequest) -> None:
    versions = {"test": request.node.nodeid}
    config = space.default()
    Shared(open_storage(url), space, 2, versions).claim([config])
    others = [
        Shared(open_storage(url), space, 1, versions),
        Shared(open_storage(url), space, 2, {**versions, "gcc": "13"}),
        Shared(open_storage(url), space, 2, versions, max_error=0.1),
        Shared(open_storage(url), target("cpu").space(PROBLEM.with_dims(seqlen=129)), 2, versions),
        Shared(open_storage(url), replace(space, facts=replace(space.facts, name="another")), 2, versions),
    ]
    assert all(record.claim([config]) == [config] for record in others)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        3,
        "text",
        {},
        {"config": "fake(", "timing": [1, 1, 1]},
        {"config": "channels(lanes=16,tile=64)", "timing": [float("inf")] * 3, "error": {}},
        {"config": "channels(lanes=16,tile=64)", "timing": [-1.0] * 3, "error": {}},
        {"config": "channels(lanes=16,tile=64)", "timing": None, "failure": "no kind", "error": {}},
        {"config": "channels(lanes=999,tile=64)", "timing": [1.0] * 3, "error": {}},
    ],
)
def test_what_no_run_has_written_is_passed_over(
    runs: Callable[[], Shared], space: Space, kept: object
) -> None:
    record = runs()
    data = kept
    if isinstance(kept, dict) and kept:
        data = {"failure": None, "detail": "", "source_hash": source_hash(space, space.default()), **kept}
    study = Claims(record._storage, f"{record._prefix} channels")
    study.keep(study.make("some key"), json.loads(json.dumps(data)), 1.0)
    assert record.load(lambda config: None) == {}
    finals = Claims(record._storage, f"{record._prefix} finals")
    finals.keep(finals.make("the finalists of 3"), kept, 1.0)
    if kept:
        assert record.decide(3, lambda: {space.default(): [1.0]}, 0.1) == {space.default(): [1.0]}


def test_storages_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="SQLite"):
        open_storage("sqlite:///x.db")
    path = tmp_path / "trials"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(StorageError, match="can be written by anybody"):
        open_storage(str(path))
    with pytest.raises(StorageError, match="does not answer"):
        open_storage(str(path / "below"))
    pytest.importorskip("psycopg")
    monkeypatch.setattr("ssmgen.tuning.storage._ATTEMPTS", 1)
    with pytest.raises(StorageError) as caught:
        open_storage("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"ssmgen\[cluster\]"):
        open_storage("postgresql://127.0.0.1:1/none")


@pytest.mark.slow
def test_two_processes_tune_on_one_study(url: str, tmp_path: Path) -> None:
    # So many configs that neither can have tried all of them before the other has started.
    command = [sys.executable, "-m", "ssmgen", "tune", "cauchy_mult", "--dim", "4", "--seqlen", "32"]
    command += ["--target", "cpu", "--budget", "100", "--storage", url, "--json"]

    def environment(name: str) -> dict[str, str]:
        folders = {"SSMGEN_CONFIG_DIR": name, "SSMGEN_CACHE_DIR": f"{name}-cache"}
        return {**os.environ, **{key: str(tmp_path / folder) for key, folder in folders.items()}}

    before = _studies(url)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(name))
        for name in ("one", "other")
    ]
    results = []
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err.decode()
        results += json.loads(out)["results"]
    one, other = results
    # Every config was tried, none twice, and both have tried some.
    storage = open_storage(url)
    kept = Counter(
        entry.key
        for name in _studies(url) - before
        if not name.endswith("finals")
        for entry in Claims(storage, name).entries()
        if entry.kept is not None
    )
    assert set(kept.values()) == {1}
    assert len(kept) == one["valid"] == other["valid"]
    assert one["tried"] + other["tried"] == one["valid"]
    assert min(one["tried"], other["tried"]) > 0
    assert one["exhaustive"]
    assert other["exhaustive"]
    assert one["best"]["config"] == other["best"]["config"]
    assert one["best"]["seconds"] == other["best"]["seconds"]
    saved = [list((tmp_path / name).rglob("cauchy_mult.json")) for name in ("one", "other")]
    assert [len(paths) for paths in saved] == [1, 1]


def _studies(url: str) -> set[str]:
    import optuna

    return set(optuna.study.get_all_study_names(open_storage(url)))
