"""Tables and progress: what they say, and that 80 columns hold them."""

from __future__ import annotations

import io
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ssmgen import targets
from ssmgen.config import Config
from ssmgen.report import selftest as report_selftest
from ssmgen.report.code import print_code
from ssmgen.report.progress import Lines, Screen
from ssmgen.report.tuned import print_results, result_data
from ssmgen.report.wording import milliseconds, problem_text, times
from ssmgen.selftest import Case, Figures
from ssmgen.tuning import Final, Timing, Trial, TuneResult
from tests.helpers import make_problem

PROBLEM = make_problem("selective_scan")
CONFIG = Config.of("channels", {"exp": "poly", "lanes": 16, "states": 8, "tile": 64})


def console(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False)


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def make_result() -> TuneResult:
    best = Final(CONFIG, Timing(0.0035, (0.0034, 0.0036)), {"out": 3e-7}, "0123456789abcdef")
    return TuneResult(
        problem=PROBLEM,
        facts=targets.target("cpu").facts,
        reference=Timing.of([0.105]),
        default=replace(best, timing=Timing.of([0.007])),
        best=best,
        tried=40,
        resumed=2,
        valid=65,
        failures=Counter({"wrong result": 2, "crash": 1}),
        excluded=Counter({("channels", "l1"): 14, ("states", "l1"): 1}),
        is_exhaustive=False,
        is_interrupted=False,
        notes=("timed with the last-level cache cold",),
        path=Path("/configs/cpu/selective_scan.json"),
        seconds=44.6,
    )


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(None, "-"), (1.741, "1,741 ms"), (0.0127, "12.7 ms"), (0.0035, "3.50 ms"), (2.5e-5, "0.025 ms")],
)
def test_times_have_three_digits(seconds: float | None, wanted: str) -> None:
    assert milliseconds(seconds) == wanted


def test_ratios() -> None:
    assert times(0.105, 0.0035) == "30.0x"
    assert times(0.007, 0.0035) == "2.00x"
    assert times(None, 1.0) == "-"


def test_problems_leave_out_what_goes_without_saying() -> None:
    assert (
        problem_text(PROBLEM) == "selective_scan (batch=1, dim=1536, seqlen=2048, d_state=16, groups=1) fp32"
    )
    asked = make_problem("selective_scan", "bf16", z=True, layout="channel")
    assert problem_text(asked).endswith("bf16 [layout=channel, z]")
    assert problem_text(make_problem("cauchy_mult", symmetric=False)).endswith("c64 [symmetric=false]")


def test_results_fit_80_columns() -> None:
    shown = console()
    print_results([make_result()], shown)
    lines = text(shown).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "selective_scan",
        "105",
        "ms",
        "7.00",
        "ms",
        "3.50",
        "ms",
        "30.0x",
        "2.00x",
        "3e-07",
    ]
    whole = " ".join(text(shown).split())
    assert "40 of 65 configs in 45 s, 2 known from an earlier run" in whole
    assert "2 wrong result, 1 crash" in whole
    assert "15 l1 (static rules)" in whole
    assert str(CONFIG) in whole
    assert "/configs/cpu/selective_scan.json" in whole


def test_a_result_without_a_winner() -> None:
    shown = console()
    result = replace(make_result(), best=None, default=None, reference=None, path=None)
    print_results([result], shown)
    assert "no config worked" in text(shown)
    assert result_data(result)["best"] is None


def test_result_data_holds_the_gain() -> None:
    data = result_data(make_result())
    assert data["speedup_over_reference"] == pytest.approx(30.0)
    assert data["speedup_over_default"] == pytest.approx(2.0)
    assert data["best"]["config"] == str(CONFIG)


def test_lines_say_each_improvement_once() -> None:
    shown = console()
    lines = Lines(shown)
    lines.started(targets.target("cpu").space(PROBLEM), 0, time.monotonic() + 60)
    lines.referenced(0.1)
    for seconds in (0.02, 0.01, 0.03):
        lines.measured(Trial(CONFIG, Timing.of([seconds])))
    lines.measured(Trial(CONFIG, failure="crash"))
    lines.deciding([CONFIG])
    said = text(shown)
    assert said.count("best so far") == 2
    assert "10.0 ms (10.0x)" in said
    assert "4 tried" in said
    assert "1 failed" in said


def test_the_screen_shows_what_is_done_and_what_is_left() -> None:
    waiting = make_problem("cauchy_mult")
    shown = console(terminal=True)
    screen = Screen(shown, "Tuning", [PROBLEM, waiting])
    screen.started(targets.target("cpu").space(PROBLEM), 0, time.monotonic() + 60)
    screen.compiling([CONFIG, CONFIG])
    screen.measured(Trial(CONFIG, Timing.of([0.01])))
    screen.timing(CONFIG)
    shown.print(screen.render())
    said = text(shown)
    for word in ("timing", "10.0 ms", "1 tried", "s left", "cauchy_mult", str(CONFIG)):
        assert word in said
    screen.finished(make_result())
    shown.print(screen.render())
    assert "30.0x faster than PyTorch" in text(shown)


def test_code_is_plain_in_a_pipe_and_coloured_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "int main(void)\n{\n    return 0; // " + 120 * "x" + "\n}\n"
    print_code(code, "c")
    assert capsys.readouterr().out == code
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_code(code, "c")
    coloured = capsys.readouterr().out
    assert "\x1b[" in coloured
    assert 120 * "x" in coloured


def test_the_self_test_fills_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("cpu", "results", PROBLEM, CONFIG, lambda: Figures(3e-7, 2e-6))
    monkeypatch.setattr(report_selftest, "present_targets", lambda: (targets.target("cpu"),))
    monkeypatch.setattr(report_selftest, "cases", lambda target: [case, case])
    shown = console(terminal=True)
    result = report_selftest.selftest(shown)
    assert "2/2" in text(shown)
    assert result.is_passed
    plain = console()
    report_selftest.print_selftest(result, plain)
    assert max(map(len, text(plain).splitlines())) <= 80
    assert "2 of 2 3.0e-07   2e-06" in text(plain)


def test_a_self_test_without_checks_is_not_passed() -> None:
    assert not report_selftest.SelfTest((), 0.0).is_passed
