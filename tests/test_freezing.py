"""A frozen process runs what is prepared, touches no file, and says what else a call would need."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import ssmgen
from ssmgen import dispatch, targets
from ssmgen.advice import fields
from ssmgen.errors import CompileError, FrozenError, InvalidInputError, UnknownNameError, UntunedWarning
from ssmgen.kernels import INTERFACES
from ssmgen.problem import Problem
from ssmgen.targets.cpu import CpuTarget
from ssmgen.warming import _wanted
from tests.helpers import make_problem
from tests.ops.cases import CASES, WRITING, gradients

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]
SCAN = {"op": "selective_scan", "dim": 6, "seqlen": 8, "d_state": 4, "dtype": "fp32"}


def scan(**options: Any) -> torch.Tensor:
    u = torch.rand(1, 6, 8)
    B = torch.rand(1, 1, 8, 4).mT
    y = ssmgen.selective_scan(u, u, -torch.rand(6, 4), B, B, **options)
    assert isinstance(y, torch.Tensor)
    return y


def test_what_was_not_prepared_is_an_error_that_names_what_prepares_it() -> None:
    with ssmgen.frozen(), pytest.raises(FrozenError, match=r"selective_scan forward .*seqlen=8") as raised:
        scan()
    assert "ssmgen tune selective_scan --dim 6 --seqlen 8 --d-state 4" in str(raised.value)
    line = re.search(r"ssmgen\.warmup\(.*\]\)", str(raised.value))
    assert line is not None
    eval(line.group(), {"ssmgen": ssmgen})
    with ssmgen.frozen():
        scan()
        with pytest.raises(FrozenError, match="delta_bias"):
            scan(delta_bias=torch.rand(6))


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].options.get("target") is None])
def test_the_error_of_a_step_of_training_leads_to_one_that_runs(name: str) -> None:
    """Forward and backward, in a frozen process that is warmed up by nothing but what its first error says."""
    case = CASES[name]
    wanted = gradients(case, case.leaves())
    dispatch.forget()
    with ssmgen.frozen(), pytest.raises(FrozenError, match="'training': True") as raised:
        gradients(case, case.leaves())
    line = re.search(r"ssmgen\.warmup\(.*\]\)", str(raised.value))
    assert line is not None
    eval(line.group(), {"ssmgen": ssmgen})
    with ssmgen.frozen():
        found = gradients(case, case.leaves())
    assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


# What the process of a server does once it is frozen, with every file, library and program that it touches.
_SERVER = """
import sys, warnings
warnings.simplefilter("ignore")
import torch, ssmgen
from tests.ops.cases import CASES, WRITING, gradients
cases = {name: case for name, case in {**CASES, **WRITING}.items() if case.options.get("target") is None}
def calls():
    for name, case in cases.items():
        case({key: x.clone() for key, x in case.tensors.items()})
        if name in CASES:
            gradients(case, case.leaves())
ssmgen.warmup([calls])
ssmgen.freeze()
warnings.simplefilter("error")
touched = []
def hook(event, arguments):
    if event in ("open", "subprocess.Popen", "ctypes.dlopen", "os.listdir", "os.scandir", "import", "compile"):
        touched.append((event, arguments[0]))
