"""`ssmgen bench` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssmgen.bench import run as bench_run
from ssmgen.cli import app

SMALL = ("linear_scan", "--dim", "16", "--seqlen", "64", "--threads", "1", "--target", "cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--provider", "numbo"), "Did you mean 'numba'?"),
        (("--sweep", "width"), "unknown sweep"),
        (("--backward", "--training"), "leave --backward out"),
        (("--target", "sm_90"), "cannot be timed here"),
        (("--plot", "picture.doc"), "must end in"),
        (("selective_state_update", "--training"), "no gradients"),
        (("--sweep", "d_state"), "no d_state"),
    ],
)
def test_what_cannot_be_timed_is_one_error(arguments: tuple[str, ...], message: str) -> None:
    words = [*SMALL[:-2], *arguments] if "--target" in arguments else [*SMALL, *arguments]
    done = CliRunner().invoke(app, ["bench", *words])
    assert done.exit_code == 1
    assert message in done.stderr.replace("\n", " ")
    assert done.stdout == ""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ssmgen", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_two_providers_in_a_table_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "bars.svg"
    done = run(
        *SMALL, "--provider", "ssmgen", "--provider", "torch", "--budget", "30", "--plot", str(picture)
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[3:5]] == ["ssmgen", "torch"]
    assert picture.read_text().startswith("<?xml")
    assert "1 of 1: linear_scan" in done.stderr


@pytest.mark.slow
def test_a_sweep_as_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "_ROUNDS", (3, 3))
    providers = ("--provider", "ssmgen", "--provider", "torch")
    done = CliRunner().invoke(
        app, ["bench", *SMALL, *providers, "--sweep", "dim", "--budget", "240", "--json"]
    )
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    data = json.loads(done.stdout)
    assert data["sweep"] == "dim"
    assert [point["value"] for point in data["points"]] == [16, 64, 256, 1024, 4096, 16384]
    assert all(point["rows"][0]["status"] == "done" for point in data["points"])
    (torch_fit,) = [fit for fit in data["fits"] if fit["provider"] == "torch"]
    assert set(torch_fit) == {"op", "provider", "time", "memory"}


@pytest.mark.slow
def test_nothing_that_could_be_timed_is_exit_code_1() -> None:
    done = CliRunner().invoke(app, ["bench", *SMALL, "--provider", "pykeops", "--budget", "20"])
    assert done.exit_code == 1
    assert "pykeops" in done.stdout
