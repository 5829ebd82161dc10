"""`ssmgen report`: the page and its data say what the files say, and what is missing."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from ssmgen import settings, store
from ssmgen.report.history import history_data, importances, read_history, render_page
from ssmgen.store import TunedConfig
from ssmgen.tuning.session import Session
from tests.helpers import make_problem
from tests.report.histories import (
    FACTS,
    THREADS,
    VERSIONS,
    cells,
    failed,
    find,
    page_of,
    saved,
    session,
    trial,
    words,
)
from tests.store.strategies import make_entry


def test_the_page_says_what_is_on_disk(entry: TunedConfig) -> None:
    history = read_history()
    assert not history.complaints
    page = page_of(history)
    assert render_page(history, importances(history.tuned)).startswith("<!DOCTYPE html>\n<html")
    (section,) = find(page, "section", "problem")
    numbers = [words(each) for each in find(section, "dd")[:5]]
    assert numbers == ["1.5 ms", "2.00×", "400×", "7", "3"]
    said = words(section)
    for part in (str(entry.config), "ssmgen 1.2, torch 2.13.0", "default 3 ms, PyTorch 600 ms", "2026-01-31"):
        assert part in said
    (overview,) = (each for each in find(page, "table") if "saved on" in words(each))
    (row,) = (each for each in find(overview, "tr") if find(each, "a"))
    assert cells(row) == [
        "1",
        f"linear_scan (batch={entry.problem['batch']}, dim={entry.problem['dim']}, seqlen=64) fp32",
        "1.5 ms",
        "2.00×",
        "",
        "400×",
        "1.0e-07",
        "7",
        "3",
        "2026-01-31",
    ]
    # Every trial is a row, in order.
    rows = find(find(section, "details")[0], "tr")[1:]
    assert [words(each[2]) for each in rows] == [
        "3 ms",
        "wrong result",
        "4 ms",
        "crash",
        "crash",
        "2 ms",
        "1.6 ms",
    ]
    assert words(rows[6][1]) == f"{entry.config} saved"
    assert words(rows[2][4]) == "3.0e-08"
    # Failures by kind, the most frequent first, with what was said of the first.
    (failures,) = find(section, "table", "failures")
    assert [cells(each) for each in find(failures, "tr")[1:]] == [
        ["crash", "2", ""],
        ["for example quick(n=2)SIGABRT"],
        ["wrong result", "1", ""],
        ["for example slow(n=2)out is off by 3.0e-01"],
    ]


def _places(chart: ET.Element) -> list[tuple[str, float, float, str]]:
    """Classes, place and title of each mark."""
    found = []
    for mark in find(chart, "path", "mark"):
        x, y = map(float, re.findall(r"[\d.]+", mark.get("transform", "")))
        found.append((mark.get("class", ""), x, y, words(mark)))
    return found


def test_pictures_show_every_trial_where_it_belongs(entry: TunedConfig) -> None:
    time, error = find(page_of(read_history()), "svg", "chart")
    marks = sorted(_places(time), key=lambda mark: mark[1])
    # From left to right in the order of the trials, at equal distances.
    assert [int(re.findall(r"trial (\d+):", title)[0]) for *_, title in marks] == list(range(1, 8))
    first = next(each for each in find(time, "text") if words(each) == "1")
    assert float(first.get("x", "")) == marks[0][1]
    gaps = [after[1] - before[1] for before, after in pairwise(marks)]
    assert max(gaps) - min(gaps) < 0.3
    # Slower is higher, equal ratios are equal heights, and failures lie above all.
    heights = {title.split(": ")[1]: y for _, _, y, title in marks}
    assert heights["slow(n=1)"] > heights["quick(n=1)"]
    doubled = heights["quick(n=4)"] - heights["quick(n=1)"]
    assert doubled == pytest.approx(2 * (heights["quick(n=4)"] - heights["slow(n=1)"]) / 2 / 0.585, rel=0.02)
    assert [title.split(": ")[2] for name, *_, title in marks if "failed" in name] == [
        "wrong result",
        "crash",
        "crash",
    ]
    assert max(y for name, _, y, _ in marks if "failed" in name) < min(
        y for name, _, y, _ in marks if "failed" not in name
    )
    # A variant has one look in all pictures; two variants have two.
    looks = {title.split(": ")[1].split("(")[0]: name.split()[1] for name, _, _, title in marks}
    assert len(set(looks.values())) == 3
    assert all(
        name.split()[1] == looks[title.split(": ")[1].split("(")[0]] for name, *_, title in _places(error)
    )
    assert len(find(time, "circle", "saved")) == len(find(error, "circle", "saved")) == 1
    # The best so far falls, by its own trials, to the fastest one's height; the default's line is at its height.
    (line,) = find(time, "polyline")
    steps = [float(point.split(",")[1]) for point in line.get("points", "").split()]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (heights["slow(n=1)"], max(heights.values()))
    (guide,) = find(time, "line", "guide")
    assert float(guide.get("y1", "")) == heights["slow(n=1)"]
    # More exact is lower, faster further left; the front joins what no other beats: exact and slow, ..., fast.
    where = {title.split(": ")[1]: (x, y) for _, x, y, title in _places(error)}
    assert where["quick(n=1)"][1] > where["quick(n=4)"][1] > where["slow(n=1)"][1]
    assert where["quick(n=4)"][0] < where["slow(n=1)"][0] < where["quick(n=1)"][0]
    (front,) = find(error, "polyline")
    joined = [tuple(map(float, point.split(","))) for point in front.get("points", "").split()]
    assert joined == [where[str(entry.config)], where["quick(n=1)"]]


def test_the_data_are_those_of_the_files(entry: TunedConfig) -> None:
    history = read_history()
    data = json.loads(json.dumps(history_data(history, importances(history.tuned)), allow_nan=False))
    (item,) = data["tuned"]
    assert item["saved"]["seconds"] == entry.seconds
    assert (item["gain_over_default"], item["gain_over_reference"]) == (2.0, 400.0)
    assert [each["seconds"] for each in item["trials"]] == [3e-3, None, 4e-3, None, None, 2e-3, 1.6e-3]
    assert item["trials"][0]["error"] == {"out": 2e-7}
    assert [(each["kind"], each["count"]) for each in item["failures"]] == [("crash", 2), ("wrong result", 1)]
    assert (item["threads"], item["versions"], item["saved"]["stale"]) == (THREADS, VERSIONS, False)
    assert item["device"]["name"] == FACTS.name
    assert item["command"].startswith("ssmgen tune linear_scan")
    assert (data["complaints"], data["crossovers"], data["shipped"]) == ([], [], [])


def test_a_config_that_is_tried_again_counts_once_and_other_versions_do_not() -> None:
    old = session(versions={"torch": "1"})
    old.append(trial("slow(n=1)", 1e-9))
    journal = session()
    for each in (trial("slow(n=1)", 1.0), failed("slow(n=2)", "timeout"), trial("slow(n=1)", 2.0)):
        journal.append(each)
    (item,) = read_history().tuned
    assert [record.trial.failure or record.trial.seconds for record in item.records] == ["timeout", 2.0]
    assert item.earlier == 1
    assert "1 trial of other versions" in words(page_of(read_history()))


def test_a_config_belongs_to_the_journal_that_it_came_from() -> None:
    found = saved()
    store.save([found])
    session(max_error=1e-3).append(replace(trial(found.config, 1.0), source_hash="other"))
    session(max_error=1e-5).append(replace(trial(found.config, 1.0), source_hash=found.source_hash))
    assert {item.max_error: item.entry for item in read_history().tuned} == {1e-3: None, 1e-5: found}
    assert "--max-error 0.001" in words(page_of(read_history()))


def test_what_is_missing_is_said_with_the_command_that_gives_it() -> None:
    assert "ssmgen tune --d-state 16" in words(page_of(read_history()))
    # A config alone, measured or predicted; one that no call uses; trials alone; only failures.
    gpu = make_entry(make_problem("linear_scan", "bf16"), evidence="predicted", default_seconds=None)
    store.save([saved(64), saved(128, source_hash="0" * 16), gpu])
    session(256).append(trial("slow(n=1)", 1.0))
    session(512).append(failed("slow(n=1)", "crash"))
    sections = [words(each) for each in find(page_of(read_history()), "section", "problem")]
    said = {
        "seqlen=64": "no journal of its trials",
        "seqlen=128": "templates have changed",
        "seqlen=256": "No config of this very problem is saved",
        "seqlen=512": "None of the configs that were tried works",
        "bf16": "predicted from machine code",
    }
    for sizes, sentence in said.items():
        (section,) = (each for each in sections if re.search(rf"{sizes}\b", each))
        assert sentence in section
        assert "ssmgen tune linear_scan" in section
    crossing = words(find(page_of(read_history()), "h2")[-1])
    assert crossing == "Where variants cross"
    assert "This needs problems that differ in one size alone" in words(page_of(read_history()))


def test_shipped_configs_are_listed_apart() -> None:
    store.save([saved()], settings.shipped_config_dir())
    history = read_history()
    assert (history.tuned, len(history.shipped)) == ((), 1)
    said = words(page_of(history))
    assert "Configs that came with ssmgen" in said
    assert "ssmgen tune linear_scan" in said
    assert len(history_data(history, ())["shipped"]) == 1


def test_only_the_ops_that_are_asked_for() -> None:
    store.save([saved()])
    Session(make_problem("cauchy_mult"), FACTS, 1, VERSIONS).append(trial("slow(n=1)", 1.0))
    assert [item.problem.op for item in read_history(["cauchy_mult"]).tuned] == ["cauchy_mult"]
    assert [item.problem.op for item in read_history().tuned] == ["linear_scan", "cauchy_mult"]