sys.addaudithook(hook)
calls()
# As other plans, too, that are made of what is in memory.
ssmgen.dispatch._plans.clear()
calls()
print(touched)
"""


@pytest.mark.slow
def test_a_frozen_process_touches_no_file() -> None:
    done = subprocess.run([sys.executable, "-c", _SERVER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_tensors_of_a_prepared_problem_may_lie_anywhere() -> None:
    case = CASES["linear"]
    a, b = case.tensors["a"], case.tensors["b"]
    wanted = gradients(case, case.leaves())
    # Four bytes behind an address that is a multiple of 16, and with room between its rows.
    memory = torch.zeros(2 * a.numel() * 2 + 1)[1:]
    moved = memory.view(2, 2, 3, 14)[..., :7]
    moved[0], moved[1] = a, b
    with ssmgen.frozen():
        leaves = {"a": moved[0].detach().requires_grad_(), "b": moved[1].detach().requires_grad_()}
        assert leaves["a"].data_ptr() % 16
        for x, y in zip(gradients(case, leaves), wanted, strict=True):
            assert torch.equal(x, y)


def test_inference_does_not_prepare_training() -> None:
    a = torch.rand(3, 17)
    ssmgen.linear_scan(a, a)
    with ssmgen.frozen(), pytest.raises(FrozenError, match="'training': True") as raised:
        ssmgen.linear_scan(a, a.clone().requires_grad_())
    assert "linear_scan backward" in str(raised.value)


def test_launchers_are_made_of_what_is_prepared() -> None:
    a = torch.rand(3, 21)
    with ssmgen.frozen(), pytest.raises(FrozenError):
        ssmgen.launcher(ssmgen.linear_scan, a, a)
    wanted = ssmgen.linear_scan(a, a)
    with ssmgen.frozen():
        assert torch.equal(ssmgen.launcher(ssmgen.linear_scan, a, a)(a, a), wanted)


def test_a_process_is_frozen_until_every_reason_has_gone() -> None:
    a = torch.rand(3, 22)
    is_inside, may_leave = threading.Event(), threading.Event()

    def hold() -> None:
        with ssmgen.frozen():
            is_inside.set()
            assert may_leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert is_inside.wait(30)
        with ssmgen.frozen():
            ssmgen.freeze()
        ssmgen.unfreeze()
        with pytest.raises(FrozenError):
            ssmgen.linear_scan(a, a)
        may_leave.set()
        held.result()
    ssmgen.linear_scan(a, a)
    ssmgen.freeze()
    try:
        with pytest.raises(FrozenError):
            ssmgen.linear_scan(a[:2], a[:2])
        for thaws in (dispatch.forget, lambda: ssmgen.warmup([SCAN])):
            with pytest.raises(FrozenError, match="unfreeze"):
                thaws()
    finally:
        ssmgen.unfreeze()


def test_more_plans_than_are_kept_cost_a_frozen_process_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_MOST_PLANS", 2)
    several = [torch.rand(3, length) for length in range(30, 34)]
    ssmgen.warmup([{"op": "linear_scan", "dim": 3, "seqlen": a.shape[1], "dtype": "fp32"} for a in several])
    with ssmgen.frozen():
        for a in (*several, *several):
            ssmgen.linear_scan(a, a)
        assert len(dispatch._plans) <= 2


def test_a_warm_up_says_what_it_has_prepared() -> None:
    seen: list[tuple[int, int]] = []
    found = ssmgen.warmup(
        [{**SCAN, "training": True}, {"op": "linear_scan", "dtype": "fp64", "dim": 3, "seqlen": 8}, scan],
        progress=lambda prepared, done, count: seen.append((done, count)),
    )
    assert seen[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted((x.problem.op, x.problem.direction, x.problem.has("saved"), x.how) for x in found) == [
        ("linear_scan", "forward", False, "default"),
        ("selective_scan", "backward", True, "default"),
        ("selective_scan", "forward", False, "default"),
        ("selective_scan", "forward", True, "default"),
    ]
    assert all(x.config is not None and x.target == "cpu" and x.is_loose for x in found)


def test_gradients_that_are_asked_for_by_option_are_prepared_both_ways() -> None:
    found = ssmgen.warmup([{"op": "cauchy_mult", "dim": 2, "seqlen": 8, "poles": 3}], training=True)
    backward = [x.problem.has("dz") for x in found if x.problem.direction == "backward"]
    assert sorted(backward) == [False, True]
    v, w = torch.randn(2, 2, 3, dtype=torch.complex64)
    with ssmgen.frozen():
        for nodes in (False, True):
            z = (1j * torch.linspace(1.0, 2.0, 5)).requires_grad_(nodes)
            ssmgen.cauchy_mult(v.clone().requires_grad_(), z, w).abs().sum().backward()


def test_problems_without_a_kernel_are_left_to_the_reference() -> None:
    (found,) = ssmgen.warmup([{"op": "linear_scan", "dim": 3, "seqlen": 9}], target="reference")
    assert (found.config, found.how) == (None, "reference")
    a = torch.rand(3, 9)
    with ssmgen.frozen():
        ssmgen.linear_scan(a, a, target="reference")


@pytest.mark.parametrize("op", INTERFACES)
def test_what_an_error_says_is_what_a_warm_up_takes(op: str) -> None:
    face = INTERFACES[op]
    cpu = targets.target("cpu")
    several = [make_problem(op)]
    for name, values in face.options.items():
        several += [make_problem(op, **{name: value}) for value in values]
    several += [make_problem(op, dtype, **dict.fromkeys(face.dims, 3)) for dtype in face.dtypes]
    for problem in several:
        found, _ = _wanted(fields(problem), cpu, False)
        optional = {f"d{name}": False for name in face.optional_gradients}
        assert found == problem.with_options(**optional), fields(problem)
        assert _wanted(problem, cpu, False)[0] == found


def test_fields_that_do_not_fit_are_named() -> None:
    for change, error, words in (
        ({"sqlen": 3}, UnknownNameError, "field of selective_scan 'sqlen'. Did you mean 'seqlen'"),
        ({"dim": 0}, InvalidInputError, "dim of selective_scan must be a size of at least 1, not 0"),
        ({"dim": True}, InvalidInputError, "not True"),
        ({"z": 7}, InvalidInputError, "option z of selective_scan must be one of"),
        ({"dtype": "fp7"}, UnknownNameError, "fp7"),
        ({"op": "scan"}, UnknownNameError, "'scan'"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            ssmgen.warmup([{**SCAN, **change}])
    with pytest.raises(InvalidInputError, match="needs its 'op'"):
        ssmgen.warmup([{"dim": 3}])


def test_kernels_are_compiled_several_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together, compile_one = threading.Barrier(2), CpuTarget.compile

    def compile_beside_another(*arguments: Any) -> Any:
        together.wait(30)
        return compile_one(*arguments)

    monkeypatch.setattr(CpuTarget, "compile", compile_beside_another)
    problems = [{"op": "linear_scan", "dim": 3, "seqlen": 8, "dtype": dtype} for dtype in ("fp32", "bf16")]
    assert len(ssmgen.warmup(problems, jobs=2)) == 2


def test_a_kernel_that_does_not_compile_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compile_one = CpuTarget.compile

    def compile_some(self: Any, variant: Any, problem: Problem, *arguments: Any) -> Any:
        if problem.dtype == "bf16":
            raise CompileError("no")
        return compile_one(self, variant, problem, *arguments)

    monkeypatch.setattr(CpuTarget, "compile", compile_some)
    problems = [{"op": "linear_scan", "dim": 3, "seqlen": 8, "dtype": dtype} for dtype in ("bf16", "fp32")]
    with pytest.raises(CompileError, match="no"):
        ssmgen.warmup(problems)
    a = torch.rand(3, 8)
    with ssmgen.frozen():
        ssmgen.linear_scan(a, a)


def test_an_untuned_problem_is_said_where_it_is_warmed_up() -> None:
    with pytest.warns(UntunedWarning, match="ssmgen tune linear_scan") as said:
        ssmgen.warmup([{"op": "linear_scan", "dim": 3, "seqlen": 600, "dtype": "fp32"}])
    assert [warning.filename for warning in said] == [__file__]


def test_steps_of_decoding_are_prepared() -> None:
    step = WRITING["step"]
    problem = {"op": "selective_state_update", "batch": 3, "dim": 3, "heads": 2, "d_state": 5, "groups": 2}
    ssmgen.warmup([{**problem, "dtype": "fp32", "D": True, "softplus": True, "indices": True, "slots": 6}])
    with ssmgen.frozen():
        step({name: x.clone() for name, x in step.tensors.items()})
