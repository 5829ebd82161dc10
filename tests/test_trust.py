"""What another user could have written is neither executed nor believed, and names from files reach no source."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from ssmgen import dispatch, settings, store
from ssmgen.codegen import Source, write_atomically
from ssmgen.errors import ConfigFileError, ConfigFileWarning, TargetUnavailableError
from ssmgen.targets import target
from ssmgen.tuning.session import Session
from tests.helpers import defaults, make_problem, run_config
from tests.store.strategies import DEVICES, make_entry

PROBLEM = make_problem("linear_scan", dim=5, seqlen=7)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what lies at a path another user's: really where that is allowed, else by being another user."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run() -> None:
    run_config(target("cpu"), PROBLEM, defaults(PROBLEM)[0])


@pytest.mark.parametrize("where", [".", "kernels", "sources", "kernels/*.so", "sources/*.c"])
def test_what_others_can_write_in_the_cache_is_not_executed(cache: Path, where: str) -> None:
    run()
    (path,) = cache.glob(where) if "*" in where else [cache / where]
    path.chmod(0o777)
    if where == "sources/*.c":
        next(cache.glob("kernels/*.so")).unlink()
    if where == "sources":
        next(cache.glob("kernels/*.so")).unlink()
    with pytest.raises(TargetUnavailableError, match=r"anybody .*777.*executed.*SSMGEN_CACHE_DIR"):
        run()
    path.chmod(0o775)
    run()


@pytest.mark.parametrize("where", [".", "kernels", "kernels/*.so"])
def test_what_is_another_s_in_the_cache_is_not_executed(
    cache: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    (path,) = cache.glob(where) if "*" in where else [cache / where]
    give_away(path, monkeypatch)
    with pytest.raises(TargetUnavailableError, match=r"belongs to user .* and not to you"):
        run()


def test_a_cache_inside_a_folder_such_as_tmp_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path))
    run()


def test_what_is_made_is_never_for_anybody_to_write(cache: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run()
        (path,) = store.save([make_entry()], tmp_path / "configs")
    finally:
        os.umask(before)
    made = [*cache.rglob("*"), cache, path, path.parent, path.parent.parent]
    assert len(made) > 5
    assert not [each for each in made if each.stat().st_mode & stat.S_IWOTH and "lock" not in each.name]
    run()


def test_writing_leaves_the_umask_of_other_threads_alone(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        writers = [
            threading.Thread(target=lambda n=n: [write_atomically(tmp_path / f"{n}", "x") for _ in range(50)])
            for n in range(8)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert os.umask(0o027) == 0o027
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("?")} == {0o640}
    finally:
        os.umask(before)


def test_a_journal_that_others_can_write_is_not_believed(cache: Path) -> None:
    facts = target("cpu").facts
    path = Session(PROBLEM, facts, 1, {}).path
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(TargetUnavailableError, match="can be written by anybody"):
        Session(PROBLEM, facts, 1, {})


@pytest.mark.parametrize("level", [0, 1])
def test_tuned_configs_that_anybody_can_write_are_skipped_and_not_written(tmp_path: Path, level: int) -> None:
    (path,) = store.save([make_entry()], tmp_path / "configs")
    (path, path.parent)[level].chmod(0o777)
    with pytest.warns(ConfigFileWarning, match=r"linear_scan\.json: can be written by anybody"):
        assert store.load(tmp_path / "configs") == ()
    with pytest.raises(ConfigFileError, match="can be written by anybody"):
        store.save([make_entry()], tmp_path / "configs")


def test_a_colleague_s_tuned_configs_may_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = store.save([make_entry()], tmp_path / "configs")
    give_away(path, monkeypatch)
    assert store.load(tmp_path / "configs") == (make_entry(),)


def test_a_lock_that_is_a_link_empties_nothing(tmp_path: Path) -> None:
    (path,) = store.save([make_entry()], tmp_path / "configs")
    victim, lock = tmp_path / "victim", path.with_name(f".{path.name}.lock")
    victim.write_text("precious")
    lock.unlink()
    lock.symlink_to(victim)
    store.save([make_entry(seconds=2e-3)], tmp_path / "configs")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "config",
    [
        "channels(lanes=16,tile=evil)",
        "channels(lanes=16,tile=64,evil=1)",
        "evil(lanes=16)",
        "channels(lanes=-16,tile=64)",
        "channels(lanes=16,tile=64000000)",
    ],
)
def test_a_name_from_a_file_reaches_no_source(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its form is that of a config; that the space holds no such one has to be found out before it is rendered."""
    cpu = target("cpu")
    data = make_entry(PROBLEM, cpu.facts).to_data()
    path = store.config_path(settings.user_config_dir(), cpu.facts, "linear_scan")
    path.parent.mkdir(parents=True)
    path.write_text(store.files.json.dumps({"schema": 1, "entries": [{**data, "config": config}]}))
    rendered: list[str] = []
    for variant in {type(variant) for variant in cpu.variants("linear_scan")}:
        source = variant.source

        def told(self: object, problem: object, config: object, source: object = source) -> Source:
            rendered.append(str(config))
            return source(self, problem, config)  # type: ignore[operator, no-any-return]

        monkeypatch.setattr(variant, "source", told)
    found = dispatch.resolve(PROBLEM, cpu)
    assert found is not None
    assert found.how == "default"
    assert rendered == []


@pytest.mark.parametrize("name", ["../../evil", "a/b", "\\", "..", "x" * 300])
def test_a_device_s_name_leads_into_no_other_folder(tmp_path: Path, name: str) -> None:
    device = type(DEVICES[0])(**{**vars(DEVICES[0]), "name": name})
    path = store.config_path(tmp_path, device, "linear_scan")
    assert path.resolve().parent.parent == tmp_path.resolve()
