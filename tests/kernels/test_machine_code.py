"""What the untuned kernels are made of on an NVIDIA GPU, read from machine code: no GPU is needed."""

from __future__ import annotations

import pytest

from benchmarks.count_slots import Slots, slots
from ssmgen.problem import Option
from ssmgen.targets import target
from tests.helpers import make_problem

pytest.importorskip("triton")

EPILOGUES: dict[str, Option] = dict.fromkeys(("D", "z", "delta_bias", "softplus"), True)
STATES: dict[str, Option] = dict.fromkeys(("initial_state", "last_state"), True)


def bound(launch: Slots) -> float:
    """The most that any unit is kept busy for a state element, in cycles of a quarter of a multiprocessor."""
    fma_pipe = sum(launch.mix.get(name, 0) for name in ("FADD", "FFMA", "FMUL"))
    return max(launch.slots, 8 * launch.mufu, fma_pipe)


@pytest.mark.parametrize(
    ("layout", "saved", "options", "most"),
    [
        ("channel", 4, {}, 16),
        pytest.param("channel", 4, dict.fromkeys(("D", "z", "softplus"), True), 20, marks=pytest.mark.slow),
        pytest.param("channel", 4, {**EPILOGUES, "d_state": 64}, 17.2, marks=pytest.mark.slow),
        pytest.param("channel", 32, {**EPILOGUES, **STATES}, 20.2, marks=pytest.mark.slow),
        pytest.param("time", 4, EPILOGUES, 22, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_gradients_take_few_slots_without_spills_or_atomics(
    layout: str, saved: int, options: dict[str, Option], most: float
) -> None:
    problem = make_problem(
        "selective_scan", "bf16", direction="backward", layout=layout, saved=saved, batch=8, **options
    )
    config = target("sm_90").space(problem).default()
    found = slots(problem, config)
    assert bound(found["selective_scan_backward"]) <= most
    for launch in found.values():
        assert (launch.spills, launch.atomics) == (0, 0), launch


@pytest.mark.parametrize(
    ("d_state", "options", "most"),
    [
        (16, {"D": True}, 7.2),
        (16, dict.fromkeys(("D", "z", "softplus"), True), 8.5),
        pytest.param(16, {**EPILOGUES, "layout": "time", "saved": 0}, 8.6, marks=pytest.mark.slow),
        pytest.param(64, EPILOGUES, 8, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_forward_is_bound_by_few_cycles_without_spills(
    d_state: int, options: dict[str, Option], most: float
) -> None:
    given: dict[str, Option] = {"layout": "channel", "saved": 4, "batch": 8, "d_state": d_state, **options}
    problem = make_problem("selective_scan", "bf16", **given)
    found = slots(problem, target("sm_90").space(problem).default())["selective_scan"]
    # Most exponentials are left to the special function unit.
    assert 0.8 < found.mufu < found.slots
    assert bound(found) <= most, found
    assert (found.spills, found.atomics) == (0, 0)


@pytest.mark.parametrize(("imaginary", "most"), [(False, 20), (True, 14)])
def test_cauchy_products_take_few_slots_for_each_pair_and_node(imaginary: bool, most: float) -> None:
    problem = make_problem("cauchy_mult").with_options(imaginary=imaginary)
    found = slots(problem, target("sm_90").space(problem).default())["cauchy_mult"]
    assert 1 <= found.mufu <= found.slots <= most
    assert (found.spills, found.atomics) == (0, 0)


def test_four_products_of_a_pair_and_node_share_one_reciprocal() -> None:
    problem = make_problem("dplr_kernel")
    found = slots(problem, target("sm_90").space(problem).default())["dplr_kernel"]
    assert found.mufu == 1
    assert found.slots <= 29
    assert (found.spills, found.atomics) == (0, 0)


@pytest.mark.parametrize(
    ("op", "most"),
    [
        ("cauchy_mult", {"cauchy_mult_backward": 42, "multiply_nodes": 31}),
        ("dplr_kernel", {"differentiate_nodes": 25, "dplr_kernel_backward": 86}),
    ],
)
def test_gradients_of_poles_take_no_spills_or_atomics(op: str, most: dict[str, float]) -> None:
    problem = make_problem(op, direction="backward")
    problem = problem.with_options(dz=True) if op == "cauchy_mult" else problem
    found = slots(problem, target("sm_90").space(problem).default())
    assert set(found) == set(most)
    for name, launch in found.items():
        assert launch.slots <= most[name], launch
        assert (launch.spills, launch.atomics) == (0, 0), launch
