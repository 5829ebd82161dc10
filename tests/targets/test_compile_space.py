"""The command that compiles a space: counts, failures and exit codes, on a variant of the tests' own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from benchmarks import compile_space
from ssmgen.kernels import Variant
from ssmgen.targets import Target
from tests.targets.triton_variant import RowScan

pytest.importorskip("triton")


def _serve(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "variants", lambda self, op: (variant,))


def test_a_space_that_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _serve(RowScan(), monkeypatch)
    compile_space.main("linear_scan", ["sm_90"], ["fp32", "bf16"], report=tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["compiled"], found["failures"]) == (2, [])


def test_a_failure_is_listed_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _serve(RowScan(RowScan().body.replace("h = 0.0", "h = missing")), monkeypatch)
    with pytest.raises(typer.Exit) as stopped:
        compile_space.main("linear_scan", ["sm_90"], report=tmp_path / "found.json")
    assert stopped.value.exit_code == 1
    assert "0 of 1 configs compiled" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    [failed] = found["failures"]
    assert found["compiled"] == 0
    assert failed["target"] == "sm_90"
    assert "missing" in failed["error"]
