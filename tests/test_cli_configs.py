from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ssmgen import store
from ssmgen.cli import app
from ssmgen.targets import target
from tests.store.strategies import make_entry, usable


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_merge_takes_in_and_gives_out(tmp_path: Path) -> None:
    store.save([usable()], tmp_path / "theirs")
    result = run("merge", str(tmp_path / "theirs"), "--json")
    assert result.exit_code == 0
    assert [item["outcome"] for item in json.loads(result.stdout)["configs"]] == ["added"]
    assert store.load(tmp_path / "tuned_configs") == (usable(),)
    assert "1 added" in run("merge", "--into", str(tmp_path / "out")).stdout
    assert store.load(tmp_path / "out") == (usable(),)
    assert "1 known" in run("merge", "--into", str(tmp_path / "out")).stdout


@pytest.mark.parametrize("words", [(), ("/nowhere",)])
def test_merge_says_what_it_lacks(words: tuple[str, ...]) -> None:
    result = run("merge", *words, "--json")
    assert result.exit_code == 1
    assert "name" in json.loads(result.stdout)["error"]


def test_prune_removes_only_when_it_is_told_to(tmp_path: Path) -> None:
    store.save([make_entry(), usable()])
    planned = run("prune", "--dry-run")
    assert "1 configs and 0 half-written files would be removed" in planned.stdout
    assert len(store.load(tmp_path / "tuned_configs")) == 2
    data = json.loads(run("prune", "--json").stdout)
    assert [item["problem"] for item in data["configs"]] == [str(make_entry().problem)]
    assert (data["dry_run"], data["leftovers"]) == (False, [])
    assert store.load(tmp_path / "tuned_configs") == (usable(),)


def test_digest_is_one_line() -> None:
    line = run("digest", "--target", "cpu").stdout
    assert line.count("\n") == 1
    data = json.loads(run("digest", "--target", "cpu", "--json").stdout)
    assert f"{data['line']}\n" == line
    assert line.startswith(data["digest"])
    (choice,) = json.loads(run("digest", "linear_scan", "--target", "cpu", "--json").stdout)["choices"]
    assert choice.startswith("linear_scan forward")
    assert run("digest", "nothing", "--target", "cpu").exit_code == 1


@pytest.mark.slow
def test_verify_tries_saved_configs_again() -> None:
    cpu = target("cpu")
    good = usable(256, seconds=10.0, quartiles=(10.0, 10.0), default_seconds=None, threads=None)
    store.save([good, usable(64, source_hash="0" * 16)])
    result = run("verify", "--target", "cpu", "--json")
    assert result.exit_code == 0
    found = {item["problem"]: item for item in json.loads(result.stdout)["configs"]}
    assert found[str(good.problem)]["outcome"] == "faster"
    assert found[str(good.problem)]["device"] == cpu.facts.name
    assert sorted(item["outcome"] for item in found.values()) == ["faster", "stale"]
    store.save([usable(256, seconds=1e-9, quartiles=(1e-9, 1e-9), default_seconds=None, threads=None)])
    result = run("verify", "linear_scan", "--target", "cpu")
    assert result.exit_code == 1
    assert "slower" in result.stdout


def test_verify_says_where_there_is_nothing_and_what_is_unknown() -> None:
    assert "make some with: ssmgen tune" in run("verify", "--target", "cpu").stdout
    assert run("verify", "nothing", "--target", "cpu").exit_code == 1
