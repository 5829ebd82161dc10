"""What the process of a provider answers, asked in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ssmgen.bench.memory import growth
from ssmgen.bench.worker import Expect, Failed, Prepare, Prepared, Round, Start, Survey, Surveyed, _Worker
from ssmgen.worker import memory
from tests.bench.fakes import TASK, open_fake


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "limit", lambda size: None)  # it would hold for the tests after this one


def prepare(behaviour: str, folder: Path) -> tuple[_Worker, object]:
    worker = _Worker(Start(open_fake, behaviour, 1, "cpu"))
    path = folder / "expected.pt"
    assert worker.answer(Expect(TASK, path), lambda answer: None) is None
    return worker, worker.answer(Prepare(TASK, TASK, path), lambda answer: None)


def test_a_provider_is_checked_measured_and_timed(tmp_path: Path) -> None:
    worker, answer = prepare("good", tmp_path)
    assert isinstance(answer, Prepared)
    assert answer.errors["out"] < 1e-6
    assert answer.note == "behaves: good"
    assert answer.sets > 1
    times = worker.answer(Round(0.01), lambda answer: None)
    assert isinstance(times, list)
    assert len(times) > 1
    assert all(seconds > 0 for seconds in times)


def test_a_wrong_result_is_an_error_in_numbers(tmp_path: Path) -> None:
    _, answer = prepare("wrong", tmp_path)
    assert isinstance(answer, Prepared)
    assert answer.errors["out"] > 1e-2


def test_what_a_provider_raises_is_its_answer_in_one_line(tmp_path: Path) -> None:
    _, answer = prepare("raises", tmp_path)
    assert answer == Failed("error", "ValueError: no such kernel")


def test_a_lack_of_memory_is_called_that(tmp_path: Path) -> None:
    _, answer = prepare("greedy", tmp_path)
    assert isinstance(answer, Failed)
    assert answer.kind == "out of memory"


def test_the_machine_is_surveyed() -> None:
    worker = _Worker(Start(open_fake, "", 1, "cpu"))
    answer = worker.answer(Survey(TASK), lambda answer: None)
    assert isinstance(answer, Surveyed)
    assert answer.bodies == {}  # a linear scan waits for memory
    assert answer.bandwidth > 1e8


def test_memory_counts_what_a_run_adds_at_its_peak() -> None:
    size = 24 << 20
    kept: list[torch.Tensor] = []

    def run() -> int:
        torch.ones(size, dtype=torch.uint8)  # gone at once, yet part of the peak
        kept.append(torch.ones(size // 2, dtype=torch.uint8))
        return 7

    run()
    kept.clear()
    grown, found = growth(run, torch.device("cpu"))
    assert found == 7
    assert grown is not None
    assert 0.9 * size < grown < 1.7 * size
