"""Sources in the cache: named by content, written whole, restored when they were touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from ssmgen.codegen import TEMPLATES, Source, environment, render, write_atomically


def _source(text: str = "x = 1\n") -> Source:
    return Source("triton", "example", text, Source.digest(text))


def test_a_source_is_written_once_and_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path))
    path = _source().path()
    assert path.read_text() == "x = 1\n"
    before = path.stat().st_mtime_ns
    assert _source().path().stat().st_mtime_ns == before
    path.write_text("import os  # what somebody put there is never run\n")
    assert _source().path().read_text() == "x = 1\n"
    assert _source("x = 2\n").path() != path


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_name_that_a_template_misses_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "t.py.j2").write_text("x = {{ x }}\n")
    monkeypatch.setattr(environment, "TEMPLATES", tmp_path)
    environment._environment.cache_clear()
    try:
        source = render("triton", "t.py.j2", "name", ("first line",), {"x": 3})
        assert source.text.splitlines()[0] == "# first line"
        assert source.hash in source.text
        assert source.text.endswith("\nx = 3\n")
        with pytest.raises(UndefinedError):
            render("triton", "t.py.j2", "name", (), {})
    finally:
        environment._environment.cache_clear()


def test_the_templates_come_with_the_package() -> None:
    assert (TEMPLATES / "triton").is_dir()
    assert (TEMPLATES / "c").is_dir()
