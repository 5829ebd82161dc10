"""Which config a call gets, what it costs to find it twice, and what is said about it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import ssmgen
from ssmgen import dispatch, settings, store, targets
from ssmgen.config import Config
from ssmgen.errors import UntunedWarning
from ssmgen.problem import Problem
from tests.helpers import make_problem


def _other(problem: Problem) -> Config:
    """A config that is not the default."""
    space = targets.target("cpu").space(problem)
    return next(c for configs in space.configs.values() for c in configs if c != space.default())


def test_an_untuned_problem_gets_the_default_and_says_so_once() -> None:
    a = torch.rand(2, 3, 700)
    with pytest.warns(
        UntunedWarning, match=r"ssmgen tune linear_scan --batch 2 --dim 3 --seqlen 700 --dtype fp32"
    ) as said:
        ssmgen.linear_scan(a, a)
    assert [warning.filename for warning in said] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ssmgen.linear_scan(a[..., :699], a[..., :699])


@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
def test_a_second_call_takes_the_hot_path(monkeypatch: pytest.MonkeyPatch) -> None:
    a = torch.rand(3, 5)
    ssmgen.linear_scan(a, a)

    def cold(*args: object) -> None:
        raise AssertionError("the cold path was taken again")

    monkeypatch.setattr("ssmgen.ops.launch.resolve", cold)
    ssmgen.linear_scan(a, a)
    with pytest.raises(AssertionError, match="cold path"):
        ssmgen.linear_scan(a[:2], a[:2])


def test_importing_is_cheap() -> None:
    steps = [
        ("import ssmgen", {"optuna", "jinja2", "rich", "typer", "torch", "triton"}),
        ("from ssmgen import selective_scan", {"optuna", "jinja2", "rich", "typer", "triton"}),
        ("import ssmgen.tuning", {"optuna", "jinja2"}),
    ]
    code = f"""
import sys
for statement, absent in {steps!r}:
    exec(statement)
    print(*(absent & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_plans_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_MOST_PLANS", 4)
    for length in range(1, 12):
        a = torch.rand(length)
        ssmgen.linear_scan(a, a, target="reference")
        assert len(dispatch._plans) <= 4


def test_siblings_are_tried_by_the_fewest_differences_and_the_layout_last() -> None:
    problem = make_problem("selective_scan", z=True, D=True, softplus=True)
    siblings = dispatch._siblings(problem)
    same_layout = [s for s in siblings if s.option("layout") == "time"]
    assert siblings[: len(same_layout)] == same_layout
    differences = [sum(a != b for a, b in zip(problem.options, s.options, strict=True)) for s in same_layout]
    assert differences == sorted(differences)
    assert make_problem("selective_scan") in siblings
    assert not any(s.option("B") != "variable" for s in siblings)


def test_settings_are_declared() -> None:
    with pytest.raises(AssertionError):
        settings.get("SSMGEN_UNDECLARED")


@pytest.mark.filterwarnings("error::ssmgen.errors.UntunedWarning")
def test_what_is_saved_is_used_by_the_next_call_and_by_another_process(tmp_path: Path) -> None:
    problem = make_problem("linear_scan", batch=1, dim=40, seqlen=300)
    _save(problem, _other(problem))
    dispatch.forget()
    resolution = dispatch.resolve(problem, targets.target("cpu"))
    assert resolution is not None
    assert (resolution.config, resolution.how) == (_other(problem), "exact")
    a = torch.rand(40, 300)
    ssmgen.linear_scan(a, a)

    code = (
        "import warnings, torch, ssmgen; from ssmgen import dispatch, targets; warnings.simplefilter('error')\n"
        "a = torch.rand(40, 300); ssmgen.linear_scan(a, a)\n"
        "print(*[r.config for r in dispatch._resolutions.values()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(_other(problem))


def test_a_nearby_class_and_another_epilogue_serve_too() -> None:
    tuned = make_problem("selective_scan", batch=1, dim=64, seqlen=512)
    _save(tuned, _other(tuned))
    dispatch.forget()
    cpu = targets.target("cpu")
    for problem, how in (
        (tuned.with_dims(seqlen=5000), "nearest"),
        (tuned.with_options(z=True, D=True), "other options"),
        (tuned.with_options(layout="channel"), "other options"),
        (tuned.with_options(B="constant"), "default"),
        (tuned.with_dims(d_state=8), "default"),
    ):
        resolution = dispatch.resolve(problem, cpu)
        assert resolution is not None
        assert resolution.how == how, problem


def test_an_entry_of_another_source_is_a_miss() -> None:
    problem = make_problem("linear_scan", batch=1, dim=40, seqlen=300)
    _save(problem, _other(problem), source_hash="0123456789abcdef")
    dispatch.forget()
    resolution = dispatch.resolve(problem, targets.target("cpu"))
    assert resolution is not None
    assert resolution.how == "default"


def _save(problem: Problem, config: Config, source_hash: str | None = None) -> None:
    cpu = targets.target("cpu")
    variant = cpu.space(problem).check(config)
    entry = store.TunedConfig(
        problem=problem,
        config=config,
        evidence="measured",
        seconds=1e-3,
        quartiles=(1e-3, 2e-3),
        default_seconds=None,
        reference_seconds=None,
        error={"out": 1e-7},
        source_hash=source_hash or variant.source(problem, config).hash,
        versions={"ssmgen": "0"},
        device=cpu.facts,
        threads=2,
        created="2026-01-31",
    )
    store.save([entry])
