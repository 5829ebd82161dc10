"""What the untuned kernels are made of on an NVIDIA GPU, read from machine code: no GPU is needed."""

from __future__ import annotations

import pytest

from ssmgen.model import KernelCost, kernel_cost
from ssmgen.problem import Option, Problem
from ssmgen.targets import target
from ssmgen.targets.devices import device_of
from ssmgen.targets.gpu import GpuTarget
from tests.helpers import make_problem

pytest.importorskip("triton")

CORE = device_of("", "sm_90").core
EPILOGUES: dict[str, Option] = dict.fromkeys(("D", "z", "delta_bias", "softplus"), True)
STATES: dict[str, Option] = dict.fromkeys(("initial_state", "last_state"), True)


def cost_of(problem: Problem) -> KernelCost:
    """What the untuned kernel costs; it never spills, and has no atomics."""
    machine = target("sm_90")
    assert isinstance(machine, GpuTarget)
    found = kernel_cost(machine, problem, machine.space(problem).default())
    for launch in found.launches:
        assert (launch.spills, launch.atomics) == (0, 0), launch
    return found


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
    assert cost_of(problem).bound(CORE) <= most


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 25.5), ({**EPILOGUES, **STATES}, 33)],
    ids=["bare", "every option"],
)
@pytest.mark.slow
def test_gradients_split_over_time_take_little_more_than_whole_ones(
    options: dict[str, Option], most: float
) -> None:
    problem = make_problem(
        "selective_scan", "bf16", direction="backward", layout="channel", saved=4, **options
    )
    machine = target("sm_90")
    assert isinstance(machine, GpuTarget)
    (variant,) = (item for item in machine.space(problem).variants if item.name == "segmented")
    found = kernel_cost(machine, problem, variant.default(problem, machine.facts))
    assert found.unexplained == ()
    assert sum(item.spills + item.atomics for item in found.launches) == 0
    # All launches: what crosses segments costs an exponential and three more for each element.
    assert 2 <= found.per_element(CORE, "mufu") <= 2.7
    assert found.per_element(CORE) <= most
    # A program for each segment, and one less where nothing comes before.
    seconds = {item.function: item for item in found.launches}
    assert seconds["summarise_segments"].blocks * 8 == seconds["selective_scan_backward"].blocks * 7


@pytest.mark.parametrize(
    ("d_state", "options", "most"),
    [
        (16, {"D": True}, 7.2),
        pytest.param(16, dict.fromkeys(("D", "z", "softplus"), True), 8.5, marks=pytest.mark.slow),
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
    found = cost_of(problem)
    # Most exponentials are left to the special function unit.
    assert 0.8 < found.loop_per_element(CORE, "mufu") < found.loop_per_element(CORE)
    assert found.bound(CORE) <= most, found


@pytest.mark.parametrize(("d_state", "most"), [(16, 19), pytest.param(128, 7, marks=pytest.mark.slow)])
def test_states_split_over_lanes_leave_them_without_shared_memory(d_state: int, most: float) -> None:
    problem = make_problem("selective_scan", "bf16", layout="channel", dim=64, d_state=d_state, **EPILOGUES)
    machine = target("sm_90")
    assert isinstance(machine, GpuTarget)
    (variant,) = (item for item in machine.space(problem).variants if item.name == "split")
    config = variant.default(problem, machine.facts)
    found = kernel_cost(machine, problem, config)
    assert 1 <= found.loop_per_element(CORE, "mufu") <= found.loop_per_element(CORE) <= most
    assert (found.heaviest.spills, found.heaviest.atomics) == (0, 0)
    sass = machine.compile(variant, problem, config).stage("sass")
    assert not any(name in sass for name in ("LDS", "STS", "BAR.SYNC"))


@pytest.mark.parametrize(("imaginary", "most"), [(False, 18), (True, 14)])
def test_cauchy_products_take_few_slots_for_each_pair_and_node(imaginary: bool, most: float) -> None:
    # So many nodes that no lane is idle.
    found = cost_of(make_problem("cauchy_mult", nodes=4096).with_options(imaginary=imaginary))
    assert 1 <= found.loop_per_element(CORE, "mufu") <= found.loop_per_element(CORE) <= most


def test_four_products_of_a_pair_and_node_share_one_reciprocal() -> None:
    found = cost_of(make_problem("dplr_kernel", seqlen=8190))
    assert found.loop_per_element(CORE, "mufu") == 1
    assert found.loop_per_element(CORE) <= 28


@pytest.mark.parametrize(
    ("op", "most"),
    [
        ("cauchy_mult", {"cauchy_mult_backward": 42, "multiply_nodes": 31}),
        pytest.param(
            "dplr_kernel",
            {"differentiate_nodes": 24, "dplr_kernel_backward": 86},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gradients_of_poles_take_no_spills_or_atomics(op: str, most: dict[str, float]) -> None:
    given: dict[str, Option] = {"nodes": 4096, "dz": True} if op == "cauchy_mult" else {"seqlen": 8190}
    found = cost_of(make_problem(op, direction="backward", **given))
    for name, slots in most.items():
        assert found.loop_per_element(CORE, function=name) <= slots, found.launch(name)


HEADS: dict[str, Option] = {"heads": 64, "dim": 64, "tied": True, "D": True, "dt_bias": True}


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({"batch": 64}, 12.3),
        pytest.param({"batch": 64, "state_dtype": "bf16"}, 13.8, marks=pytest.mark.slow),
        pytest.param({"batch": 16, "d_state": 64, **HEADS}, 8.5, marks=pytest.mark.slow),
        pytest.param({"batch": 16, "d_state": 128, **HEADS}, 8, marks=pytest.mark.slow),
        ({"batch": 16, "d_state": 128, "state_dtype": "bf16", **HEADS}, 9.1),
    ],
    ids=str,
)
def test_a_step_takes_few_slots_for_each_state(given: dict[str, Option], most: float) -> None:
    found = cost_of(make_problem("selective_state_update", "bf16", softplus=True, **given))
    assert found.loop_per_element(CORE) <= most


@pytest.mark.parametrize(
    ("name", "dtype", "direction"),
    [
        ("sm_80", "fp32", "forward"),
        ("sm_80", "bf16", "forward"),
        ("sm_90", "fp32", "forward"),
        ("sm_90", "bf16", "forward"),
        pytest.param("sm_90", "fp32", "backward", marks=pytest.mark.slow),
        pytest.param("sm_90", "bf16", "backward", marks=pytest.mark.slow),
        pytest.param("sm_80", "bf16", "backward", marks=pytest.mark.slow),
        pytest.param("gfx942", "bf16", "backward", marks=pytest.mark.slow),
    ],
)
def test_the_scan_of_mamba_2_does_not_spill(name: str, dtype: str, direction: str) -> None:
    """Float32 in three parts takes the registers of three products."""
    machine = target(name)
    assert isinstance(machine, GpuTarget)
    options: dict[str, Option] = dict.fromkeys(("D", "z", "dt_bias", "softplus"), True)
    problem = make_problem("ssd", dtype, direction=direction, **options, **STATES)
    for launch in kernel_cost(machine, problem, machine.space(problem).default()).launches:
        assert (launch.spills, launch.atomics) == (0, 0), launch
