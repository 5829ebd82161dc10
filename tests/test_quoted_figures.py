"""Figures of the benchmark that docs/how quotes are those that docs/bench.md and docs/prediction.md have now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
BENCH = (DOCS / "bench.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """The first table after a heading of the benchmark, its rows by provider, and what stands above it."""
    section = BENCH[BENCH.index(heading) :]
    above, _, table = section.partition("\n\n| provider")
    lines = table.partition("\n\n")[0].splitlines()
    return {
        "": above,
        **{line.split(" | ")[0].removeprefix("| "): line for line in lines if line[:2] == "| "},
    }


SCAN, DPLR = "**selective_scan**, forward (batch 1, dim 1536", "**dplr_kernel**, forward (channels 1, dim 512"
CAUCHY = "**cauchy_mult**, forward (rows 512"


@pytest.mark.parametrize(
    ("page", "heading", "row", "figures"),
    [
        ("scan.md", SCAN, "", ["1.82 ms", "0.507 ms", "75.2 GB/s"]),
        ("scan.md", SCAN, "ssmgen", ["2.34 ms"]),
        ("scan.md", SCAN, "mambapy", ["540 ms", "1,119 MiB"]),
        ("cauchy.md", DPLR, "ssmgen", ["5.48 ms", "16.1 MiB", "2.5e-07"]),
        ("cauchy.md", DPLR, "torch", ["1,448 ms", "1,074 MiB", "1.6e-06"]),
        ("cauchy.md", DPLR, "torch.compile", ["183 ms"]),
        ("cauchy.md", CAUCHY, "ssmgen", ["84%"]),
    ],
)
def test_pages_quote_what_was_recorded(page: str, heading: str, row: str, figures: list[str]) -> None:
    text = (DOCS / "how" / page).read_text()
    recorded = rows(heading)[row]
    for figure in figures:
        assert figure in text, f"docs/how/{page} no longer quotes {figure}: take it out of this test"
        assert figure in recorded, f"docs/how/{page} quotes {figure}, but docs/bench.md now has: {recorded}"


def test_the_instructions_are_those_that_were_counted() -> None:
    text = " ".join((DOCS / "how" / "cauchy.md").read_text().split())
    counted = (DOCS / "prediction.md").read_text()
    (cells,) = re.findall(r"^\| DPLR, four products \| ([\d.]+ \|.*) \|$", counted, re.MULTILINE)
    bound, *_, others = cells.split(" | ")
    assert f"that is {float(bound):.1f} instructions" in text
    assert f"takes {others.split()[-1]} for each of the four products" in text
