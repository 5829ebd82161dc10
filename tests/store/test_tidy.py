from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen import store
from ssmgen.errors import ConfigFileError, ConfigFileWarning
from ssmgen.store import TunedConfig
from tests.store.strategies import make_entry, tuned_configs, usable


def test_an_entry_is_current_while_its_templates_are() -> None:
    assert store.is_current(usable())
    assert not store.is_current(usable(source_hash="0" * 16))
    assert not store.is_current(make_entry())


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (usable(), usable(evidence="predicted", seconds=1e-6, created="2026-02-01")),
        (usable(), usable(source_hash="0" * 16, created="2026-02-01")),
        (usable(created="2026-02-01"), usable(seconds=1e-6)),
        (usable(seconds=1e-6), usable()),
    ],
)
def test_which_of_two_stays_does_not_depend_on_who_comes_first(
    tmp_path: Path, better: TunedConfig, worse: TunedConfig
) -> None:
    for name, entry in (("better", better), ("worse", worse)):
        store.save([entry], tmp_path / name)
    for number, order in enumerate(itertools.permutations(("better", "worse"))):
        into = tmp_path / f"into{number}"
        outcomes = [store.merge([tmp_path / name], into)[0].outcome for name in order]
        assert outcomes == (["added", "passed over"] if order[0] == "better" else ["added", "replaced"])
        assert store.load(into) == (better,)
        assert [item.outcome for item in store.merge([tmp_path / "better"], into)] == ["known"]


@settings(max_examples=20)
@given(st.lists(st.lists(tuned_configs(), min_size=1, max_size=3), min_size=2, max_size=3))
def test_folders_merge_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[TunedConfig]]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    sources = [folder / str(number) for number in range(len(batches))]
    for source, batch in zip(sources, batches, strict=True):
        store.save(batch, source)
    texts = set()
    for number, order in enumerate(itertools.permutations(sources)):
        into = folder / f"into{number}"
        store.merge(order, into)
        texts.add(tuple(path.read_text() for path in sorted(into.glob("*/*.json"))))
    assert len(texts) == 1


def test_a_single_file_can_be_merged_and_what_is_not_there_cannot(tmp_path: Path) -> None:
    (path,) = store.save([usable()], tmp_path / "theirs")
    (item,) = store.merge([path])
    assert item.outcome == "added"
    assert store.entries() == ((tmp_path / "tuned_configs", usable()),)
    with pytest.raises(ConfigFileError, match="nowhere is not there"):
        store.merge([tmp_path / "nowhere"])


def test_pruning_removes_what_no_call_can_use_and_nothing_else(tmp_path: Path) -> None:
    stale = usable(128, source_hash="0" * 16)
    (path,) = store.save([usable(), stale], tmp_path)
    (gone,) = store.save([make_entry()], tmp_path)
    for name, age in ((f".{path.name}.0123abcd", 7200), (f".{path.name}.89abcdef", 60)):
        path.with_name(name).write_text("half")
        os.utime(path.with_name(name), (path.stat().st_mtime - age,) * 2)
    wanted = [(path, stale), (gone, make_entry())]
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    planned = store.prune(tmp_path, dry_run=True)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before
    done = store.prune(tmp_path)
    assert planned == done
    assert sorted(done.entries, key=str) == sorted(wanted, key=str)
    assert done.leftovers == (path.with_name(f".{path.name}.0123abcd"),)
    assert store.load(tmp_path) == (usable(),)
    assert not gone.exists()
    assert path.with_name(f".{path.name}.89abcdef").exists()
    assert store.prune(tmp_path) == store.Pruned((), ())


def test_pruning_leaves_what_it_cannot_read(tmp_path: Path) -> None:
    (path,) = store.save([usable(source_hash="0" * 16)], tmp_path)
    text = path.read_text()
    path.write_text(text.replace('"entries": [', '"entries": [\n{"mine": 1},'))
    with pytest.warns(ConfigFileWarning, match="entry 1 cannot be used"):
        store.prune(tmp_path)
    assert '"mine": 1' in path.read_text()
    path.write_text("{")
    with pytest.warns(ConfigFileWarning, match="not valid JSON"):
        assert store.prune(tmp_path).entries == ()
    assert path.read_text() == "{"
