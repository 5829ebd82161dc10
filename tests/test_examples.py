"""The examples run, and say what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 333])
def test_a_mamba_block_on_real_text_agrees_with_the_reference(length: int) -> None:
    command = [sys.executable, str(EXAMPLES / "mamba_block.py"), "--length", str(length)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{length} bytes of the Python documentation" in done.stdout
    found = re.search(r"relative difference: +(\S+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= 2e-6
