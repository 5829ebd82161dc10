from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen import settings, store
from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.problem import Problem
from ssmgen.store import TunedConfig
from tests.helpers import make_problem
from tests.store.strategies import DEVICES, make_entry, problems, tuned_configs

H100, H200, A100 = DEVICES


def _anything(entry: TunedConfig) -> bool:
    return True


def _best(
    problem: Problem, facts: DeviceFacts, folders: list[list[TunedConfig]], banned: str
) -> tuple[bool, float, bool, int] | None:
    """The rank of the best entry, by trying all."""
    ranks = [
        (entry.device.name != facts.name, distance, entry.evidence == "predicted", order)
        for order, entries in enumerate(folders)
        for entry in entries
        if entry.device.arch == facts.arch and entry.config.variant != banned
        if (distance := problem.problem_class().distance(entry.problem.problem_class())) is not None
    ]
    return min(ranks, default=None)


@hypothesis.settings(max_examples=50)
@given(
    problems(),
    st.sampled_from(DEVICES),
    st.tuples(st.lists(tuned_configs(), max_size=8), st.lists(tuned_configs(), max_size=8)),
    st.sampled_from(["sequential", "nothing"]),
)
def test_lookup_is_the_best_of_all_that_are_valid(
    tmp_path_factory: pytest.TempPathFactory,
    problem: Problem,
    facts: DeviceFacts,
    saved: tuple[list[TunedConfig], list[TunedConfig]],
    banned: str,
) -> None:
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    for folder, entries in zip(folders, saved, strict=True):
        store.save(entries, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "config_dirs", lambda: folders)
        match = store.lookup(problem, facts, lambda entry: entry.config.variant != banned)
    best = _best(problem, facts, [list(store.load(folder)) for folder in folders], banned)
    if match is None:
        assert best is None
        return
    assert match.entry in store.load(folders[0]) + store.load(folders[1])
    assert match.entry.config.variant != banned
    other = match.entry.device.name != facts.name
    order = folders.index(match.path.parent.parent)
    assert (other, match.distance, match.entry.evidence == "predicted", order) == best
    assert match.how == ("same arch" if other else "nearest" if match.distance else "exact")


def test_lengths_of_one_class_share_an_entry() -> None:
    store.save([make_entry(make_problem("linear_scan", seqlen=2000))])
    match = store.lookup(make_problem("linear_scan", seqlen=1500), H100, _anything)
    assert match is not None
    assert (match.how, match.distance) == ("exact", 0)


def test_d_state_dtype_and_options_are_never_crossed() -> None:
    store.save([make_entry(make_problem("selective_scan", d_state=16))])
    for other in (
        make_problem("selective_scan", d_state=8),
        make_problem("selective_scan", "bf16"),
        make_problem("selective_scan", z=True),
    ):
        assert store.lookup(other, H100, _anything) is None


def test_a_device_of_the_same_arch_comes_last_and_another_arch_never() -> None:
    near, far = make_problem("linear_scan"), make_problem("linear_scan", seqlen=1 << 20)
    store.save([make_entry(near, H200), make_entry(far, H100)])
    match = store.lookup(near, H100, _anything)
    assert match is not None
    assert (match.how, match.entry.device.name) == ("nearest", "NVIDIA H100")
    match = store.lookup(near, H100, lambda entry: entry.problem == near)
    assert match is not None
    assert (match.how, match.entry.device.name) == ("same arch", "NVIDIA H200")
    assert store.lookup(near, A100, _anything) is None


def test_measured_wins_over_predicted_at_equal_distance_whatever_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    store.save([make_entry(evidence="predicted", config=Config.of("chunked", {}))], first)
    store.save([make_entry()], second)
    monkeypatch.setattr(settings, "config_dirs", lambda: (first, second))
    match = store.lookup(make_problem("linear_scan"), H100, _anything)
    assert match is not None
    assert match.entry.evidence == "measured"


def test_the_first_problem_that_is_served_wins_and_files_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, reverse = make_problem("linear_scan"), make_problem("linear_scan", reverse=True)
    store.save([make_entry(reverse), make_entry(make_problem("linear_scan", seqlen=1 << 20))])
    looked_at: list[Path] = []

    def counted(path: Path) -> tuple[TunedConfig, ...]:
        looked_at.append(path)
        return store.read_file(path)

    monkeypatch.setattr(sys.modules["ssmgen.store.lookup"], "read_file", counted)
    many = [make_problem("linear_scan", "bf16", seqlen=length) for length in range(1, 100)]
    assert store.lookup_first(many, H100, _anything) is None
    match = store.lookup_first([*many, plain, reverse], H100, _anything)
    assert match is not None
    assert (match.entry.problem.options, match.how) == (plain.options, "nearest")
    match = store.lookup_first([plain, reverse], H100, lambda entry: entry.problem == reverse)
    assert match is not None
    assert (match.entry.problem, match.how) == (reverse, "exact")
    assert 0 < len(looked_at) <= 3 * len(settings.config_dirs())
