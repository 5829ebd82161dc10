"""The interpreter as a target: the contract, dtypes, and what it says when it cannot run."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest
import torch
import triton

from ssmgen.errors import CompileError, TargetUnavailableError, UnknownNameError
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets.interpret import InterpretTarget
from tests.helpers import make_problem
from tests.interpreter import slowed
from tests.targets.triton_variant import CONFIG, RowScan


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_two_launches_and_a_workspace_give_the_reference(dtype: str) -> None:
    problem = make_problem("linear_scan", dtype, batch=2, dim=3, seqlen=21)
    target = InterpretTarget()
    inputs = sample(problem, 0)
    out = torch.full((2, 3, 21), float("nan"), dtype=inputs["a"].dtype)
    tensors = [inputs["a"], inputs["b"], out]
    kernel = target.compile(RowScan(), problem, CONFIG)
    run = kernel.bind(interface("linear_scan").bindings(problem, tensors))
    if np.lib.NumpyVersion(np.__version__) >= "2.4.0" and triton.__version__.startswith("3.6."):
        with pytest.raises(TargetUnavailableError, match=r"numpy<2\.4"):
            run(tensors)
        return
    run(tensors)
    assert relative_error(out, expected(problem, inputs)["out"]) <= tolerance(problem)


def test_the_source_is_the_only_stage() -> None:
    kernel = InterpretTarget().compile(
        RowScan(), make_problem("linear_scan", batch=1, dim=1, seqlen=4), CONFIG
    )
    assert kernel.stages == InterpretTarget.stages == ("source",)
    assert "def scan(" in kernel.stage("source")
    with pytest.raises(UnknownNameError, match="ptx"):
        kernel.stage("ptx")


def test_a_program_that_does_not_fit_its_source_is_named() -> None:
    variant = RowScan(RowScan().body.replace("BLOCK", "WIDTH"))
    with pytest.raises(CompileError, match=r"launches write\(.*BLOCK\).*write\(.*WIDTH\)"):
        InterpretTarget().compile(variant, make_problem("linear_scan", batch=1, dim=1, seqlen=4), CONFIG)


def test_without_numpy_the_remedy_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TargetUnavailableError, match="pip install numpy"):
        InterpretTarget()


def test_time_gives_one_value_per_run() -> None:
    calls: list[int] = []
    seconds = InterpretTarget().time(lambda: calls.append(1), 3)
    assert len(seconds) == len(calls) == 3
    assert min(seconds) >= 0


def test_what_runs_change_is_restored_after_each_outside_of_its_time() -> None:
    log: list[str] = []

    def restore() -> None:
        time.sleep(0.02)
        log.append("restore")

    seconds = InterpretTarget().time(lambda: log.append("run"), 2, restore)
    assert log == ["run", "restore"] * 2
    assert max(seconds) < 0.02


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("associative", make_problem("linear_scan", "c64", batch=1, dim=2, seqlen=19, reverse=True)),
        ("associative", make_problem("linear_scan", batch=1, dim=2, seqlen=19, direction="backward")),
        ("split", make_problem("selective_scan", batch=1, dim=2, seqlen=5, d_state=5, z=True)),
        ("states", make_problem("selective_scan", batch=1, dim=2, seqlen=3, d_state=5, complex=True)),
        ("chunked", make_problem("ssd", batch=1, seqlen=33, heads=2, dim=5, d_state=3, softplus=True)),
        ("chunked", make_problem("ssd", "bf16", "backward", batch=1, seqlen=33, heads=2, dim=5, d_state=3)),
        ("product", make_problem("log_vandermonde", rows=1, poles=3, seqlen=70)),
        ("tile", make_problem("causal_conv1d", "fp16", batch=1, dim=3, seqlen=9, silu=True)),
    ],
    ids=str,
)
def test_what_the_tests_make_quicker_gives_the_same_bits(name: str, problem: Problem) -> None:
    target = InterpretTarget()
    (variant,) = (item for item in target.space(problem).variants if item.name == name)
    kernel = target.compile(variant, problem, variant.default(problem, target.facts))
    inputs = sample(problem, 0)

    def outputs() -> list[torch.Tensor]:
        operands = interface(problem.op).operands(problem)
        tensors = [
            x.allocate("cpu").fill_(float("nan")) if x.output else inputs[x.name].contiguous()
            for x in operands
        ]
        kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
        return [tensor for x, tensor in zip(operands, tensors, strict=True) if x.output]

    quick = outputs()
    with slowed():
        slow = outputs()
    assert all(bool(x.isfinite().all()) and torch.equal(x, y) for x, y in zip(quick, slow, strict=True))
