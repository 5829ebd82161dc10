"""The tuned configs that ship are configs that this version has, of sources that it renders."""

from __future__ import annotations

import pytest

from benchmarks.ship_configs import GRID, SHIPPED, problem_of
from ssmgen import settings, store
from ssmgen.store import TunedConfig
from ssmgen.store.lookup import GENERIC
from ssmgen.targets import target

FOLDER = settings.shipped_config_dir()
ENTRIES = [entry for entry in store.load(FOLDER) if entry.device.kind in ("cuda", "hip")]


def facts_for(entry: TunedConfig) -> str:
    """A target whose space must hold the entry's config."""
    return "sm_90" if entry.device.arch == GENERIC else entry.device.arch


@pytest.mark.parametrize("device", [*SHIPPED, GENERIC])
def test_gpus_have_a_predicted_config_for_every_problem_of_the_grid(device: str) -> None:
    name = GENERIC if device == GENERIC else target(device).facts.name
    found = {str(entry.problem) for entry in ENTRIES if entry.device.name == name}
    assert found == {str(problem_of(cell)) for cell in GRID}


def test_they_are_configs_of_today_and_their_sources_are_as_they_were() -> None:
    pytest.importorskip("triton")
    for entry in ENTRIES:
        place = target(facts_for(entry))
        variant = place.space(entry.problem).check(entry.config)
        source = variant.source(entry.problem, entry.config)
        # If a template has changed: python -m benchmarks.ship_configs
        assert source.hash == entry.source_hash, f"{entry.device.name}: {entry.problem}"
        assert entry.evidence == "predicted"


def test_a_device_that_is_here_finds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(settings, "config_dirs", lambda: (FOLDER,))
    facts = target("h200").facts
    problem = problem_of(GRID[0])
    found = store.lookup(problem, facts, lambda entry: True)
    assert found is not None
    assert (found.how, found.entry.device.name) == ("exact", "NVIDIA H200")
    other = store.lookup(problem, target("sm_86").facts, lambda entry: True)
    assert other is not None
    assert other.how == GENERIC
