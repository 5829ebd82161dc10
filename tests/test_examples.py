"""The examples run, and say what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(example: str, *options: str) -> str:
    """What an example prints, if it succeeds."""
    done = subprocess.run([sys.executable, str(EXAMPLES / example), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 333])
def test_a_mamba_block_on_real_text_agrees_with_the_reference(length: int) -> None:
    printed = run("mamba_block.py", "--length", str(length))
    assert f"{length} bytes of the Python documentation" in printed
    found = re.search(r"relative difference: +(\S+)", printed)
    assert found is not None
    assert float(found[1]) <= 2e-6


def pictures(example: str, folder: Path, *names: str) -> Any:
    """What an example measured for its pictures, which are there and small."""
    result = json.loads(run(example, "--quick", "--json", "--folder", str(folder)))
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        drawn = (folder / name).read_bytes()
        assert drawn.startswith(b"\x89PNG")
        assert len(drawn) < 150_000
    return result


@pytest.mark.slow
def test_hippo_remembers_and_a_random_matrix_does_not(tmp_path: Path) -> None:
    errors = pictures("hippo_pictures.py", tmp_path, "hippo_reconstruction.png", "hippo_memory.png")
    for measure in ("legs", "legt"):
        few, many = (errors["reconstruction"][f"{measure} {count}"] for count in (8, 64))
        assert many < 2e-3
        assert few > 0.1
    assert errors["memory"]["HiPPO-LegT"] < 0.01
    assert errors["memory"]["random matrix"] > 0.5


@pytest.mark.slow
def test_s4_runs_both_ways(tmp_path: Path) -> None:
    result = pictures("s4_pictures.py", tmp_path, "s4_two_ways.png", "s4_kernel_cost.png")
    assert 0 < result["two_ways"]["difference"] < 2e-6 * result["two_ways"]["output"]
    assert [row["length"] for row in result["cost"]] == [64, 256]


@pytest.mark.slow
def test_s4_learns_digits() -> None:
    """Three epochs gave 67% to 78% for seeds 0 to 4, and forty 99%; chance is 10%."""
    result = json.loads(run("s4_digits.py", "--epochs", "3", "--json"))
    assert result["test_accuracy"] > 0.5
    assert result["losses"][-1] < result["losses"][0] < 2.5
