"""What the README and the pages of docs/ show runs: their Python, their commands, their formulas, the site.

A page is read from top to bottom: its Python blocks share their names, its commands a folder, in which the blocks that
have a file's name as their title lie. `docs/hooks/fences.py` says how a block names the reason why it is not run.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import ssmgen
from docs.hooks.fences import Fence, fences
from ssmgen import compat, nn, reference, settings
from ssmgen.bench import run as benchmark
from ssmgen.cli import app
from ssmgen.targets import known_targets

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
# Minutes are for the reader: of two budgets, or sizes, the last counts.
SMALL = ["--dim", "32", "--seqlen", "64"]
LIMITS = {
    "tune": ["--budget", "6", "--max-trials", "1", *SMALL],
    "bench": ["--budget", "250", "--provider", "ssmgen", *SMALL],
    "verify": ["--budget", "6"],
}


def runnable(text: str, *languages: str) -> list[Fence]:
    return [fence for fence in fences(text) if fence.language in languages and fence.reason is None]


def commands(text: str) -> list[list[str]]:
    """The words of each `ssmgen ...` line of a page's blocks without a language."""
    lines = [
        line.removeprefix("$ ")
        for fence in runnable(text, "", "sh", "console")
        for line in fence.text.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ssmgen ")]


def limited(words: list[str]) -> list[str]:
    """A command as a test can wait for it."""
    limits = LIMITS.get(words[0], [])
    if {"--shapes", "--model"} & set(words):
        limits = [limit for limit in limits if limit not in SMALL]
    if words[0] == "tune" and "--training" in words:
        # The defaults of both directions are tried for every distance of saved states: here for few.
        limits = [*limits, "--most-states", "0.25"]
    return [*words, *limits]


def with_python(*, apart: bool) -> list[str]:
    """Pages with Python: those that change what imports find run in processes of their own."""
    return [
        name
        for name, text in PAGES.items()
        if (blocks := runnable(text, "python"))
        and any("compat.install(" in block.text for block in blocks) == apart
    ]


def python_of(page: str) -> str:
    """The blocks of a page as one program, on the lines where they stand."""
    lines = [""] * (PAGES[page].count("\n") + 1)
    for fence in runnable(PAGES[page], "python"):
        text = fence.text.splitlines()
        lines[fence.line - 1 : fence.line - 1 + len(text)] = text
    return "\n".join(lines)


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    ssmgen.unfreeze()
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
@pytest.mark.parametrize("page", with_python(apart=False))
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(python_of(page), page, "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("page", with_python(apart=True))
def test_python_that_changes_imports_runs_in_its_own_process(page: str, tmp_path: Path) -> None:
    if "transformers" in python_of(page):
        pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, "-c", python_of(page)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if commands(text)])
def test_the_commands_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "_ROUNDS", (1, 2))
    for fence in fences(PAGES[page]):
        if fence.title is not None and " " not in fence.title:
            (tmp_path / fence.title).write_text(fence.text + "\n")
    for words in commands(PAGES[page]):
        result = CliRunner().invoke(app, limited(words))
        said = f"{page}: ssmgen {shlex.join(words)}\n{result.output}"
        assert result.exit_code == 0, said
        assert result.stdout.strip(), said


def test_the_files_that_pages_name_exist() -> None:
    for page, text in PAGES.items():
        for path in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
            assert (ROOT / page).parent.joinpath(path).exists(), f"{page}: {path}"
        for path in re.findall(r"`((?:examples|docs|benchmarks|tests)/[\w./]+)`", text):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_the_targets_that_pages_name_exist() -> None:
    for page, text in PAGES.items():
        # The walk that adds a target names what it adds.
        if page != "docs/extend/target.md":
            assert set(re.findall(r"--target (\w+)", text)) <= set(known_targets()), page


def test_the_environment_variables_are_those_that_are_read() -> None:
    rows = re.findall(r"^\| `(SSMGEN_\w+)` \| (.*) \|$", PAGES["docs/environment.md"], re.MULTILINE)
    plain = [(name, meaning.replace("`", "")) for name, meaning in rows]
    assert plain == [(name, meaning.replace("`", "")) for name, meaning in settings.VARIABLES]


def test_everything_public_is_in_the_api() -> None:
    shown = [name for text in PAGES.values() for name in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)]
    assert len(shown) == len(set(shown))
    for module in (ssmgen, nn, compat, reference):
        # Modules have pages of their own, and a version is no API.
        public = {name for name in module.__all__ if name not in ("__version__", "compat", "nn")}
        missing = {f"{module.__name__}.{name}" for name in public} - set(shown)
        assert not missing, f"docs/api leaves out {sorted(missing)}"


def test_the_fields_of_a_fence() -> None:
    text = '```python no-run: needs a GPU\nx = 1\n```\n\n```json title="shapes.jsonl"\n{}\n```\n'
    assert list(fences(text)) == [
        Fence("python", "x = 1", 2, "needs a GPU", None),
        Fence("json", "{}", 6, None, "shapes.jsonl"),
    ]
    for wrong in ("```python no-run\n```", "```python no-run:\n```", "```{.python}\n```", "```\nno end"):
        with pytest.raises(ValueError, match="line 1"):
            list(fences(wrong))


def test_a_formula_that_cannot_be_converted_is_an_error() -> None:
    formulas = pytest.importorskip("docs.hooks.formulas", reason="the extra `docs` is not installed")
    assert "<mfrac>" in formulas.mathml(r"\frac{v_n}{z - \lambda_n}", "inline")
    for wrong, reason in ((r"\unheard x", r"\\unheard is not known"), (r"\frac{a", "braces")):
        with pytest.raises(ValueError, match=reason):
            formulas.mathml(wrong, "block")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


# Whatever a browser fetches by itself; a link is followed by its reader.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\b(?:src|srcset)=[\"']?(?P<src>[^\"'\s>]+)"
    r"|<link\b(?![^>]*\brel=[\"']?(?:next|prev|canonical)\b)[^>]*?\bhref=[\"']?(?P<href>[^\"'\s>]+)"
)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        for found in _FETCHED.finditer(page.read_text()):
            address = found["src"] or found["href"]
            assert not re.match(r"(?:https?:)?//", address), f"{page.relative_to(site)}: {address}"
    for style in site.rglob("*.css"):
        for address in re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", style.read_text()):
            assert not re.match(r"(?:https?:)?//", "".join(address)), f"{style.name}: {address}"


@pytest.mark.slow
def test_no_formula_is_left_as_tex(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert 'class="arithmatex"' not in page.read_text(), page
