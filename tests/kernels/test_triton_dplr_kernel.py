"""The DPLR kernel and its gradients in Triton against float64: ranks, channels, lengths, and nodes close to poles."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Option, Problem
from ssmgen.targets import Target, target
from tests.helpers import ON_GPU, defaults, make_problem, outputs_of, run_config

pytest.importorskip("triton")

CASES: tuple[dict[str, Option], ...] = (
    {"seqlen": 1, "pairs": False},
    {"seqlen": 2, "poles": 1, "dim": 2, "pairs": True},
    {"seqlen": 35, "rank": 2, "pairs": True},
    {"seqlen": 80, "poles": 32, "pairs": True},  # all lanes walk the same nodes
    {"seqlen": 66, "poles": 33, "pairs": False},
    {"seqlen": 9, "channels": 3, "rank": 3, "dim": 2, "poles": 2, "pairs": True},
    {"seqlen": 8, "channels": 2, "rank": 2, "poles": 3, "pairs": False},
    {"seqlen": 300, "poles": 2, "pairs": True},  # more nodes of one pole than a program adds at a time
)


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    """Where the kernels run."""
    return target(request.param)


def dplr(direction: str = "forward", **given: Option) -> Problem:
    return make_problem("dplr_kernel", direction=direction, **{"dim": 1, "poles": 5, **given})


def check(place: Target, problem: Problem, config: Config, harsh: bool) -> None:
    for output, error in run_config(place, problem, config, harsh=harsh).items():
        assert error <= tolerance(problem), f"{output} of {config} for {problem}: {error:.2e}"


def compute(problem: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of the default kernel."""
    interpreter = target("interpret")
    config = interpreter.space(problem).default()
    kernel = interpreter.compile(interpreter.space(problem).check(config), problem, config)
    operands = interface(problem.op).operands(problem)
    tensors = [
        x.allocate("cpu").fill_(float("nan")) if x.output else inputs[x.name].contiguous() for x in operands
    ]
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    return {x.name: tensor for x, tensor in zip(operands, tensors, strict=True) if x.output}


# In turns; the whole suite gives every case both kinds of operands.
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("given", "harsh"),
    [
        pytest.param(
            given, harsh, marks=[pytest.mark.slow] if (row + harsh) % 2 else [], id=f"{given}-{harsh}"
        )
        for row, given in enumerate(CASES)
        for harsh in (False, True)
    ],
)
def test_spectra_and_gradients_agree_with_float64(
    place: Target, given: dict[str, Option], harsh: bool, direction: str
) -> None:
    problem = dplr(direction, **given)
    check(place, problem, place.space(problem).default(), harsh)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_configs_drawn_at_random_agree_with_float64(place: Target, direction: str) -> None:
    problem = dplr(direction, seqlen=130, poles=3)
    for configs in place.space(problem).configs.values():
        for config in random.Random(0).sample(configs, min(4, len(configs))):
            check(place, problem, config, harsh=False)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("pairs", [True, False])
def test_poles_may_be_on_either_side_of_the_real_axis(pairs: bool, direction: str) -> None:
    problem = dplr(direction, seqlen=20, pairs=pairs)
    inputs = sample(problem, seed=3)
    inputs["Lambda"][:, ::2] = inputs["Lambda"][:, ::2].conj()
    wanted = expected(problem, inputs)
    for name, found in compute(problem, inputs).items():
        assert relative_error(found, wanted[name]) <= tolerance(problem), name


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("pairs", [True, False])
def test_nodes_close_to_a_pole_keep_their_digits(pairs: bool, direction: str) -> None:
    # A node lies within 1e-3 of a pole at 100 i, where the rounding of a node to float32 is 4e-6.
    problem = dplr(direction, dim=1, poles=1, seqlen=64, pairs=pairs)
    inputs = sample(problem, seed=0)
    near = 2.0 / inputs["step"].double() * torch.tan(torch.tensor(torch.pi * 5 / 64, dtype=torch.float64))
    inputs["Lambda"] = torch.complex(torch.full((1, 1), -1e-3), near[:, None].float())
    # Where the low rank part moves the pole away, Woodbury's identity itself cancels.
    inputs["P"] *= 1e-3
    inputs["Q"] *= 1e-3
    wanted = expected(problem, inputs)
    for name, found in compute(problem, inputs).items():
        assert relative_error(found, wanted[name]) <= tolerance(problem), name


