from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ssmgen
from ssmgen import dispatch, store
from ssmgen.store import TunedConfig
from tests.helpers import make_problem
from tests.store.strategies import make_entry, usable

PROBLEM = make_problem("linear_scan", seqlen=64)


def digests(*entries: TunedConfig) -> tuple[str, str]:
    """Of every call, and of one problem."""
    if entries:
        store.save(entries)
    dispatch.forget()
    return ssmgen.digest(target="cpu"), ssmgen.digest([PROBLEM], target="cpu")


@pytest.mark.parametrize(
    "entry",
    [
        usable(seconds=7e-3, created="2026-05-05", threads=8),
        usable(versions={"torch": "3"}, error={"out": 2e-7}),
    ],
)
def test_records_that_choose_nothing_do_not_matter(entry: TunedConfig) -> None:
    assert digests(usable()) == digests(entry)


@pytest.mark.parametrize("entry", [usable(128, source_hash="0" * 16), make_entry()])
def test_entries_that_serve_nobody_here_do_not_matter(entry: TunedConfig) -> None:
    assert digests() == digests(entry)


def test_where_configs_lie_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(usable(number=1))
    (tmp_path / "tuned_configs").rename(tmp_path / "elsewhere")
    assert digests() != before
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(tmp_path / "elsewhere"))
    assert digests() == before


def test_another_choice_is_another_line() -> None:
    untuned = digests()
    tuned = digests(usable(number=1))
    assert all(one != other for one, other in zip(untuned, tuned, strict=True))
    assert all(one != other for one, other in zip(tuned, digests(usable()), strict=True))


def test_a_choice_for_other_sizes_matters_where_any_call_may_come() -> None:
    """The nearest entry still is the same for this problem, but not for every problem."""
    before = digests(usable(number=1))
    after = digests(usable(4096))
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_for_one_problem_it_is_the_choice_that_counts_and_not_how_it_was_come_by() -> None:
    untuned, tuned = digests(), digests(usable())
    assert untuned[0] != tuned[0]
    assert untuned[1] == tuned[1]


@pytest.mark.parametrize("training", [False, True])
def test_training_adds_the_kernels_of_gradients(training: bool) -> None:
    problem = make_problem("selective_scan")
    found = ssmgen.digest([problem], target="cpu", training=training)
    assert found.endswith(" 3 choices" if training else " 1 choices")
    assert "\n" not in found


@pytest.mark.parametrize("name", ["cpu", "reference", "h100"])
def test_every_target_has_one(name: str) -> None:
    assert len(ssmgen.digest(target=name).split()[0]) == 16
    assert ssmgen.digest([PROBLEM], target=name) == ssmgen.digest([PROBLEM], target=name)


@pytest.mark.slow
def test_another_process_says_the_same() -> None:
    here = digests(usable(number=1))[0]
    code = "import ssmgen; print(ssmgen.digest(target='cpu'))"
    # The shipped configs are none for the tests alone.
    code = f"from ssmgen import settings; settings.shipped_config_dir = lambda: settings.Path('/nowhere'); {code}"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == here
