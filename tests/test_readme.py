"""What the README promises is what the code and CI do."""

from __future__ import annotations

from pathlib import Path

from docs.hooks.fences import fences

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_ci_runs_the_commands_that_set_up_as_they_stand() -> None:
    commands = [block.text for block in fences(README) if not block.language and "pip install" in block.text]
    assert len(commands) == 2
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if "pip install" in line] == commands
