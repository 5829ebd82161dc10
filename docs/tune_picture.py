"""Tune the three ops for this machine, and draw the run as it looked on the terminal.

    python docs/tune_picture.py docs/tune.svg

The picture holds the command, the screen in the middle of the selective scan's search, and the table at the end.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from ssmgen import targets
from ssmgen.codegen import write_atomically
from ssmgen.kernels import INTERFACES
from ssmgen.report.progress import Screen
from ssmgen.report.tuned import print_table
from ssmgen.request import Request
from ssmgen.tuning import Trial, campaign

_WIDTH = 96
_BUDGET = 110.0  # what `ssmgen tune` takes by default


class _Snapshot(Screen):
    """A screen that keeps what it showed when a config had just been tried, at about a third of the first search."""

    picture: RenderableType | None = None

    def measured(self, trial: Trial) -> None:
        super().measured(trial)
        if self.picture is None and self.left < 0.67 * (self.deadline - self.begin):
            self.picture = self.render()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="where the SVG goes")
    parser.add_argument("--budget", type=float, default=_BUDGET, help="seconds in all (default: 110)")
    arguments = parser.parse_args()

    target = targets.target(targets.default_target())
    problems = Request({"d_state": 16}).problems(list(INTERFACES), target.facts)
    heading = (
        f"Tuning for {target.facts.name}, {arguments.budget:.0f} s in all. Ctrl-C keeps what was measured."
    )
    screen = _Snapshot(Console(), heading, problems)
    with screen:
        results = list(campaign(problems, target.name, budget_seconds=arguments.budget, observer=screen))

    console = Console(record=True, width=_WIDTH, force_terminal=True, file=io.StringIO(), highlight=False)
    budget = "" if arguments.budget == _BUDGET else f" --budget {arguments.budget:.0f}"
    console.print(Text(f"$ ssmgen tune --d-state 16{budget}", "bold"))
    if screen.picture is not None:
        console.print(screen.picture)
    console.print(Text("\nwhen the budget is spent\n", "dim italic"))
    print_table(results, console)
    # Fonts that a page would have to fetch: the reader's own monospace does.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="ssmgen tune"), flags=re.DOTALL)
    write_atomically(arguments.path, picture)


if __name__ == "__main__":
    main()
