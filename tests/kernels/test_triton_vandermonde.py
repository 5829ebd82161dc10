"""The Vandermonde products in Triton against float64: sizes that no block divides, many turns, over- and underflow."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.model import kernel_cost
from ssmgen.problem import Problem
from ssmgen.targets import Target, target
from ssmgen.targets.devices import device_of
from ssmgen.targets.gpu import GpuTarget
from tests.helpers import ON_GPU, make_problem, run_config

pytest.importorskip("triton")

OPS = ("log_vandermonde", "log_vandermonde_transpose")
KERNELS = pytest.mark.parametrize(
    ("op", "direction"), [(op, direction) for op in OPS for direction in ("forward", "backward")]
)


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    """Where the kernels run."""
    return target(request.param)


# One step and one pole; fewer steps than a block and more poles than a group; blocks and a tail, in several programs.
@KERNELS
@pytest.mark.parametrize(("rows", "poles", "seqlen"), [(1, 1, 1), (2, 17, 31), (1, 3, 1157)])
def test_configs_agree_with_float64(
    place: Target, op: str, direction: str, rows: int, poles: int, seqlen: int
) -> None:
    problem = make_problem(op, direction=direction, rows=rows, poles=poles, seqlen=seqlen)
    space = place.space(problem)
    drawn = random.Random(str(problem)).choice(space.configs["product"])
    for config, harsh in ((space.default(), False), (drawn, True)):
        for name, error in run_config(place, problem, config, harsh=harsh).items():
            assert error <= tolerance(problem), (config, name)


@pytest.mark.slow
@KERNELS
def test_every_config_agrees_with_float64(place: Target, op: str, direction: str) -> None:
    problem = make_problem(op, direction=direction, rows=1, poles=18, seqlen=1157)
    for config in place.space(problem).configs["product"]:
        if config["num_warps"] == 4 or place.facts.kind != "interpret":
            errors = run_config(place, problem, config, harsh=True)
            assert max(errors.values()) <= tolerance(problem), (config, errors)


def run(place: Target, problem: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of the default config, each in rows that lie apart, with what lies between left as it was."""
    space = place.space(problem)
    kernel = place.compile(space.variants[0], problem, space.default())
    operands = interface(problem.op).operands(problem)
    memory = {
        x.name: x.allocate(place.device).new_full((x.shape[0] + 2, x.shape[1] + 4), 7.0)
        for x in operands
        if x.output
    }
    outputs = {name: x[1:-1, 2:-2].fill_(torch.nan) for name, x in memory.items()}
    tensors = [(inputs | outputs)[operand.name] for operand in operands]
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    found = {name: x.clone() for name, x in outputs.items()}
    for name, x in memory.items():
        outputs[name].fill_(7.0)
        assert bool((x == 7.0).all()), name
    return found


@KERNELS
def test_rows_may_share_poles_and_nothing_around_outputs_is_written(op: str, direction: str) -> None:
    interpreter = target("interpret")
    problem = make_problem(op, direction=direction, rows=2, poles=5, seqlen=35)
    inputs = sample(problem, seed=1)
    for name in ("v", "x"):
        inputs[name] = inputs[name][:1].expand(2, -1)
        assert inputs[name].stride(0) == 0
    wanted = expected(problem, inputs)
    for name, found in run(interpreter, problem, inputs).items():
        assert relative_error(found, wanted[name]) <= tolerance(problem), name


@KERNELS
def test_phases_stay_exact_over_many_turns(op: str, direction: str) -> None:
    interpreter = target("interpret")
    problem = make_problem(op, direction=direction, rows=1, poles=3, seqlen=9001)
    inputs = sample(problem, seed=0)
    inputs["x"] = torch.tensor([[-1e-7 + 3j, -1e-5 - 300.1j, 1e-6 + 0.1j]])
    wanted = expected(problem, inputs)
    for name, found in run(interpreter, problem, inputs).items():
        assert relative_error(found, wanted[name]) <= tolerance(problem), name


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@KERNELS
@pytest.mark.parametrize("seqlen", [41, 1])
def test_what_decays_at_once_or_grows_up_to_the_last_step(op: str, direction: str, seqlen: int) -> None:
    interpreter = target("interpret")
    problem = make_problem(op, direction=direction, rows=1, poles=4, seqlen=seqlen)
    inputs = sample(problem, seed=0)
    # Finite in step 40, infinite in a block that were whole.
    inputs["x"] = torch.tensor([[-1e38 + 1j, -200 - 20j, 2.0 + 0.5j, -0.1j]])
    wanted = expected(problem, inputs)
    for name, found in run(interpreter, problem, inputs).items():
        # Element by element: one pole grows far beyond the others. 2^115 shows the rounding of its exponent.
        torch.testing.assert_close(found, wanted[name].to(found.dtype), rtol=2e-5, atol=0.0, msg=name)


def test_a_row_has_the_same_bits_whatever_stands_beside_it() -> None:
    interpreter = target("interpret")
    problem = make_problem("log_vandermonde_transpose", rows=2, poles=3, seqlen=70)
    inputs = sample(problem, seed=2)
    both = run(interpreter, problem, inputs)["out"]
    one = run(interpreter, problem.with_dims(rows=1), {name: x[1:] for name, x in inputs.items()})["out"]
    assert torch.equal(both[1:], one)


# Instructions for each pole and step, of sums over poles and sums over steps; 0 where one round does all.
@pytest.mark.parametrize(
    ("op", "direction", "seqlen", "over_poles", "over_steps"),
    [
        ("log_vandermonde", "forward", 2048, 3.6, 0.0),
        pytest.param("log_vandermonde", "forward", 16384, 2.2, 0.0, marks=pytest.mark.slow),
        pytest.param("log_vandermonde", "backward", 2048, 0.0, 0.0, marks=pytest.mark.slow),
        ("log_vandermonde", "backward", 16384, 0.0, 3.3),
        pytest.param("log_vandermonde_transpose", "forward", 16384, 0.0, 1.9, marks=pytest.mark.slow),
        pytest.param("log_vandermonde_transpose", "backward", 16384, 3.4, 3.3, marks=pytest.mark.slow),
    ],
)
def test_defaults_take_few_slots_without_spills_or_atomics(
    op: str, direction: str, seqlen: int, over_poles: float, over_steps: float
) -> None:
    problem = make_problem(op, direction=direction, seqlen=seqlen)
    machine = target("sm_90")
    assert isinstance(machine, GpuTarget)
    config = machine.space(problem).default()
    assert config["precision"] == "tf32x3"
    found, core = kernel_cost(machine, problem, config), device_of("", "sm_90").core
    for launch in found.launches:
        assert (launch.spills, launch.atomics) == (0, 0), launch
        most = {"sum_poles": over_poles, "sum_steps": over_steps}.get(launch.function)
        if launch.main and most is not None:
            assert found.loop_per_element(core, function=launch.function) <= most, launch


def test_exact_products_are_all_that_others_than_nvidia_take() -> None:
    for name, choices in (("sm_90", {"ieee", "tf32x3"}), ("gfx942", {"ieee"}), ("interpret", {"ieee"})):
        for op in OPS:
            space = target(name).space(make_problem(op))
            assert {config["precision"] for config in space.configs["product"]} == choices
            assert 10 <= len(space) <= 1500
