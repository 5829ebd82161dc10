"""`ssmgen tune` from outside, as processes, and what later processes make of its results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssmgen.cli import app
from ssmgen.report import explanation

SSMGEN = (sys.executable, "-m", "ssmgen")
SMALL = ("linear_scan", "--dim", "64", "--seqlen", "256", "--target", "cpu")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SSMGEN, *arguments], capture_output=True, text=True, timeout=120, check=False)


def saved_here() -> list[dict[str, Any]]:
    """The entries that `list` shows of this test's own folder: others ship with the package."""
    entries = json.loads(run("list", "--json").stdout)["tuned"]
    return [entry for entry in entries if entry["path"].startswith(os.environ["SSMGEN_CONFIG_DIR"])]


@pytest.mark.slow
def test_what_is_tuned_is_saved_listed_shown_and_resumed() -> None:
    first = run("tune", *SMALL, "--budget", "20", "--max-trials", "4", "--json")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    (result,) = json.loads(first.stdout)["results"]
    assert result["tried"] == 4
    assert result["best"]["seconds"] > 0
    assert max(result["best"]["error"].values()) < 2e-6

    listed = saved_here()
    assert [entry["config"] for entry in listed] == [result["best"]["config"]]
    assert listed[0]["path"] == result["path"]
    assert not listed[0]["stale"]

    shown = run("show", *SMALL)
    assert "tuned for these sizes (measured" in shown.stderr
    assert result["best"]["config"] in shown.stdout.splitlines()[0]

    second = run("tune", *SMALL, "--budget", "20", "--max-trials", "1")
    assert second.returncode == 0
    assert "4 known from an earlier run" in " ".join(second.stdout.split())
    assert "best so far" in second.stderr


@pytest.mark.slow
def test_the_problems_of_a_file_share_a_budget_and_the_next_run_goes_on_with_them(tmp_path: Path) -> None:
    path = tmp_path / "shapes.jsonl"
    lines = [{"op": "linear_scan", "dim": dim, "seqlen": 256} for dim in (32, 64, 63)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    arguments = ("tune", "--shapes", str(path), "--target", "cpu", "--budget", "30", "--max-trials", "2")
    first = run(*arguments, "--json")
    assert first.returncode == 0, first.stderr
    # The last is of the second's class.
    found = json.loads(first.stdout)["results"]
    assert [result["dims"]["dim"] for result in found] == [32, 64]
    assert sorted(entry["config"] for entry in saved_here()) == sorted(
        result["best"]["config"] for result in found
    )

    second = run(*arguments)
    assert second.returncode == 0, second.stderr
    assert "1 of 3 problems" in second.stderr
    # One line of the table for each, which says what tells them apart.
    table = second.stdout.split("\n\n")[0]
    assert [dim in table for dim in ("dim=32", "dim=64", "dim=63")] == [True, True, False]
    assert " ".join(second.stdout.split()).count("2 known from an earlier run") == 2


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured() -> None:
    process = subprocess.Popen(
        [
            *SSMGEN,
            "tune",
            "selective_scan",
            "--dim",
            "64",
            "--seqlen",
            "256",
            "--target",
            "cpu",
            "--budget",
            "100",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a script hands down an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "best so far" in line:
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in out
    assert len(saved_here()) == 1


@pytest.mark.slow
def test_a_gpu_that_is_only_named_is_tuned_by_predictions_and_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("triton")
    named = ("linear_scan", "--dim", "32", "--seqlen", "64", "--dtype", "fp32", "--target", "sm_90")
    tuned = run("tune", *named, "--budget", "5", "--max-trials", "2", "--json")
    assert tuned.returncode == 0, tuned.stderr
    (result,) = json.loads(tuned.stdout)["results"]
    assert (result["tried"], result["evidence"]) == (2, "predicted")
    (entry,) = saved_here()
    assert (entry["config"], entry["evidence"]) == (result["best"]["config"], "predicted")

    rivals_of = explanation._rivals
    monkeypatch.setattr(explanation, "_rivals", lambda *given: rivals_of(*given)[:3])  # to compile no more
    explained = CliRunner().invoke(app, ["explain", *named, "--json"], catch_exceptions=False)
    assert explained.exit_code == 0
    data = json.loads(explained.stdout)
    assert data["chosen"] == result["best"]["config"]
    assert "predicted" in data["reason"]
    chosen, *rivals = data["configs"]
    assert chosen["predicted_seconds"] == pytest.approx(result["best"]["seconds"])
    assert len(rivals) == 2
    assert all(rival["predicted_seconds"] > 0 for rival in rivals)
    # Three floats for each element, and no special functions.
    assert chosen["bytes_per_element"] == pytest.approx(12, rel=0.2)
    assert chosen["pipes_per_element"]["mufu"] == 0
    assert [(launch["spills"], launch["atomics"]) for launch in chosen["launches"]] == [(0, 0)] * len(
        chosen["launches"]
    )


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [*SSMGEN, "show", "selective_scan", "--target", "cpu"]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as gone:
        done = subprocess.run(
            command, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
