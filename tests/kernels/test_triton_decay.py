"""Decays that Triton kernels compute as polynomials, where they are exact and where they end."""

from __future__ import annotations

import pytest
import torch

from ssmgen.kernels import interface
from ssmgen.targets import Target, target
from tests.helpers import ON_GPU, make_problem

pytest.importorskip("triton")


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    return target(request.param)


def decays(place: Target, delta: torch.Tensor) -> torch.Tensor:
    """exp(-delta) in each of 16 states, of which some are polynomials: what one step without input leaves of 1."""
    sizes = {"batch": 1, "dim": len(delta), "seqlen": 1}
    problem = make_problem("selective_scan", layout="channel", initial_state=True, last_state=True, **sizes)
    config = place.space(problem).default()
    assert config["poly"] == 2
    tensors = []
    for operand in interface(problem.op).operands(problem):
        value = {"A": -1.0, "initial_state": 1.0}.get(operand.name, 0.0)
        tensors.append(operand.allocate(place.device).fill_(value))
        if operand.name == "delta":
            tensors[-1].copy_(delta[None, :, None])
    kernel = place.compile(place.space(problem).check(config), problem, config)
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    place.synchronize()
    names = [operand.name for operand in interface(problem.op).operands(problem)]
    return tensors[names.index("last_state")][0].double().cpu()


def test_decays_are_exact_to_rounding(place: Target) -> None:
    # Beside the rounding of delta log2(e), which grows with delta.
    delta = torch.cat([torch.linspace(0, 1, 300), torch.logspace(-7, 1.5, 300)])
    wanted = torch.exp(-delta.double())[:, None]
    error = ((decays(place, delta) - wanted).abs() / wanted).amax(1)
    assert bool((error <= 2.5e-7 + 1.2e-7 * delta).all()), error.max()


def test_decays_end_in_zero_and_infinity(place: Target) -> None:
    delta = torch.tensor([86.0, 87.4, 87.7, 88.2, 100.0, 1e4, 1e30, -88.0, -88.6, -88.8, -1e4])
    found = decays(place, delta)
    wanted = torch.exp(-delta.double()).float().double()[:, None].expand_as(found)
    assert bool((found[:7] - wanted[:7]).abs().max() <= 2**-126)
    assert bool((found[5:7] == 0).all())
    assert torch.allclose(found[7:9], wanted[7:9], rtol=3e-5, atol=0)
    assert bool(found[9:].isinf().all())
