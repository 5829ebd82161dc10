"""`ssmgen report` on files that lie, are torn, or hold what a browser or terminal would obey."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen import settings, store
from ssmgen.report.history import History, history_data, importances, read_history, render_page, write_studies
from ssmgen.store import TunedConfig
from tests.report.histories import failed, find, page_of, saved, session, trial, words

SCRIPT = "<script>alert(1)</script>"
NASTY = f"</title></style></svg>{SCRIPT}<img src=x onerror=alert(2)>\"'{{{{ 7*7 }}}}{{% raw %}}&amp;\x1b[31m\x00\ud800"


def hostile_history(text: str) -> History:
    """A history in which everything that takes a text says this."""
    journal = session(versions={text: text, "torch": text})
    journal.append(replace(trial("slow(n=1)", 1.0), error={text: 1e-7}, source_hash=text))
    journal.append(failed("slow(n=2)", "crash", text))
    lines = journal.path.read_text().split("\n")
    run = json.loads(lines[1])
    run["run"]["device"]["name"] = run["run"]["device"]["arch"] = (
        "".join(c for c in text if c.isprintable()) or "x"
    )
    lines[1] = json.dumps(run)
    journal.path.write_text("\n".join(lines))
    path = settings.user_config_dir() / "any" / "linear_scan.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, "entries": [{**saved().to_data(), "evidence": text}]}))
    return read_history()


TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "section",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "a",
    ),
    *(
        "div",
        "span",
        "strong",
        "code",
        "pre",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
        "figure",
        "figcaption",
    ),
    *("figure", "figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "desc", "line", "polyline", "path", "circle", "rect", "text"),
}


def check_harmless(page: ET.Element) -> None:
    for element in page.iter():
        assert element.tag in TAGS
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("src", "style", "action", "xlink:href")
            assert name != "href" or value.startswith("#")
    assert not re.search(r"url\(|@import|expression", words(find(page, "style")[0]))


def test_nothing_in_a_file_is_more_than_text() -> None:
    history = hostile_history(NASTY)
    page = page_of(history)
    check_harmless(page)
    said = words(page)
    assert said.count(SCRIPT) >= 4  # versions, device, detail, complaint
    assert "{{ 7*7 }}" in said
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800]", render_page(history, importances(history.tuned)))
    json.dumps(history_data(history, importances(history.tuned)), ensure_ascii=False).encode()
    # The browser is told so, too.
    (policy,) = (each for each in find(page, "meta") if each.get("http-equiv"))
    assert policy.get("content", "").startswith("default-src 'none';")
    write_studies(settings.user_config_dir() / "studies", history.tuned)


def test_the_name_of_a_folder_is_only_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "<b onclick='x'>\x1b[31m\udcff"
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(folder))
    store.save([saved()])
    history = read_history()
    page = page_of(history)
    check_harmless(page)
    assert "/<b onclick='x'>\ufffd[31m\ufffd/" in words(page)
    json.dumps(history_data(history, importances(history.tuned)), ensure_ascii=False).encode()
    render_page(history, importances(history.tuned)).encode()


@hypothesis.settings(max_examples=20)
@given(st.text(min_size=1))
def test_any_text_leaves_the_page_whole(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSMGEN_CACHE_DIR", str(folder / "cache"))
        patch.setenv("SSMGEN_CONFIG_DIR", str(folder / "configs"))
        history = hostile_history(text)
        assert len(history.tuned) == 1
        check_harmless(page_of(history))


def test_what_cannot_be_read_is_named_and_the_rest_reported(entry: TunedConfig, tmp_path: Path) -> None:
    torn = session(128)
    torn.append(trial("slow(n=1)", 1.0))
    torn.append(trial("slow(n=2)", 1.0))
    torn.path.write_bytes(torn.path.read_bytes()[:-30])
    folder = torn.path.parent
    (folder / "linear_scan_garbage.jsonl").write_bytes(b"\xff\xfe\x00" * 99)
    (folder / "linear_scan_folder.jsonl").mkdir()
    old = session(256)
    old.append(trial("slow(n=1)", 1.0))
    old.path.write_text(old.path.read_text().split("\n")[-1])
    others = session(512)
    others.append(trial("slow(n=1)", 1.0))
    others.path.chmod(0o666)
    broken = tmp_path / "tuned_configs" / "any" / "linear_scan.json"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("{")
    history = read_history()
    named = {
        str(torn.path): "1 line is no trial",
        "linear_scan_garbage.jsonl": "1 line is no trial",
        "linear_scan_folder.jsonl": "cannot be read",
        str(old.path): "an earlier ssmgen wrote it",
        str(others.path): "can be written by anybody",
        str(broken): "not valid JSON",
    }
    for name, sentence in named.items():
        (complaint,) = (each for each in history.complaints if name in each)
        assert sentence in complaint
        assert "\n" not in complaint
    assert len(history.complaints) == len(named)
    assert sorted(item.problem["seqlen"] for item in history.tuned) == [64, 128]
    assert len(history.tuned[0].records) == 7
    assert all(complaint in words(page_of(history)) for complaint in history.complaints)


def test_a_cache_that_others_can_write_is_not_believed(entry: TunedConfig) -> None:
    session(128).append(trial("slow(n=1)", 1.0))
    settings.cache_dir().chmod(0o777)
    history = read_history()
    # Named once, however many journals it holds; the config, which is data, is reported.
    (complaint,) = history.complaints
    assert f"{settings.cache_dir()} can be written by anybody" in complaint
    assert [(item.entry, item.journal) for item in history.tuned] == [(entry, None)]
    # In a folder such as /tmp nobody can replace what is another's.
    settings.cache_dir().chmod(0o1777)
    assert [len(item.records) for item in read_history().tuned] == [7, 1]
