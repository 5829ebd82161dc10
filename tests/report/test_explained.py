"""Why a config serves: what is said of it and of its rivals, as tables and as data."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest
from rich.console import Console

from ssmgen.config import Config
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.kernels import Space
from ssmgen.model import KernelCost, LaunchCost
from ssmgen.report.counting import counted
from ssmgen.report.explained import explanation_data, print_explanation
from ssmgen.report.explanation import Explanation, explain
from ssmgen.targets import target
from ssmgen.targets.devices import DEVICES
from ssmgen.tuning import Observer, Trial, compilers
from tests.helpers import make_problem

PROBLEM = make_problem("linear_scan", batch=1, dim=1536, seqlen=2048)
H100 = DEVICES["h100"]
LAUNCH = LaunchCost(
    "linear_scan",
    132,
    4,
    32,
    0,
    0,
    0,
    0.0,
    {"alu": 1e5, "mufu": 100.0},
    {"alu": 9.0},
    0.9,
    1.0,
    1000,
    500,
    1500,
)


class StandIn:
    """A worker that compiles nothing."""

    answer: ClassVar[Callable[[Config], object]]

    def __init__(self, *_: object) -> None:
        pass

    def ask(self, request: object, limit: float) -> object:
        return StandIn.answer(request.config)  # type: ignore[attr-defined]

    def kill(self) -> None:
        pass


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Space:
    """The space of an H100, all of whose configs take the same unless a test says otherwise."""
    pytest.importorskip("triton")
    monkeypatch.setattr(compilers, "Worker", StandIn)
    StandIn.answer = staticmethod(lambda config: cost())
    return target("h100").space(PROBLEM)


def cost(alu: float = 1e5, **changed: object) -> KernelCost:
    launch = replace(LAUNCH, pipes={"alu": alu, "mufu": 100.0}, **changed)  # type: ignore[arg-type]
    return KernelCost((launch,), PROBLEM["dim"] * PROBLEM["seqlen"], "hash")


def shown(found: Explanation, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_explanation(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rivals_are_the_defaults_and_the_neighbours_fastest_first(space: Space) -> None:
    chosen = space.default()
    slow, fast, *_ = (
        variant.default(PROBLEM, space.facts) for variant in space.variants if variant.name != chosen.variant
    )
    StandIn.answer = staticmethod(lambda config: cost({slow: 3e5, fast: 1e4}.get(config, 1e5)))
    found = explain(PROBLEM, target("h100"))
    configs = [row.config for row in found.rows]
    assert configs[:2] == [chosen, fast]
    near = [x for x in configs if x.variant == chosen.variant and x != chosen]
    assert near
    assert all(sum(x[name] != value for name, value in chosen.params) == 1 for x in near)
    times = [row.seconds for row in found.rows[1:]]
    assert None not in times
    assert times == sorted(time for time in times if time is not None)
    assert (found.device, found.unknown) == (H100, 0)


def test_failures_are_shown_with_their_kind(space: Space) -> None:
    chosen = space.default()

    def answer(config: Config) -> object:
        if config == chosen:
            return cost(spills=7)
        if config.variant != chosen.variant:
            return Trial(config, failure="compile error", detail="no")
        return cost(unexplained=("how often the loop at line 3 runs depends on the data",))

    StandIn.answer = staticmethod(answer)
    found = explain(PROBLEM, target("h100"))
    assert {row.failure for row in found.rows} == {None, "compile error", "not accounted for"}
    assert all(row.seconds is None for row in found.rows if row.failure)
    text = shown(found)
    assert "+7 spills" in text
    assert "compile error" in text
    assert "not accounted for" in text


def test_tables_say_what_limits_the_chosen_and_fit_80_columns(space: Space) -> None:
    found = explain(PROBLEM, target("h100"))
    text = shown(found)
    assert found.choice.reason in text
    assert "alu" in text
    assert H100.name in text
    # 528 warps of 100 special functions for 32 lanes each.
    per_element = 528 * 100 * 32 / (1536 * 2048)
    assert f"{per_element:.2f}" in text
    assert "…" not in shown(found, 80)


def test_what_rules_leave_out_is_listed_with_the_reason(space: Space) -> None:
    found = explain(PROBLEM, target("h100"))
    rules = found.rules()
    assert sum(count for _, _, count, _ in rules) == sum(space.excluded.values()) > 0
    assert all(reason for *_, reason in rules)
    assert [count for _, _, count, _ in rules] == sorted((count for _, _, count, _ in rules), reverse=True)


def test_data_hold_what_tables_show(space: Space) -> None:
    data = json.loads(json.dumps(explanation_data(explain(PROBLEM, target("h100")))))
    assert (data["device"], data["chosen"]) == (H100.name, str(space.default()))
    first = data["configs"][0]
    assert first["config"] == data["chosen"]
    assert first["measured_seconds"] is None
    assert first["predicted_seconds"] > 0
    assert first["limit"] == "alu"
    (launch,) = first["launches"]
    assert launch["resident_blocks"] == 16
    assert launch["instructions_of_a_round"] == {"alu": 9.0}
    assert max(launch["bounds_seconds"].values()) <= launch["predicted_seconds"]
    assert set(first["pipes_per_element"]) == set(H100.core.cycles)


def test_a_config_of_none_of_the_spaces_is_refused(space: Space) -> None:
    asked = next(str(config) for config in space.configs["sequential"] if config != space.default())
    assert str(explain(PROBLEM, target("h100"), asked).rows[0].config) == asked
    with pytest.raises(InvalidInputError):
        explain(PROBLEM, target("h100"), "sequential(block_d=3)")


def test_a_cpu_has_no_model_but_rules_and_a_choice() -> None:
    found = explain(PROBLEM, target("cpu"))
    assert found.device is None
    assert found.unknown > 0
    text = shown(found)
    assert "never timed here" in text
    assert "predicted" not in text
    data = explanation_data(found)
    assert "launches" not in data["configs"][0]
    with pytest.raises(TargetUnavailableError):
        explain(PROBLEM, target("reference"))


def test_a_bar_counts_on_a_terminal_alone(space: Space) -> None:
    with counted(None, "rivals") as silent:
        assert type(silent) is Observer
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with counted(terminal, "rivals compiled") as observer:
        explain(PROBLEM, target("h100"), observer=observer)
    assert isinstance(terminal.file, io.StringIO)
    assert "rivals compiled" in terminal.file.getvalue()
