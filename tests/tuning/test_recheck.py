from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ssmgen import store
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.store import TunedConfig
from ssmgen.tuning.recheck import Rechecked, recheck
from ssmgen.tuning.session import source_hash
from ssmgen.tuning.tune import Tuner
from tests.helpers import make_problem
from tests.store.strategies import make_entry
from tests.tuning.fakes import PROBLEM, config, open_fake

BEHAVIOURS = "good,slow,wrong,aborts,compiler_dies,hangs"


def entry(behaviour: str, seqlen: int = 32, batch: int = 1, **changes: object) -> TunedConfig:
    target = open_fake(BEHAVIOURS)
    problem, chosen = PROBLEM.with_dims(seqlen=seqlen, batch=batch), config(behaviour)
    given = {
        "config": chosen,
        "source_hash": source_hash(target.space(problem), chosen),
        "seconds": 1e-4,
        "quartiles": (1e-4, 1e-4),
        "default_seconds": 2.2e-3,
        "threads": torch.get_num_threads(),
    }
    return make_entry(problem, target.facts, **{**given, **changes})


def again(entries: Sequence[TunedConfig], **options: object) -> dict[str, Rechecked]:
    store.save(entries)
    given = {"tolerance": 3.0, **options}
    found = list(recheck(BEHAVIOURS, ops=["linear_scan"], open_target=open_fake, **given))  # type: ignore[arg-type]
    assert len(found) == len(entries)
    return {str(item.entry.config["behaviour"]): item for item in found}


@pytest.mark.slow
def test_what_was_tuned_a_moment_ago_is_as_recorded() -> None:
    with Tuner("good,slow", open_target=open_fake) as tuner:
        tuner.tune(PROBLEM, budget_seconds=120.0)
    (item,) = recheck("good,slow", open_target=open_fake, tolerance=3.0)
    assert item.outcome == "as recorded", item.detail
    assert item.timing is not None
    assert item.default_seconds is not None
    assert item.error["out"] < 2e-6
    assert not item.is_bad


@pytest.mark.slow
def test_each_outcome_has_its_name() -> None:
    found = again(
        [
            entry("good", 32),
            entry("wrong", 64),
            entry("aborts", 128),
            entry("compiler_dies", 256),
            entry("slow", 512, source_hash="0" * 16),
        ]
    )
    assert {name: item.outcome for name, item in found.items()} == {
        "good": "as recorded",
        "wrong": "wrong result",
        "aborts": "crash",
        "compiler_dies": "compiler crash",
        "slow": "stale",
    }
    assert {name for name, item in found.items() if item.is_bad} == {"wrong", "aborts", "compiler_dies"}
    assert found["wrong"].error["out"] > 1e-4


@pytest.mark.slow
def test_drift_is_told_from_a_slower_machine() -> None:
    fast = {"seconds": 1e-9, "quartiles": (1e-9, 1e-9)}
    cases: list[tuple[dict[str, object], str]] = [
        # The default, with which it is timed in turns, sleeps for 2 ms; itself it takes some 0.05 ms.
        ({**fast, "default_seconds": 2e-3}, "slower"),
        ({**fast, "default_seconds": 1e-9}, "machine slower"),
        ({"seconds": 1.0, "quartiles": (1.0, 1.0), "default_seconds": 30.0}, "faster"),
        ({**fast, "default_seconds": None}, "slower"),
        ({**fast, "evidence": "predicted"}, "as recorded"),
        ({**fast, "threads": 1000}, "not checked"),
    ]
    # Of classes of their own: one worker checks them all.
    store.save([entry("good", batch=1 << number, **changes) for number, (changes, _) in enumerate(cases)])
    found = {
        item.entry.problem["batch"]: item
        for item in recheck(BEHAVIOURS, open_target=open_fake, tolerance=3.0, budget_seconds=240.0)
    }
    assert {batch: item.outcome for batch, item in found.items()} == {
        1 << number: outcome for number, (_, outcome) in enumerate(cases)
    }
    for item in found.values():
        assert item.is_bad == (item.outcome == "slower")
        assert "times" in item.detail or "threads" in item.detail


@pytest.mark.slow
def test_a_hang_and_the_end_of_the_budget() -> None:
    found = again([entry("hangs", 32), entry("good", 64)], budget_seconds=6.0)
    assert found["hangs"].outcome in ("timeout", "not checked")
    assert found["good"].outcome == "not checked"


def test_only_what_is_of_this_device_and_can_be_timed_is_checked() -> None:
    store.save([make_entry(make_problem("linear_scan"))])
    assert list(recheck(BEHAVIOURS, open_target=open_fake)) == []
    with pytest.raises(TargetUnavailableError):
        list(recheck("reference"))
    with pytest.raises(InvalidInputError, match="positive"):
        list(recheck("cpu", budget_seconds=0.0))
