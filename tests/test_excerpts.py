"""Excerpts of kernels in pages: a block whose title is an `ssmgen show` command holds lines that it prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.hooks.fences import fences
from ssmgen import targets
from ssmgen.cli import app
from ssmgen.targets import cpu
from tests.test_golden import FACTS

ROOT = Path(__file__).parent.parent
LEFT_OUT = "..."


def excerpts() -> Iterator[tuple[str, str, str]]:
    """Page and line, command and text of every excerpt."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for fence in fences(path.read_text()):
            if fence.title is not None and fence.title.startswith("ssmgen show "):
                yield f"{path.relative_to(ROOT)}:{fence.line}", fence.title, fence.text


EXCERPTS = list(excerpts())


def missing(excerpt: str, source: str) -> str | None:
    """The first stretch between lines left out that the source does not hold, after the stretches before it."""
    rest = source
    for stretch in excerpt.split(f"\n{LEFT_OUT}\n"):
        _, found, rest = rest.partition(f"\n{stretch}\n")
        if not found:
            return stretch
        rest = f"\n{rest}"
    return None


@pytest.fixture
def _a_cpu_of_16_lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CPU of the golden files, whatever the machine's own is: nothing is compiled."""
    targets.target.cache_clear()
    monkeypatch.setattr(cpu, "cpu_facts", lambda: FACTS["c"])
    yield
    targets.target.cache_clear()


@pytest.mark.usefixtures("_a_cpu_of_16_lanes")
@pytest.mark.parametrize(
    ("command", "excerpt"), [case[1:] for case in EXCERPTS], ids=[case[0] for case in EXCERPTS]
)
def test_excerpts_are_of_what_is_rendered(command: str, excerpt: str) -> None:
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert missing(excerpt, f"\n{result.stdout}") is None


def test_a_stretch_must_be_whole_and_in_order() -> None:
    source = "\na\nb\nc\nd\n"
    assert missing("a\nb\n...\nd", source) is None
    assert missing("b\n...\nc", source) is None
    assert missing("c\n...\nb", source) == "b"
    assert missing("a\nc", source) == "a\nc"
    assert missing("b\n...\nb", source) == "b"
    assert missing("  a", source) == "  a"
