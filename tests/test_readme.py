"""What the README promises is what the code and CI do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssmgen import settings
from ssmgen.targets import known_targets

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_commands_that_set_up_as_they_stand() -> None:
    commands = [block.strip() for block in blocks("") if "pip install" in block]
    assert len(commands) == 2
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if "pip install" in line] == commands


def test_the_environment_variables_are_those_that_are_read() -> None:
    rows = re.findall(r"^\| `(SSMGEN_\w+)` \| (.*) \|$", README, re.MULTILINE)
    plain = [(name, meaning.replace("`", "")) for name, meaning in rows]
    assert plain == [(name, meaning.replace("`", "")) for name, meaning in settings.VARIABLES]


@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
def test_the_python_example_runs() -> None:
    example = next(block for block in blocks("python") if "selective_scan(" in block)
    names: dict[str, object] = {}
    # The sizes of mamba-130m are for the reader.
    exec(example.replace("1, 1536, 2048, 16", "1, 8, 64, 16"), names)
    for name, shape in (("y", (1, 8, 64)), ("h", (1, 8, 64)), ("K", (512, 4097))):
        result = names[name]
        assert isinstance(result, torch.Tensor)
        assert result.shape == shape
        assert bool(torch.isfinite(result.abs()).all())


@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
def test_the_example_of_s4_runs() -> None:
    example = next(block for block in blocks("python") if "nn.S4(" in block)
    names: dict[str, object] = {}
    exec(example, names)
    layer, u, y_rest, y = (names[name] for name in ("layer", "u", "y_rest", "y"))
    whole = layer(u).detach()  # type: ignore[operator]
    assert float((whole[:, 1:] - y_rest.detach()).abs().max() / whole.abs().max()) < 1e-4
    assert tuple(y.shape) == (2, 8, 4096)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_drop_in_example_runs() -> None:
    """In a process of its own: it changes what imports find."""
    example = next(block for block in blocks("python") if "install(" in block)
    check = "\nassert selective_scan_fn is ssmgen.compat.mamba_ssm.selective_scan_fn"
    done = subprocess.run([sys.executable, "-c", example + check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_targets_it_names_exist() -> None:
    assert set(re.findall(r"--target (\w+)", README)) <= set(known_targets())


def test_the_files_it_names_exist() -> None:
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:examples|docs|benchmarks)/[\w./]+)`", README):
        assert (ROOT / path).exists(), path


def _commands() -> list[str]:
    lines = [line for block in blocks("") for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in lines if line.startswith("ssmgen ")]


@pytest.mark.slow
@pytest.mark.parametrize("command", _commands())
def test_the_commands_run(command: str) -> None:
    words = command.split()
    if {"tune", "bench"} & set(words):
        # Minutes are for the reader; of two budgets the last counts.
        words += ["--budget", "12"]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 3
