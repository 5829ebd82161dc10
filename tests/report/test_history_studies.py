"""What `ssmgen report` makes of many trials: importances, crossovers, studies of Optuna, axes."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen.report.history import history_data, importances, read_history, write_studies
from ssmgen.report.history.axes import Axis
from ssmgen.report.history.crossovers import crossovers
from ssmgen.store import TunedConfig
from tests.report.histories import FACTS, cells, failed, find, page_of, session, trial, words


def test_importances_are_given_where_there_are_trials_enough() -> None:
    journal = session()
    # Only `a` decides the time, but for a little noise; of the other variant there are too few.
    for number in range(24):
        seconds = (1.0 + number % 4) * (1 + 1e-3 * (number * 7 % 5))
        journal.append(trial(f"many(a={number % 4},b={number // 4},c=1)", seconds))
    for number in range(19):
        journal.append(trial(f"few(a={number})", 1.0 + number))
    journal.append(failed("few(a=99)", "crash"))
    history = read_history()
    ((few, many),) = importances(history.tuned)
    assert (few.variant, few.timed, few.shares) == ("few", 19, ())
    assert (many.variant, many.timed) == ("many", 24)
    assert next(name for name, _ in many.shares) == "a"
    assert many.shares[0][1] > 0.8
    assert sum(share for _, share in many.shares) == pytest.approx(1.0)
    page = page_of(history)
    (table,) = find(page, "table", "params")
    assert [cells(row) for row in find(table, "tr")] == [
        [name, "", f"{100 * share:.0f}%"] for name, share in many.shares
    ]
    bar = find(table, "rect")[1].get("width", "")
    assert float(bar) == pytest.approx(100 * many.shares[0][1], abs=0.1)
    assert "few: 19 configs timed, too few to tell; 20 are needed." in words(page)


def test_variants_cross_where_the_fastest_changes() -> None:
    for seqlen, slow, quick in ((64, 1.0, 2.0), (256, 2.0, 3.0), (1024, 9.0, 4.0)):
        journal = session(seqlen)
        for each in (trial("slow(n=1)", slow), trial("slow(n=2)", slow + 1), trial("quick(n=1)", quick)):
            journal.append(each)
    session(2048, max_error=1e-3).append(trial("slow(n=1)", 1e-9))  # another bound: not comparable
    history = read_history()
    (found,) = crossovers(history.tuned)
    assert (found.dim, found.sizes) == ("seqlen", (64, 256, 1024))
    assert found.ranges == (("slow", 64, 256), ("quick", 1024, 1024))
    page = page_of(history)
    assert "Fastest: slow from 64 to 256, quick at 1024." in words(page)
    (table,) = (each for each in find(page, "table") if "how many were timed" in words(each))
    assert [cells(row) for row in find(table, "tr")[1:]] == [
        ["64", "2 s (1)", "1 s (2)"],
        ["256", "3 s (1)", "2 s (2)"],
        ["1024", "4 s (1)", "9 s (2)"],
    ]
    (data,) = history_data(history, importances(history.tuned))["crossovers"]
    assert data["fastest"][1] == {"variant": "quick", "from": 1024, "to": 1024}


def test_optuna_reads_the_trials(entry: TunedConfig, tmp_path: Path) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    session(128).append(trial("slow(n=1)", 1.0))
    path = tmp_path / "studies.log"
    path.write_text("what an earlier report wrote")
    assert write_studies(path, read_history().tuned) == 4
    storage = JournalStorage(JournalFileBackend(os.fspath(path)))
    names = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
    assert len(names) == 4
    (name,) = (each for each in names if "seqlen=64" in each and "quick" in each)
    study = optuna.load_study(study_name=name, storage=storage)
    assert [each.value for each in study.trials] == [4e-3, None, None, 2e-3]
    assert [each.state.name for each in study.trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert [each.params for each in study.trials] == [{"n": number} for number in (1, 2, 3, 4)]
    assert study.trials[1].user_attrs["failure"] == "crash"
    assert study.trials[1].user_attrs["detail"] == "SIGABRT"
    assert study.trials[0].user_attrs["error"] == {"out": 3e-8}
    assert study.trials[0].datetime_complete is not None
    assert study.user_attrs["device"] == FACTS.name


@given(st.floats(1e-12, 1e6), st.floats(1.0, 1e9), st.booleans())
def test_ticks_lie_on_their_axis(low: float, ratio: float, is_log: bool) -> None:
    axis = Axis.over([low, low * ratio], 0.0, 100.0, str, is_log)
    ticks = axis.ticks(apart=9.0)
    assert 1 <= len(ticks) <= 7
    assert all(after.at - before.at >= 9.0 for before, after in pairwise(ticks))
    assert [tick.at for tick in ticks] == sorted({tick.at for tick in ticks})
    for tick in ticks:
        assert 0.0 <= tick.at <= 100.0
        assert tick.at == axis.at(float(tick.label))
    assert 0.0 < axis.at(low) <= axis.at(low * ratio) < 100.0


@pytest.mark.parametrize("count", [1, 2, 3, 7, 66, 1000])
def test_counts_begin_with_one(count: int) -> None:
    ticks = Axis.over((1, count), 0.0, 100.0, lambda value: f"{value:.0f}", is_log=False).counts()
    labels = [int(tick.label) for tick in ticks]
    assert labels[0] == 1
    assert labels == sorted(set(labels))
    assert labels[-1] <= max(count, 1) * 1.07
