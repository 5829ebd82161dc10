"""Launches give what calls give, on tensors of the form that they were made for and on no others."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen.compat import mamba_ssm
from ssmgen.errors import InvalidInputError, UnknownNameError
from tests.ops.cases import CASES, WRITING, Case

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
KERNELS = {
    name: case for name, case in {**CASES, **WRITING}.items() if case.options.get("target") != "reference"
}


def given(case: Case) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in case.tensors.items()}


def launch_of(case: Case, tensors: dict[str, Any], **kwargs: Any) -> Any:
    return ssmgen.launcher(getattr(ssmgen, case.op), **tensors, **case.options, **kwargs)


def ordered(launch: Any, tensors: dict[str, Tensor]) -> list[Tensor]:
    return [tensors[name] for name in launch.names if name in tensors]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", KERNELS)
def test_a_launch_is_a_call(name: str, check: bool) -> None:
    case = KERNELS[name]
    launch = launch_of(case, given(case), check=check)
    ours, theirs = given(case), given(case)
    wanted = case(theirs)
    for _ in range(2):
        ours = given(case)
        found = launch(*ordered(launch, ours))
        for x, y in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
            assert torch.equal(x, y)
            assert (x.stride(), x.dtype) == (y.stride(), y.dtype)
    # States and outputs that are written in place, too.
    for key, x in theirs.items():
        assert torch.equal(ours[key], x), key


@pytest.mark.parametrize("name", ["scan", "scan, all options", "linear", "cauchy", "vandermonde"])
def test_outputs_that_are_given_are_written(name: str) -> None:
    case = KERNELS[name]
    wanted = case(given(case))
    out = tuple(torch.full_like(x, float("nan")) for x in wanted)
    launch = launch_of(case, given(case), out=out if len(out) > 1 else out[0])
    found = launch(*ordered(launch, given(case)), *out)
    assert all(x is y for x, y in zip(found if len(out) > 1 else (found,), out, strict=True))
    assert all(torch.equal(x, y) for x, y in zip(out, wanted, strict=True))
    with pytest.raises(InvalidInputError, match="out must have the shapes"):
        launch_of(case, given(case), out=[x[..., :-1] for x in out])


def test_outputs_that_pytorch_finishes_cannot_be_given() -> None:
    case = KERNELS["dplr"]
    with pytest.raises(InvalidInputError, match="leave it out"):
        launch_of(case, given(case), out=case(given(case))[0])


def test_tensors_of_another_form_are_refused() -> None:
    a, b = torch.rand(2, 3, 8), torch.rand(2, 3, 8)
    launch = ssmgen.launcher(ssmgen.linear_scan, a, b)
    for bad, words in (
        ((a, b[:1]), r"b is \(1, 3, 8\).* was made for \(2, 3, 8\)"),
        ((a, torch.rand(2, 3, 16)[..., ::2]), r"b is .*strides \(48, 16, 2\)"),
        ((a.double(), b), r"a is .*torch\.float64"),
        ((a, b.to("meta")), "on meta"),
        ((a, torch._neg_view(b)), "resolve_neg"),
        ((a,), r"takes 2 tensors \(a, b\), not 1"),
        ((a, b, b), "not 3"),
        ((a, None), "b must be a torch.Tensor, not NoneType"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            launch(*bad)
    assert torch.equal(launch(a, b), ssmgen.linear_scan(a, b))


@pytest.mark.parametrize("has_guards", [True, False])
def test_what_changes_nothing_for_a_kernel_is_accepted(
    has_guards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_guards:
        monkeypatch.setattr(sys.modules["ssmgen.ops.launcher"], "_Guards", None)
    a, b = torch.rand(1, 3, 8), torch.rand(1, 3, 8)
    launch = ssmgen.launcher(ssmgen.linear_scan, a, b)
    wanted = ssmgen.linear_scan(a, b)
    parameter = torch.nn.Parameter(a.clone())
    assert torch.equal(launch(parameter, b), wanted)
    assert not launch(parameter, b).requires_grad
    with torch.inference_mode():
        assert torch.equal(launch(a.clone(), b), wanted)
    assert torch.equal(launch(a, b.as_strided((1, 3, 8), (1, 8, 1))), wanted)  # one row has no stride
    assert torch.equal(launch(a, a), ssmgen.linear_scan(a, a))
    twice = ssmgen.launcher(ssmgen.linear_scan, a, a)
    assert torch.equal(twice(a, a), ssmgen.linear_scan(a, a))
    assert torch.equal(twice(a, b), wanted)
    with pytest.raises(InvalidInputError, match="takes 2 tensors"):
        twice(a)


def test_values_are_checked_as_in_a_call() -> None:
    case = KERNELS["scan, packed"]
    launch = launch_of(case, given(case))
    assert "cu_seqlens" in launch.copied
    bad = {**given(case), "cu_seqlens": torch.tensor([0, 6, 4, 11])}
    with pytest.raises(InvalidInputError, match="must rise"):
        launch(*ordered(launch, bad))


def test_it_says_what_it_is() -> None:
    a = torch.rand(2, 3, 8)
    launch = ssmgen.launcher(ssmgen.linear_scan, a, a, initial_state=a[..., 0])
    assert launch.names == ("a", "b", "initial_state")
    assert launch.copied == ("initial_state",)
    assert (launch.problem.op, launch.problem["seqlen"], launch.target.name) == ("linear_scan", 8, "cpu")
    assert str(launch.config) in repr(launch)


def test_what_has_no_kernel_has_no_launcher() -> None:
    a = torch.rand(2, 3, 8)
    with pytest.raises(UnknownNameError, match="op with kernels 'fft_conv'"):
        ssmgen.launcher(ssmgen.fft_conv, a, a[0])
    with pytest.raises(UnknownNameError, match="op with kernels"):
        ssmgen.launcher(mamba_ssm.selective_state_update, a)
    with pytest.raises(InvalidInputError, match="no kernel for linear_scan"):
        ssmgen.launcher(ssmgen.linear_scan, a, a, target="reference")
    with pytest.raises(TypeError, match="missing a required argument: 'b'"):
        ssmgen.launcher(ssmgen.linear_scan, a)
    with pytest.raises(InvalidInputError, match="one shape"):
        ssmgen.launcher(ssmgen.linear_scan, a, a[0])
    with pytest.raises(InvalidInputError, match="resolve_conj"):
        ssmgen.launcher(ssmgen.linear_scan, (a + 1j).conj(), a + 1j)


def test_a_launcher_holds_no_tensors() -> None:
    a, b = torch.rand(2, 3, 8), torch.rand(2, 3, 8)
    launch = ssmgen.launcher(ssmgen.linear_scan, a, b)
    y = launch(a, b)
    watched = [weakref.ref(x) for x in (a, b, y)]
    del a, b, y
    gc.collect()
    assert [x() for x in watched] == [None] * 3
    assert launch(torch.ones(2, 3, 8), torch.ones(2, 3, 8))[0, 0, -1] == 8.0
