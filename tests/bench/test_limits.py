"""The bodies that limits are taken from compute what they say: a body that did less would flatter nobody."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from ssmgen.bench import Task
from ssmgen.bench.limits import Speeds, bodies, sample_bandwidth, sample_bodies, source
from ssmgen.targets.compiler import find_compiler
from ssmgen.targets.cpu import cpu_facts, load_library
from tests.helpers import make_problem

STEPS = 50


def body(kind: str, name: str, threads: int = 1) -> float:
    lanes = cpu_facts().lanes if kind in ("fp32", "c64") else cpu_facts().lanes // 2
    function = load_library(find_compiler(), source(kind, lanes), cpu_facts())[name]
    function.restype = ctypes.c_double
    return float(function(ctypes.c_int64(STEPS), ctypes.c_int64(threads))) / lanes


def turns(value: float) -> list[float]:
    """What a number is at each step: a quarter of what it was at first, and that again, by turns."""
    return [value * 0.25 if step % 2 == 0 else value for step in range(STEPS)]


@pytest.mark.parametrize("kind", ["fp32", "fp64"])
@pytest.mark.parametrize("states", [2, 4, 8])
def test_the_scan_body_scans(kind: str, states: int) -> None:
    A = -np.arange(1.0, states + 1)
    h, y = np.zeros(states), 0.0
    for delta, x in zip(turns(0.01), turns(0.1), strict=True):
        h = 2.0 ** (delta * A) * h + x * A
        y += float(h @ A)
    assert body(kind, f"scan_{states}") == pytest.approx(y, rel=1e-5)


@pytest.mark.parametrize("states", [1, 2, 4])
def test_the_body_of_gradients_gives_each_of_them(states: int) -> None:
    A = -np.arange(1.0, states + 1)
    h, g, total = np.zeros(states), np.zeros(states), 0.0
    for delta, x, dy in zip(turns(0.01), turns(0.1), turns(0.3), strict=True):
        a = 2.0 ** (delta * A)
        h = a * h + x * A
        g = g + dy * A
        total += float((dy * h + g * x + g * A).sum())
        g = a * g
        total += float((g * h * A + g * h * delta).sum())
    assert body("fp32", f"gradient_{states}") == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("vectors", [1, 2, 4])
def test_the_cauchy_body_sums_pairs_of_poles(vectors: int) -> None:
    total = 0.0
    for w_re, w_im, v_re, vw in zip(turns(-0.5), turns(3.0), turns(0.7), turns(0.2), strict=True):
        # Twice v is what a kernel keeps, and Im v Im w.
        v, w = complex(v_re / 2, vw / w_im / 2), complex(w_re, w_im)
        for k in range(vectors):
            z = 1j * (k + 1)
            term = v / (z - w) + v.conjugate() / (z - w.conjugate())
            total += term.real + term.imag
    assert body("c64", f"cauchy_{vectors}") == pytest.approx(total, rel=1e-4)


def test_every_thread_does_the_same() -> None:
    assert body("fp32", "scan_2", threads=2) == pytest.approx(2 * body("fp32", "scan_2"), rel=1e-6)


def test_a_limit_is_the_larger_of_arithmetic_and_memory() -> None:
    task = Task(make_problem("selective_scan", dim=16, seqlen=64), "training", 1)
    speeds = Speeds(task)
    assert speeds.limit() is None
    speeds.add({"scan": 2e-10, "gradient": 3e-10}, 1e9)
    speeds.add({"scan": 1e-10, "gradient": 4e-10}, 2e9)  # the best counts
    limit = speeds.limit()
    assert limit is not None
    assert limit.compute == pytest.approx(task.elements * 4e-10)
    assert limit.memory == pytest.approx(task.bytes / 2e9)
    assert limit.seconds == max(limit.compute or 0, limit.memory)


def test_ops_whose_arithmetic_is_not_timed_have_no_limit() -> None:
    task = Task(make_problem("dplr_kernel", dim=4, seqlen=64), "forward", 1)
    assert bodies(task) is None
    speeds = Speeds(task)
    speeds.add({}, 1e9)
    limit = speeds.limit()
    assert limit is not None
    assert limit.seconds is None


def test_this_machine_can_be_sampled() -> None:
    task = Task(make_problem("selective_scan", dim=16, seqlen=64), "forward", 1)
    found = sample_bodies(task)
    assert set(found) == {"scan"}
    assert 1e-12 < found["scan"] < 1e-7
    assert sample_bandwidth(torch.device("cpu"), 1) > 1e8
