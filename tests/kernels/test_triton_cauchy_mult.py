"""The Cauchy product in Triton beyond what every variant is held to: where nodes lie, shared rows, what it writes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, sample
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.helpers import make_problem

pytest.importorskip("triton")

VARIANTS = [("factored", True), ("two_term", True), ("two_term", False)]


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
