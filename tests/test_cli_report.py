"""`ssmgen report` from outside: what it writes, and where, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ssmgen import store
from ssmgen.cli import app
from tests.store.strategies import usable


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["report", *words], catch_exceptions=False)


def written() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_it_writes_one_page_and_says_where() -> None:
    store.save([usable()])
    result = run()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "ssmgen-report.html\n", "")
    assert written() == ["ssmgen-report.html"]
    first = Path("ssmgen-report.html").read_text()
    assert first.startswith("<!DOCTYPE html>")
    assert "linear_scan" in first
    result = run("cauchy_mult", "-o", "some/where.html")
    assert result.stdout == "some/where.html\n"
    assert "linear_scan" not in Path("some/where.html").read_text()


def test_data_come_without_a_page_unless_one_is_named() -> None:
    store.save([usable()])
    data = json.loads(run("--json").stdout)
    assert [item["saved"]["config"] for item in data["tuned"]] == [str(usable().config)]
    assert written() == []
    assert json.loads(run("--json", "-o", "page.html").stdout)["tuned"]
    assert written() == ["page.html"]


def test_studies_for_optuna_are_written_beside_the_page() -> None:
    result = run("--optuna", "studies.log")
    assert result.exit_code == 0
    assert "optuna-dashboard studies.log" in result.stderr
    assert written() == ["ssmgen-report.html", "studies.log"]


def test_what_cannot_be_read_is_one_warning_and_no_failure(tmp_path: Path) -> None:
    broken = tmp_path / "tuned_configs" / "any" / "linear_scan.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    result = run()
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"warning: {broken} is not valid JSON")
    assert str(broken) in Path("ssmgen-report.html").read_text()


@pytest.mark.parametrize("option", ["-o", "--optuna"])
def test_a_file_that_cannot_be_written_is_an_error(option: str) -> None:
    Path("folder").mkdir()
    result = run(option, "folder")
    assert result.exit_code == 1
    assert "folder cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert [name for name in written() if name.startswith(".")] == []


def test_an_op_that_does_not_exist_is_an_error() -> None:
    result = run("selektive_scan")
    assert result.exit_code == 1
    assert "Did you mean 'selective_scan'?" in result.stderr
    assert written() == []
