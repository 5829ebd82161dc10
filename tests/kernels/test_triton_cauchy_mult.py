"""The Cauchy product in Triton beyond what every variant is held to: where nodes lie, shared rows, what it writes."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor

from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import Target, target
from tests.helpers import ON_GPU, make_problem, run_config

pytest.importorskip("triton")

VARIANTS = [("factored", True), ("two_term", True), ("two_term", False)]
ON_THE_AXIS = [("imaginary", True), ("two_term", True), ("two_term", False)]


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    """Where the kernels run."""
    return target(request.param)


def check(place: Target, problem: Problem, name: str, *, harsh: bool = False, drawn: int = 0) -> None:
    """The default of a variant, and so many configs drawn at random, stay within the tolerance."""
    space = place.space(problem)
    (variant,) = (item for item in space.variants if item.name == name)
    for config in (
        variant.default(problem, space.facts),
        *random.Random(0).sample(space.configs[name], min(drawn, len(space.configs[name]))),
    ):
        for output, error in run_config(place, problem, config, harsh=harsh).items():
            assert error <= tolerance(problem), f"{output} of {config} for {problem}: {error:.2e}"


def multiply(name: str, problem: Problem, v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """The default config of a variant, into a tensor whose other elements must stay as they were."""
    interpreter = target("interpret")
    (variant,) = (item for item in interpreter.space(problem).variants if item.name == name)
    kernel = interpreter.compile(variant, problem, variant.default(problem, interpreter.facts))
    rows, nodes = problem["rows"], problem["nodes"]
    memory = torch.full((rows + 2, nodes + 3), 7.0, dtype=torch.complex64)
    out = memory[1:-1, 1:-2].fill_(math.nan)
    tensors = [v, z, w, out]
    kernel.bind(interface("cauchy_mult").bindings(problem, tensors))(tensors)
    out = out.clone()
    memory[1:-1, 1:-2] = 7.0
    assert bool((memory == 7.0).all())
    return out


def worst(result: Tensor, problem: Problem, v: Tensor, z: Tensor, w: Tensor) -> float:
    """The largest relative error of an element."""
    wanted = expected(problem, {"v": v, "z": z, "w": w})["out"]
    return float(((result - wanted).abs() / wanted.abs()).max())


@pytest.mark.parametrize(("name", "symmetric"), VARIANTS)
def test_huge_nodes_are_finite_and_right(name: str, symmetric: bool) -> None:
    y = torch.logspace(4, 37, 67, dtype=torch.float64)
    z = torch.cat([torch.complex(x * y, y) for x in (0.0, -0.7)]).to(torch.complex64)[None]
    problem = make_problem("cauchy_mult", rows=1, poles=9, nodes=z.shape[1], symmetric=symmetric)
    inputs = sample(problem, seed=0)
    v, w = inputs["v"], inputs["w"]
    v = torch.complex(v.real.abs() + 0.1, v.imag)  # so that a node's sum is not small by cancellation
    assert worst(multiply(name, problem, v, z, w), problem, v, z, w) <= 2e-6


@pytest.mark.parametrize(("name", "symmetric"), VARIANTS)
def test_nodes_anywhere_in_the_plane_also_close_to_poles(name: str, symmetric: bool) -> None:
    problem = make_problem("cauchy_mult", rows=1, poles=5, nodes=400, symmetric=symmetric)
    generator = torch.Generator().manual_seed(0)
    w = 4.0 * torch.randn(1, 5, dtype=torch.complex64, generator=generator)
    w[0, 0] = 2.5  # a real pole lies on its conjugate
    v = torch.randn(1, 5, dtype=torch.complex64, generator=generator)
    spread = 10.0 ** torch.empty(1, 200).uniform_(-3, 3, generator=generator)
    far = spread * torch.randn(1, 200, dtype=torch.complex64, generator=generator)
    near = w.repeat(1, 40) * (1 + 1e-3 * torch.randn(1, 200, dtype=torch.complex64, generator=generator))
    z = torch.cat([far, near], dim=1)
    result = multiply(name, problem, v, z, w)
    wanted = expected(problem, {"v": v, "z": z, "w": w})["out"]
    # Against the sum of the terms' sizes, which bounds what rounding can do.
    size = (v.abs()[..., None] / (z[:, None] - w[..., None]).abs()).sum(1)
    if symmetric:
        size += (v.abs()[..., None] / (z[:, None] - w[..., None].conj()).abs()).sum(1)
    assert float(((result - wanted).abs() / size).max()) <= 2e-6


@pytest.mark.parametrize(("name", "symmetric"), VARIANTS)
@pytest.mark.parametrize("shared", ["v", "z", "w"])
def test_rows_may_be_shared(name: str, symmetric: bool, shared: str) -> None:
    problem = make_problem("cauchy_mult", rows=3, poles=6, nodes=70, symmetric=symmetric)
    inputs = sample(problem, seed=1)
    inputs[shared] = inputs[shared][:1].expand(3, -1)
    assert inputs[shared].stride(0) == 0
    result = multiply(name, problem, inputs["v"], inputs["z"], inputs["w"])
    wanted = expected(problem, inputs)["out"]
    assert float((result - wanted).norm() / wanted.norm()) <= 2e-6


def test_more_than_65535_rows_fit_the_grid() -> None:
    problem = make_problem("cauchy_mult", rows=70000, poles=2, nodes=2)
    for item in target("interpret").space(problem).variants:
        config = item.default(problem, target("interpret").facts)
        (launch,) = item.program(problem, config).launches
        assert launch.grid == (70000, 1, 1)


@pytest.mark.parametrize(("name", "symmetric"), ON_THE_AXIS)
@pytest.mark.parametrize("harsh", [False, True])
def test_imaginary_nodes_agree_with_complex128(
    place: Target, name: str, symmetric: bool, harsh: bool
) -> None:
    for poles, nodes in ((1, 1), (7, 70)):
        problem = make_problem("cauchy_mult", rows=2, poles=poles, nodes=nodes, symmetric=symmetric)
        check(place, problem.with_options(imaginary=True), name, harsh=harsh, drawn=1)


@pytest.mark.parametrize(("name", "symmetric"), ON_THE_AXIS)
def test_imaginary_nodes_may_be_huge_or_close_to_poles(name: str, symmetric: bool) -> None:
    problem = make_problem("cauchy_mult", rows=1, poles=9, nodes=140, symmetric=symmetric)
    problem = problem.with_options(imaginary=True)
    inputs = sample(problem, seed=0)
    v, w = inputs["v"], inputs["w"]
    v = torch.complex(v.real.abs() + 0.1, v.imag)
    far = torch.logspace(4, 37, 70, dtype=torch.float64).float()
    close = w.imag.repeat(1, 8)[0, :70] * (1 + 1e-5 * torch.arange(70))
    y = torch.cat([far, close])[None]
    result = multiply(name, problem, v, y, w)
    wanted = expected(problem, {"v": v, "z": y, "w": w})["out"]
    size = (v.abs()[..., None] / (1j * y[:, None] - w[..., None]).abs()).sum(1)
    assert float(((result - wanted).abs() / size).max()) <= 2e-6


GRADIENTS = [(1, 1, 1, False), (2, 3, 39, True), (1, 32, 35, False), (1, 32, 6, True), (1, 40, 5, False)]


@pytest.mark.parametrize("nodes", ["complex", "imaginary"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients_agree_with_complex128(place: Target, nodes: str, symmetric: bool) -> None:
    for rows, poles, count, harsh in GRADIENTS:
        problem = make_problem(
            "cauchy_mult",
            direction="backward",
            rows=rows,
            poles=poles,
            nodes=count,
            symmetric=symmetric,
            dz=True,
        )
        check(place, problem.with_options(nodes=nodes), "chunked", harsh=harsh)


def test_gradients_in_other_chunks_agree_with_complex128(place: Target) -> None:
    problem = make_problem("cauchy_mult", direction="backward", rows=1, poles=7, nodes=90)
    check(place, problem, "chunked", drawn=4)


@pytest.mark.parametrize("shared", ["v", "z", "w", "dout"])
def test_gradients_of_shared_rows_go_to_rows_of_their_own(shared: str) -> None:
    problem = make_problem("cauchy_mult", direction="backward", rows=3, poles=6, nodes=20, dz=True)
    inputs = sample(problem, seed=1)
    inputs[shared] = inputs[shared][:1].expand(3, -1)
    interpreter = target("interpret")
    (variant,) = interpreter.space(problem).variants
    kernel = interpreter.compile(variant, problem, variant.default(problem, interpreter.facts))
    memory = {
        x.name: torch.full((5, x.shape[1] + 3), 7.0, dtype=torch.complex64)
        for x in interface("cauchy_mult").operands(problem)
        if x.output
    }
    found = {name: values[1:-1, 1:-2] for name, values in memory.items()}
    tensors = [{**inputs, **found}[x.name] for x in interface("cauchy_mult").operands(problem)]
    kernel.bind(interface("cauchy_mult").bindings(problem, tensors))(tensors)
    wanted = expected(problem, inputs)
    for name, values in found.items():
        assert relative_error(values, wanted[name]) <= tolerance(problem), name
        values.fill_(7.0)
        assert bool((memory[name] == 7.0).all()), name


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_nodes_beyond_the_range_of_squares_add_nothing_to_gradients() -> None:
    problem = make_problem("cauchy_mult", direction="backward", rows=1, poles=3, nodes=9, dz=True)
    inputs = sample(problem, seed=0)
    inputs["z"][:, -1] = 3e30j
    kept = problem.with_dims(nodes=8)
    wanted = expected(kept, {**inputs, "z": inputs["z"][:, :-1], "dout": inputs["dout"][:, :-1]})
    interpreter = target("interpret")
    (variant,) = interpreter.space(problem).variants
    kernel = interpreter.compile(variant, problem, variant.default(problem, interpreter.facts))
    operands = interface("cauchy_mult").operands(problem)
    tensors = [x.allocate("cpu") if x.output else inputs[x.name] for x in operands]
    kernel.bind(interface("cauchy_mult").bindings(problem, tensors))(tensors)
    found = {x.name: tensor for x, tensor in zip(operands, tensors, strict=True)}
    for name in ("dv", "dw"):
        assert relative_error(found[name], wanted[name]) <= tolerance(problem), name
    assert relative_error(found["dz"][:, :-1], wanted["dz"]) <= tolerance(problem)
    assert found["dz"][0, -1] == 0
