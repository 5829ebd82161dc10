"""Large results lie in huge pages: the advice covers what is theirs, whole pages of it, and changes no number."""

from __future__ import annotations

import mmap

import pytest
import torch

import ssmgen
from ssmgen.ops import launch, pages

HUGE = 2 << 20


class Advice:
    def __init__(self) -> None:
        self.given: list[tuple[int, int, int]] = []

    def __call__(self, start: int, length: int, kind: int) -> int:
        self.given.append((start, length, kind))
        return 0


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    found = Advice()
    monkeypatch.setattr(pages, "_madvise", lambda: found)
    return found


@pytest.mark.parametrize("size", [HUGE - 1, HUGE, 3 * HUGE + 12345, 20 * HUGE])
def test_the_advice_is_about_whole_pages_inside_of_the_tensor(size: int, advice: Advice) -> None:
    memory = torch.empty(size, dtype=torch.uint8)
    assert pages.in_huge_pages(memory) is memory
    for start, length, _ in advice.given:
        assert start % HUGE == length % HUGE == 0
        assert memory.data_ptr() <= start < start + length <= memory.data_ptr() + size
    assert sum(length for _, length, _ in advice.given) > size - 2 * HUGE


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="not a Linux system")
def test_large_results_of_ops_are_asked_for(advice: Advice, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.rand(1, 64, 16411), torch.randn(1, 64, 16411)
    wanted = ssmgen.linear_scan(a, b)
    assert not advice.given
    monkeypatch.setattr(launch, "LARGE_BYTES", 1 << 20)
    a, b = a[..., :-1].contiguous(), b[..., :-1].contiguous()  # another form, so another plan
    assert torch.equal(ssmgen.linear_scan(a, b), wanted[..., :-1])
    assert {kind for _, _, kind in advice.given} == {mmap.MADV_HUGEPAGE}


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="not a Linux system")
def test_the_system_takes_the_advice_or_leaves_it() -> None:
    memory = pages.in_huge_pages(torch.empty(pages.LARGE_BYTES, dtype=torch.uint8))
    assert int(memory.fill_(7).sum(dtype=torch.int64)) == 7 * pages.LARGE_BYTES
