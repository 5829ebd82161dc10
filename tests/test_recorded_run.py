"""What docs/how/tuner.md says of the run that is recorded beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

HOW = Path(__file__).parent.parent / "docs" / "how"
LINES = (HOW / "tuner.md").read_text()
PAGE = " ".join(LINES.split())
RUN = json.loads((HOW / "tuner_run.json").read_text())


def test_the_rules_left_out_what_the_table_says() -> None:
    rows = re.findall(r"^\| `(\w+: \w+)` \| (\d+) \|", LINES, re.MULTILINE)
    assert {rule: int(count) for rule, count in rows} == RUN["excluded"]
    assert f"multiply to {RUN['valid'] + sum(RUN['excluded'].values())} configs" in PAGE
    assert f"{RUN['valid']} remain" in PAGE


def test_the_finalists_took_what_the_table_says() -> None:
    for name in ("best", "default"):
        assert f"| `{RUN[name]['config']}`, " in PAGE
        assert f"| {1e3 * RUN[name]['seconds']:.3f} |" in PAGE
    assert f"| {1e3 * RUN['reference']:.1f} |" in PAGE
    assert f"{100 * (RUN['default']['seconds'] / RUN['best']['seconds'] - 1):.1f}% is the gain" in PAGE


def test_the_search_tried_what_the_page_says() -> None:
    timed = {trial["config"]: 1e3 * trial["timing"][0] for trial in RUN["trials"]}
    assert f"{len(timed)} of {RUN['valid']} were tried" in PAGE
    assert not RUN["failures"]
    in_search = f"came out at {timed[RUN['best']['config']]:.2f} ms and the default"
    assert f"{in_search}, `states=8`, at {timed[RUN['default']['config']]:.2f}" in PAGE
    assert f"at {max(timed.values()):.0f} ms, took four runs to lose" in PAGE
    assert f"{1e7 * RUN['best']['error']['out']:.1f} \\cdot 10^{{-7}}" in PAGE
