from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import kill_runs


@pytest.mark.slow
def test_runs_that_are_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """`python -m benchmarks.kills` does it fifty times."""
    outcome = kill_runs(3, tmp_path, seed=1, budget=6.0)
    assert outcome.kills >= 1
    assert (outcome.lost, outcome.torn) == (0, 0)
    assert outcome.resumed == outcome.journalled
    assert outcome.is_saved
