"""The recording of a machine: within ten minutes, and written where docs/bench.md says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import record
from ssmgen.bench import machine_facts
from ssmgen.report.bench_data import bench_data
from ssmgen.targets import target
from tests.report.test_bench import ONE, SWEEP


def test_all_runs_together_take_ten_minutes_at_most() -> None:
    assert sum(run.seconds for run in record.RUNS) <= 600
    assert len({run.name for run in record.RUNS}) == len(record.RUNS)


def test_the_page_has_a_table_of_each_point_and_a_picture_of_each_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = machine_facts(target("cpu"))
    runs = {
        "forward": bench_data(ONE, facts, ["bench"]),
        "length": bench_data(SWEEP, facts, ["bench", "--sweep"]),
    }
    page = tmp_path / "bench.md"
    page.write_text(record.PAGE.read_text())
    monkeypatch.setattr(record, "PAGE", page)
    record.write_page(json.loads(json.dumps({"runs": runs})))
    text = page.read_text()
    assert "| ssmgen | 2.15 ms | 2.10 ms to 2.20 ms | 95.2 | 48% | 2.0e-07 | 1.0 MiB |" in text
    assert "| numba | failed: timeout" in text
    assert "![Against length, two threads](pictures/bench_length.svg)" in text
    assert "| ssmgen | 1.00 ± 0.00 | - | 0.134 ms at 128 | 1,101 ms at 1,048,576 |" in text
    # What is not recorded stays.
    assert text.startswith(record.PAGE.read_text().split(record.BEGIN)[0])
