"""The tuned configs that ship are few, and configs that this version has, of sources that it renders."""

from __future__ import annotations

import json

import pytest

from benchmarks.grid import GRID, Group
from benchmarks.ship_configs import RESULTS, SHIPPED, WORST
from ssmgen import settings, store
from ssmgen.device import DeviceFacts
from ssmgen.store.lookup import GENERIC
from ssmgen.targets import target

FOLDER = settings.shipped_config_dir()
ENTRIES = [entry for entry in store.load(FOLDER) if entry.device.kind in ("cuda", "hip")]
CURVES = json.loads(RESULTS.read_text())


def device_facts(device: str) -> DeviceFacts:
    """The facts of a device that ships; for any NVIDIA GPU, those of one that has no configs of its own."""
    return target("sm_86" if device == GENERIC else device).facts


def test_every_entry_is_of_the_grid() -> None:
    wanted = {str(problem) for group in GRID for problem in group.problems()}
    assert {str(entry.problem) for entry in ENTRIES} <= wanted
    names = {entry.device.name for entry in ENTRIES}
    assert names == {target(device).facts.name for device in SHIPPED} | {GENERIC}


@pytest.mark.parametrize("device", [*SHIPPED, GENERIC])
@pytest.mark.parametrize("group", GRID, ids=lambda group: group.name)
def test_every_shape_of_the_grid_is_served_by_the_few_that_were_kept(
    device: str, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(settings, "config_dirs", lambda: (FOLDER,))
    recorded = CURVES[group.name][device]
    kept = next(choice for choice in recorded["choices"] if len(choice["configs"]) == recorded["kept"])
    # The fewest within the bound; where none is within it, all that gain anything.
    fewer = [choice["worst"] for choice in recorded["choices"] if len(choice["configs"]) < recorded["kept"]]
    assert all(worst > WORST for worst in fewer)
    facts = device_facts(device)
    served = set()
    for problem in group.problems():
        space = target("sm_86" if device == GENERIC else device).space(problem)
        found = store.lookup(problem, facts, lambda entry, space=space: entry.config in space)
        assert found is not None
        assert found.how in ((GENERIC,) if device == GENERIC else ("exact", "nearest"))
        served.add(str(found.entry.config))
    assert served <= set(kept["configs"])


def test_what_ships_can_be_used_and_says_that_no_gpu_has_timed_it() -> None:
    pytest.importorskip("triton")
    # If a template has changed: python -m benchmarks.ship_configs, and ssmgen prune --folder tuned_configs
    assert store.prune(FOLDER, dry_run=True) == store.Pruned((), ())
    assert {entry.evidence for entry in ENTRIES} == {"predicted"}


def test_a_device_that_is_here_finds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(settings, "config_dirs", lambda: (FOLDER,))
    own = next(entry for entry in ENTRIES if entry.device.name == target("h200").facts.name)
    found = store.lookup(own.problem, target("h200").facts, lambda entry: True)
    assert found is not None
    assert (found.how, found.entry) == ("exact", own)
    other = store.lookup(own.problem, target("sm_86").facts, lambda entry: True)
    assert other is not None
    assert other.how == GENERIC
