"""Scans of chunks in Triton beyond what every variant is held to: carries of systems that grow, or turn many times."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.helpers import make_problem

pytest.importorskip("triton")


def growing_linear_scan() -> tuple[Problem, dict[str, Tensor]]:
    """Two chunks of 64 whose decay, 8^64, is infinite, then one that shrinks."""
    problem = make_problem("linear_scan", dim=3, seqlen=140)
    a, b = torch.full((1, 3, 140), 8.0), torch.zeros(1, 3, 140)
    a[..., 128:], b[..., 128:] = 0.5, 1.0
    return problem, {"a": a, "b": b}


def growing_selective_scan() -> tuple[Problem, dict[str, Tensor]]:
    """Two chunks of 64 whose decay, exp(8 A 64), is infinite, then one that keeps its state."""
    problem = make_problem("selective_scan", dim=3, seqlen=140, d_state=2)
    inputs = sample(problem, seed=0)
    inputs["A"].abs_()
    inputs["delta"][..., :128], inputs["u"][..., :128] = 8.0, 0.0
    inputs["delta"][..., 128:] = 0.01
    return problem, inputs


@pytest.mark.filterwarnings("ignore:overflow encountered")  # that is the case
@pytest.mark.parametrize(
    "case", [growing_linear_scan(), growing_selective_scan()], ids=lambda case: case[0].op
)
def test_chunks_that_follow_a_state_of_zero_may_grow_without_bound(
    case: tuple[Problem, dict[str, Tensor]],
) -> None:
    problem, inputs = case
    assert error(problem, inputs) <= tolerance(problem)


def test_phases_of_many_turns_are_kept_from_chunk_to_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some 300 turns in a chunk of 64, through which the state stays much what it is.
    problem = make_problem(
        "selective_scan", dim=3, seqlen=140, d_state=1, complex=True, layout="channel", last_state=True
    )
    inputs = sample(problem, seed=0)
    inputs["A"].copy_(torch.tensor(-0.05 + 1400j))
    builder = importlib.import_module("triton.runtime.interpreter").InterpreterBuilder
    monkeypatch.setattr(builder, "create_fma", fused)
    assert error(problem, inputs) <= tolerance(problem)


@pytest.mark.parametrize(
    ("has_initial_state", "is_complex"),
    [
        (True, False),
        (False, True),
        pytest.param(False, False, marks=pytest.mark.slow),
        pytest.param(True, True, marks=pytest.mark.slow),
    ],
)
def test_packed_sequences_of_whole_chunks_of_one_step_and_of_none(
    is_complex: bool, has_initial_state: bool
) -> None:
    # Chunks are of 64 steps; the last sequence is empty, and so is the first.
    lengths = [0, 64, 0, 1, 128, 63, 0, 0, 65, 2, 130, 0]
    problem = make_problem(
        "selective_scan",
        batch=len(lengths),
        dim=3,
        seqlen=sum(lengths),
        d_state=1,
        complex=is_complex,
        varlen=True,
        saved=64,
        layout="channel",
        last_state=True,
        initial_state=has_initial_state,
    )
    inputs = sample(problem, seed=0)
    bounds = list(itertools.accumulate(lengths, initial=0))
    inputs["cu_seqlens"] = torch.tensor(bounds, dtype=torch.int32)
    assert error(problem, inputs) <= tolerance(problem)


def fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """The fma of a GPU: the interpreter's own rounds the product, which costs a phase of many turns its digits."""
    wide = x.data.astype("float64") * y.data + z.data
    return type(z)(wide.astype(z.data.dtype), z.dtype.scalar)


def error(problem: Problem, inputs: dict[str, Tensor]) -> float:
    """The largest relative error of the outputs, of chunks of 64."""
    interpreter = target("interpret")
    (variant,) = (item for item in interpreter.space(problem).variants if item.name == "chunked")
    config = next(item for item in interpreter.space(problem).configs["chunked"] if item["chunk"] == 64)
    kernel = interpreter.compile(variant, problem, config)
    operands = interface(problem.op).operands(problem)
    outputs = {
        operand.name: operand.allocate("cpu").fill_(float("nan")) for operand in operands if operand.output
    }
    tensors = [{**inputs, **outputs}[operand.name] for operand in operands]
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    return max(relative_error(outputs[name], wanted) for name, wanted in expected(problem, inputs).items())
