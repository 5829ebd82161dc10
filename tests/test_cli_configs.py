from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ssmgen import store
from ssmgen.cli import app
from ssmgen.targets import target
from ssmgen.tuning import Timing, Trial, Tuner
from ssmgen.tuning.session import source_hash
from tests.helpers import make_problem
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


def test_few_says_how_few_configs_what_was_tuned_needs(tmp_path: Path) -> None:
    path = tmp_path / "shapes.jsonl"
    path.write_text("".join(f'{{"op": "linear_scan", "dim": 32, "seqlen": {n}}}\n' for n in (64, 128, 256)))
    nothing = CliRunner().invoke(app, ["few", "--shapes", str(path), "--target", "cpu", "--json"])
    assert nothing.exit_code == 1
    assert "none of these problems was tuned" in json.loads(nothing.stdout)["error"]

    times = {64: (1.0, 1.5, 3.0), 128: (2.0, 1.0, 2.0)}  # the third has no trials
    with Tuner("cpu") as tuner:
        for length, seconds in times.items():
            space = tuner.target.space(make_problem("linear_scan", dim=32, seqlen=length))
            configs = [config for group in space.configs.values() for config in group][:3]
            for config, each in zip(configs, seconds, strict=True):
                trial = Trial(
                    config, Timing(each, (each, each)), source_hash=source_hash(space, config) or ""
                )
                tuner._record(space).append(trial)
    found = CliRunner().invoke(app, ["few", "--shapes", str(path), "--target", "cpu", "--json"])
    assert found.exit_code == 0, found.output
    (curve,) = json.loads(found.stdout)["curves"]
    assert (curve["function"], len(curve["problems"])) == ("linear_scan", 2)
    one, two = curve["choices"]
    assert (one["configs"], one["losses"]) == ([str(configs[1])], [0.5, 0.0])
    assert (set(two["configs"]), two["worst_loss"]) == ({str(config) for config in configs[:2]}, 0.0)
    shown = CliRunner().invoke(app, ["few", "--shapes", str(path), "--target", "cpu"])
    assert "1 of 3 problems were not tuned" in shown.stderr
    assert "1 config   at worst  50.0% slower" in shown.stdout