def in_double(problem: Problem, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs in complex128 of the C kernel, which resolves the nearest pole apart: else float64 cancels."""
    double = Problem.of(problem.op, dict(problem.dims), "c128", dict(problem.options), problem.direction)
    wide = {name: x.to(torch.complex128 if x.is_complex() else torch.float64) for name, x in inputs.items()}
    return outputs_of(double, defaults(double)[0], wide)


# Every two meet in the inner loop, all three in the whole suite.
@pytest.mark.parametrize(
    ("pairs", "rank", "direction"),
    [
        pytest.param(pairs, rank, direction, marks=[pytest.mark.slow] if (pairs + rank + way) % 2 else [])
        for pairs in (True, False)
        for rank in (1, 2)
        for way, direction in enumerate(("forward", "backward"))
    ],
)
def test_nodes_on_undamped_poles(pairs: bool, rank: int, direction: str) -> None:
    L = 17
    problem = dplr(direction, dim=4, poles=4, rank=rank, seqlen=L, pairs=pairs)
    inputs = sample(problem, seed=1)
    # Not at 0, where a pole and its conjugate are one resonance.
    b = inputs["Lambda"].imag + 1.0
    inputs["Lambda"] = torch.complex(torch.full_like(b, -1e-7), b)
    # In each row one node is a pole, to rounding, or lies so far beside it.
    nudge = torch.tensor([0.0, 1e-7, -1e-7, 1e-5], dtype=torch.float64)
    inputs["step"] = (2 * math.tan(math.pi * 5 / L) / b[:, 2].double() * (1 + nudge)).float()
    wanted = expected(problem, inputs) if direction == "forward" else in_double(problem, inputs)
    for name, found in compute(problem, inputs).items():
        # Each row by itself: the sharper a resonance, the larger its gradients.
        rows = 1 if name in ("out", "dC") else 0
        for row, (x, y) in enumerate(zip(found.unbind(rows), wanted[name].unbind(rows), strict=True)):
            assert relative_error(x, y) <= tolerance(problem), (name, row)


@pytest.mark.parametrize("pairs", [True, False])
def test_poles_in_another_order_give_the_same_bits(pairs: bool) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    for direction in ("forward", "backward"):
        problem = dplr(direction, dim=2, seqlen=40, pairs=pairs)
        inputs = sample(problem, seed=4)
        shuffled = {name: x[..., order] if name in ("Lambda", *"PQBC") else x for name, x in inputs.items()}
        found = compute(problem, shuffled)
        for name, wanted in compute(problem, inputs).items():
            if name != "dstep":  # a sum over poles
                assert torch.equal(found[name], wanted if name == "out" else wanted[..., order]), name


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_poles_at_the_same_height_are_told_apart(direction: str) -> None:
    problem = dplr(direction, dim=2, seqlen=40)
    inputs = sample(problem, seed=5)
    inputs["Lambda"].imag[:, 1:4] = 20.0
    inputs["Lambda"].real[:, 1:4] *= torch.tensor([1.0, 2.0, 3.0])
    wanted = expected(problem, inputs)
    for name, found in compute(problem, inputs).items():
        assert relative_error(found, wanted[name]) <= tolerance(problem), name


def test_a_pole_that_is_not_a_number_spoils_its_row_alone() -> None:
    problem = dplr(dim=2, seqlen=20)
    inputs = sample(problem, seed=6)
    inputs["Lambda"][0, 2] = complex(-0.5, math.nan)
    out = compute(problem, inputs)["out"]
    assert bool(out[0, 0].isnan().all())
    assert bool(out[0, 1].isfinite().all())


@pytest.mark.parametrize("step", [1e-6, 1e-4, 10.0])
def test_every_node_up_to_that_of_nyquist_is_right(step: float) -> None:
    problem = dplr(dim=1, poles=3, seqlen=64)
    inputs = sample(problem, seed=0)
    inputs["step"].fill_(step)
    found, wanted = compute(problem, inputs)["out"], expected(problem, inputs)["out"]
    assert float(((found - wanted).abs() / wanted.abs()).max()) <= 2e-5


def test_a_step_that_no_node_moves_with_has_no_gradient() -> None:
    problem = dplr("backward", seqlen=1)
    assert bool((compute(problem, sample(problem, seed=0))["dstep"] == 0).all())


def test_more_products_than_registers_hold_are_left_to_the_reference() -> None:
    interpreter = target("interpret")
    for direction in ("forward", "backward"):
        assert len(interpreter.space(dplr(direction, channels=17)))
        assert not interpreter.space(dplr(direction, channels=18)).variants


def test_more_than_65535_rows_fit_the_grid() -> None:
    for direction in ("forward", "backward"):
        problem = dplr(direction, dim=70000, seqlen=400)
        space = target("interpret").space(problem)
        for launch in space.variants[0].program(problem, space.default()).launches:
            assert max(launch.grid[1:]) <= 65535
