"""The Vandermonde products in C against float64: sizes that no block divides, many turns, over- and underflow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen.config import Config
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.covering import Tried
from tests.helpers import defaults, make_problem, run_config

OPS = ("log_vandermonde", "log_vandermonde_transpose")
KERNELS = pytest.mark.parametrize(
    ("op", "direction"), [(op, direction) for op in OPS for direction in ("forward", "backward")]
)
DTYPES = pytest.mark.parametrize("dtype", ["c64", "c128"])
# One step; less than a block; blocks and a tail, in two tasks; more poles than a group; rows of several tasks.
SIZES = ((1, 7, 1), (3, 7, 67), (2, 7, 4501), (2, 67, 389))


def run(problem: Problem, config: Config, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a config by name, each in rows that lie apart, with what lies between left as it was."""
    cpu = target("cpu")
    kernel = cpu.compile(cpu.space(problem).check(config), problem, config)
    operands = interface(problem.op).operands(problem)
    memory = {
        x.name: torch.full((x.shape[0] + 2, x.shape[1] + 5), 7.0, dtype=x.allocate("cpu").dtype)
        for x in operands
        if x.output
    }
    outputs = {name: x[1:-1, 2:-3].fill_(torch.nan) for name, x in memory.items()}
    tensors = [(inputs | outputs)[operand.name] for operand in operands]
    kernel.bind(interface(problem.op).bindings(problem, tensors))(tensors)
    found = {name: x.clone() for name, x in outputs.items()}
    for name, x in memory.items():
        outputs[name].fill_(7.0)
        assert bool((x == 7.0).all()), name
    return found


@DTYPES
@KERNELS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_defaults_agree_with_float64(
    op: str, direction: str, dtype: str, sizes: tuple[int, int, int]
) -> None:
    problem = make_problem(op, dtype, direction, **dict(zip(("rows", "poles", "seqlen"), sizes, strict=True)))
    for config in defaults(problem):
        for harsh in (False, True):
            errors = run_config(target("cpu"), problem, config, harsh=harsh)
            assert max(errors.values()) <= tolerance(problem), (config, harsh, errors)


@pytest.mark.slow
@KERNELS
def test_every_choice_agrees_with_float64(op: str, direction: str, tried: Tried) -> None:
    problem = make_problem(op, direction=direction, rows=2, poles=7, seqlen=4501)
    space = target("cpu").space(problem)
    assert 10 <= len(space) <= 160
    for config in tried(space):
        errors = run_config(target("cpu"), problem, config, harsh=True)
        assert max(errors.values()) <= tolerance(problem), (config, errors)


@DTYPES
@KERNELS
def test_threads_do_not_change_a_bit_and_nothing_around_outputs_is_written(
    op: str, direction: str, dtype: str
) -> None:
    problem = make_problem(op, dtype, direction, rows=2, poles=7, seqlen=21001)
    inputs = sample(problem, seed=1)
    before = torch.get_num_threads()
    try:
        for config in defaults(problem):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(run(problem, config, inputs))
            for other in results[1:]:
                assert all(torch.equal(other[name], x) for name, x in results[0].items()), config
            assert all(bool(x.isfinite().all()) for x in results[0].values())
    finally:
        torch.set_num_threads(before)


@KERNELS
@pytest.mark.parametrize("shared", ["v", "x", "both"])
def test_rows_may_share_poles(op: str, direction: str, shared: str) -> None:
    problem = make_problem(op, direction=direction, rows=3, poles=7, seqlen=70)
    inputs = sample(problem, seed=1)
    for name in ("v", "x") if shared == "both" else (shared,):
        inputs[name] = inputs[name][:1].expand(3, -1)
        assert inputs[name].stride(0) == 0
    wanted = expected(problem, inputs)
    for config in defaults(problem):
        for name, found in run(problem, config, inputs).items():
            assert relative_error(found, wanted[name]) <= tolerance(problem), (config, name)


def exponents(kind: torch.dtype, *values: complex) -> Tensor:
    return torch.tensor([values], dtype=kind)


@DTYPES
@KERNELS
def test_phases_stay_exact_over_many_turns(op: str, direction: str, dtype: str) -> None:
    problem = make_problem(op, dtype, direction, rows=1, poles=4, seqlen=300_001)
    inputs = sample(problem, seed=0)
    inputs["x"] = exponents(inputs["x"].dtype, -1e-7 + 3j, -1e-5 - 300.1j, 1e-6 + 0.1j, -1j)
    wanted = expected(problem, inputs)
    for config in defaults(problem):
        for name, found in run(problem, config, inputs).items():
            assert relative_error(found, wanted[name]) <= tolerance(problem), (config, name)


@DTYPES
@KERNELS
@pytest.mark.parametrize("seqlen", [41, 1])
def test_what_decays_at_once_or_grows_up_to_the_last_step(
    op: str, direction: str, dtype: str, seqlen: int
) -> None:
    problem = make_problem(op, dtype, direction, rows=1, poles=4, seqlen=seqlen)
    inputs = sample(problem, seed=0)
    # Finite in step 40, infinite in a block that were whole.
    growth = {"c64": 2.0, "c128": 17.0}[dtype]
    inputs["x"] = exponents(inputs["x"].dtype, -1e30 + 1j, -200 - 20j, growth + 0.5j, -0.1j)
    wanted = expected(problem, inputs)
    for config in defaults(problem):
        for name, found in run(problem, config, inputs).items():
            # Element by element: one pole grows far beyond the others.
            limit = 5 * tolerance(problem)
            torch.testing.assert_close(found, wanted[name].to(found.dtype), rtol=limit, atol=0.0, msg=name)


@pytest.mark.parametrize("op", OPS)
def test_growth_that_overflows_late_is_right_before(op: str) -> None:
    direction, name = {"log_vandermonde": ("forward", "out")}.get(op, ("backward", "du"))
    problem = make_problem(op, direction=direction, rows=1, poles=4, seqlen=2000)
    inputs = sample(problem, seed=0)
    inputs["x"] = exponents(torch.complex64, 0.1 + 0.3j, 0.09 - 0.2j, -0.01, 0.0)
    wanted = expected(problem, inputs)[name][:, :850]
    for config in defaults(problem):
        found = run(problem, config, inputs)[name]
        assert not bool(found.isfinite().all())
        assert relative_error(found[:, :850], wanted) <= tolerance(problem)


@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
@pytest.mark.parametrize("op", OPS)
def test_gradients_of_double_precision(op: str) -> None:
    torch.manual_seed(0)
    v, x = torch.randn(2, 2, 3, dtype=torch.complex128)
    x = x - 2 * x.real.abs() - 0.1
    leaves = [v.requires_grad_(), x.requires_grad_()]
    if op == "log_vandermonde_transpose":
        leaves.insert(0, torch.randn(2, 9, dtype=torch.float64, requires_grad=True))

    def product(*tensors: Tensor) -> Tensor:
        return getattr(ssmgen, op)(*tensors, 9, target="cpu")

    assert torch.autograd.gradcheck(product, leaves)
    assert torch.autograd.gradgradcheck(product, leaves, fast_mode=True)
