"""The walks of docs/extend, followed to the letter in copies of the checkout."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.hooks.fences import fences
from ssmgen.targets import cpu

ROOT = Path(__file__).parent.parent
# What the pages touch or run, and what that needs.
COPIED = (
    "benchmarks",
    "cli.py",
    "docs/hooks",
    "pyproject.toml",
    "ssmgen",
    "templates",
    "tests",
    "tuned_configs",
)
# As the pages write them, and as they are where this test runs.
COMMANDS = {
    ".venv/bin/python": [sys.executable],
    ".venv/bin/ssmgen": [sys.executable, "-m", "ssmgen"],
    ".venv/bin/ruff": [sys.executable, "-m", "ruff"],
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def patched(text: str, patch: str) -> str:
    """A file after a patch, whose places are found by what stands there and not by line numbers."""
    for hunk in patch.split("\n...\n"):
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        assert text.count(before) == 1, f"stands {text.count(before)} times there:\n{before}"
        text = text.replace(before, after)
    return text


class Walk:
    """One page, followed. `outputs` has what each command printed, by the command."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source, copy = ROOT / name, folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)
        self.outputs: dict[str, str] = {}
        for fence in fences((ROOT / page).read_text()):
            if fence.title is not None:
                self._write(fence.language, folder / fence.title, fence.text)
            elif fence.language == "":
                for line in fence.text.splitlines():
                    self._run(line)

    def _write(self, language: str, path: Path, text: str) -> None:
        if language == "diff":
            path.write_text(patched(path.read_text(), text))
            return
        assert not path.exists(), path
        path.write_text(f"{text}\n")

    def _run(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        # One thread: others may use the machine, and threads that wait for one another would wait for them.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [*COMMANDS[words[0]], *words[1:]],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        self.outputs[line] = done.stdout

    def said(self, *words: str) -> str:
        """What the one command that has all of these words printed."""
        (output,) = (said for line, said in self.outputs.items() if all(word in line for word in words))
        return output


def test_a_stranger_adds_a_kernel_that_is_as_fast_as_any(tmp_path: Path) -> None:
    walk = Walk("docs/extend/kernel.md", tmp_path)
    assert "scan_rows" in walk.said("show", "--target cpu", "rows(")
    assert "sequence, channel = row // dim, row % dim" in walk.said("show", "--target sm_90")
    listed = [line.split()[:2] for line in walk.said("ssmgen list").splitlines() if line.startswith("  ")]
    assert listed.count(["c", "rows"]) == listed.count(["triton", "rows"]) == 1
    for kind in ("c/linear_scan_rows_bare.c", "triton/linear_scan_rows_bare.py"):
        assert (tmp_path / "tests/golden" / kind).is_file()
        assert not (ROOT / "tests/golden" / kind).exists()
    assert "14 passed" in walk.said("test_linear_scan_rows.py")
    # The config that was chosen or, where noise hides what it gains, one that the default ties with.
    assert "rows(ahead=" in walk.said("tune")
    assert "rows(block_d=32,num_warps=1,unroll=4)" in walk.said("explain")


@pytest.mark.skipif(not cpu.cpu_facts().arch.startswith("x86_64-avx"), reason="needs an x86-64 CPU with AVX2")
def test_a_stranger_adds_a_target_that_is_tuned(tmp_path: Path) -> None:
    walk = Walk("docs/extend/target.md", tmp_path)
    assembly = walk.said("show", "--stage asm")
    assert "%ymm" in assembly
    assert "%zmm" not in assembly
    assert "4 passed" in walk.said("test_baseline.py")
    assert "as-x86-64-v3" in walk.said("tune")
    assert json.loads((tmp_path / "scan/manifest.json").read_text())["target"]["arch"] == "x86-64-v3"
    assert list((tmp_path / "scan").glob("*.so"))
