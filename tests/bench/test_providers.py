"""Every provider that is installed gives what float64 gives, in every op, mode and option that it says it takes."""

from __future__ import annotations

import pytest

from ssmgen.bench import MODES, PROVIDERS, Task, provider
from ssmgen.bench.task import draw, expected
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import relative_error
from ssmgen.problem import Problem
from tests.helpers import make_problem

pytestmark = pytest.mark.filterwarnings("ignore")

_EPILOGUES = {"D": True, "z": True, "softplus": True}
PROBLEMS = {
    "scan": make_problem("selective_scan", dim=24, seqlen=64, d_state=4),
    "scan with epilogues": make_problem(
        "selective_scan", dim=24, seqlen=64, d_state=4, delta_bias=True, **_EPILOGUES
    ),
    "grouped scan": make_problem("selective_scan", batch=2, dim=24, seqlen=33, d_state=4, groups=3),
    "scan in bf16": make_problem("selective_scan", "bf16", dim=24, seqlen=64, d_state=4),
    "step": make_problem(
        "selective_state_update", batch=2, slots=2, dim=24, d_state=4, dt_bias=True, **_EPILOGUES
    ),
    "step of mamba-2": make_problem(
        "selective_state_update", batch=2, slots=2, heads=2, dim=24, d_state=4, tied=True, softplus=True
    ),
    "linear scan": make_problem("linear_scan", batch=2, dim=24, seqlen=64),
    "reversed scan": make_problem("linear_scan", dim=24, seqlen=65, reverse=True, initial_state=True),
    "mamba-2": make_problem(
        "ssd", batch=2, seqlen=33, heads=4, dim=8, d_state=4, groups=2, dt_bias=True, **_EPILOGUES
    ),
    "one row of mamba-2": make_problem("ssd", seqlen=33, heads=4, dim=8, d_state=16, softplus=True, z=True),
    "convolution": make_problem("causal_conv1d", batch=2, dim=24, seqlen=65, bias=True, silu=True),
    "step of a convolution": make_problem("causal_conv1d_update", batch=2, slots=2, dim=24, bias=True),
    "cauchy": make_problem("cauchy_mult", rows=4, poles=8, nodes=33),
    "imaginary cauchy": make_problem("cauchy_mult", rows=4, poles=8, nodes=33, imaginary=True),
    "vandermonde": make_problem("log_vandermonde", rows=4, poles=8, seqlen=33),
    "transposed vandermonde": make_problem("log_vandermonde_transpose", rows=4, poles=8, seqlen=33),
    "dplr": make_problem("dplr_kernel", dim=4, poles=8, seqlen=64),
}
# What compiles for seconds, or imports for seconds, is for the whole suite.
_SLOW = {"torch.compile", "transformers", "numba", "pykeops", "jax", "vllm"}
# A plain kernel of rank 1 cancels where 1 + R is small, and phases are products in float32.
_TOLERANCE = {"fp32": 5e-6, "c64": 5e-4, "bf16": 8e-3}


def tasks(name: str, problem: Problem) -> list[Task]:
    """The problem in every mode in which a provider says that it computes it on a CPU."""
    modes = MODES if interface(problem.op).has_gradients else MODES[:1]
    every = [Task(problem, mode, 1) for mode in modes]
    return [task for task in every if provider(name).refuses(task, "cpu") is None]


def cases() -> list[object]:
    return [
        pytest.param(name, problem, marks=[pytest.mark.slow] if name in _SLOW else [], id=f"{name}-{key}")
        for name in PROVIDERS
        for key, problem in PROBLEMS.items()
        if tasks(name, problem)
    ]


@pytest.mark.parametrize(("name", "problem"), cases())
def test_a_provider_agrees_with_float64(name: str, problem: Problem) -> None:
    offered = provider(name)
    why = offered.missing()
    if why is not None:
        pytest.skip(why)
    for task in tasks(name, problem):
        wanted, inputs = expected(task, "cpu"), draw(task, "cpu")
        call = offered.call(task, inputs)
        for _ in range(2):  # the second run finds the state as it was
            call.before()
            found = call.results(call.run())
            for output, x in wanted.items():
                assert relative_error(found[output], x) <= _TOLERANCE[problem.dtype], (task.mode, output)


def test_ours_and_pytorch_take_every_problem_here() -> None:
    for problem in PROBLEMS.values():
        task = Task(problem, "forward", 1)
        assert provider("ssmgen").refuses(task, "cpu") is None
        if problem.op != "selective_scan" or problem["groups"] == 1:
            assert provider("torch").refuses(task, "cpu") is None


def test_a_provider_says_what_it_lacks() -> None:
    scan = PROBLEMS["scan with epilogues"]
    assert provider("numba").refuses(Task(scan, "forward", 1), "cpu") == "does not take D=true"
    assert (
        provider("numba").refuses(Task(PROBLEMS["linear scan"], "training", 1), "cpu") == "has no gradients"
    )
    assert provider("pykeops").refuses(Task(scan, "forward", 1), "cpu") == "has no selective_scan"
    assert provider("mamba-ssm").refuses(Task(scan, "forward", 1), "cpu") == "runs on cuda only"
    assert provider("torch").refuses(Task(PROBLEMS["grouped scan"], "forward", 1), "cpu") is not None


def test_a_provider_that_is_not_installed_says_how_to_have_it() -> None:
    for name in PROVIDERS:
        offered = provider(name)
        assert offered.missing() is None or offered.install
