"""The ops as PyTorch's own: registered rightly, with fakes that tell the truth."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.library import opcheck
from torch.testing import assert_close

import ssmgen
from ssmgen import dispatch
from ssmgen.errors import InvalidInputError
from ssmgen.ops import library
from tests.helpers import parameters
from tests.ops.cases import CASES, FURTHER, WRITING, scan

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WITHOUT_GRADIENTS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
WITH_GRADIENTS = (*WITHOUT_GRADIENTS, "test_autograd_registration")


def test_every_op_is_registered_and_has_a_case() -> None:
    public = {name for name in library.registered() if not name.startswith("_")}
    differentiable, writing = ({case.op for case in cases.values()} for cases in (CASES, WRITING))
    # fft_conv has no kernel of its own: it is what PyTorch's ops make of it.
    assert public == set(ssmgen.ops.__all__) - {"fft_conv"} == differentiable | writing
    for name in differentiable:
        assert {f"_{name}_forward", f"_{name}_backward"} <= library.registered().keys()
    for name in writing:
        assert library.registered()[name]._schema.is_mutable


# Calls without gradients take the same nodes; the whole suite checks those by themselves.
@pytest.mark.parametrize("requires_grad", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("name", parameters(CASES, slow=FURTHER))
def test_opcheck(name: str, requires_grad: bool) -> None:
    case = CASES[name]
    checks = WITH_GRADIENTS if requires_grad else WITHOUT_GRADIENTS
    opcheck(library.registered()[case.op], (), case.arguments(case.leaves(requires_grad)), test_utils=checks)


class _Recorder(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the calls of our nodes, as a tracer sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[torch._ops.OpOverload, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == library.NAMESPACE:
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", parameters(CASES, slow=FURTHER))
def test_opcheck_of_the_nodes(name: str) -> None:
    case = CASES[name]
    leaves = case.leaves()
    with _Recorder() as recorder:
        sum(x.abs().sum() for x in case(leaves)).backward()  # type: ignore[union-attr]
    names = [func._schema.name.partition("::")[2] for func, _ in recorder.calls]
    assert names[-2:] == [f"_{case.op}_forward", f"_{case.op}_backward"]
    for func, args in recorder.calls:
        # Packed sequences leave some states unused, so that two runs differ there.
        values = not (name == "scan, packed" and func._schema.name.endswith("forward"))
        checks = WITHOUT_GRADIENTS if values else ("test_schema", "test_faketensor")
        detached = torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, args)
        opcheck(func, detached, test_utils=checks)


@pytest.mark.parametrize("name", CASES)
def test_a_call_through_pytorch_is_the_call(name: str) -> None:
    case = CASES[name]
    found = library.registered()[case.op](**case.arguments(case.tensors))
    found = found if isinstance(found, tuple) else (found,)
    wanted = case(case.tensors)
    for x, y in zip(found, wanted, strict=False):
        assert torch.equal(x, y)
    assert all(x.numel() == 0 for x in found[len(wanted) :])


@pytest.mark.parametrize("name", CASES)
def test_fakes_have_the_shapes_strides_and_dtypes(name: str) -> None:
    case = CASES[name]
    with FakeTensorMode() as mode:
        found = case({name: mode.from_tensor(x) for name, x in case.tensors.items()})
    for x, y in zip(found, case(case.tensors), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        # The reference leaves its results as PyTorch's operations lay them out.
        assert x.stride() == y.stride() or case.options.get("target") == "reference"


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", WRITING)
def test_opcheck_of_ops_that_write(name: str, requires_grad: bool) -> None:
    case = WRITING[name]
    written = {"state", "conv_state", "intermediate_states", "out"}
    leaves = {
        name: x.clone().requires_grad_(requires_grad and name not in written and x.is_floating_point())
        for name, x in case.tensors.items()
    }
    opcheck(library.registered()[case.op], (), case.arguments(leaves), test_utils=WITH_GRADIENTS)


@pytest.mark.parametrize("name", WRITING)
def test_what_is_written_in_a_graph(name: str) -> None:
    case = WRITING[name]
    torch._dynamo.reset()

    def twice(tensors: dict[str, Tensor]) -> Tensor:
        first = case(tensors)[0] * 2
        return first + case(tensors)[0]

    found = []
    for run in (twice, torch.compile(twice, backend="aot_eager", fullgraph=True)):
        mine = {name: x.clone() for name, x in case.tensors.items()}
        found.append((run(mine), mine))
    assert_close(found[0], found[1], rtol=0, atol=0)
    is_kept = case.options.get("update_state") is False
    state = "state" if "state" in case.tensors else "conv_state"
    assert torch.equal(found[0][1][state], case.tensors[state]) == is_kept


def test_fakes_of_ops_that_write() -> None:
    for case in WRITING.values():
        with FakeTensorMode() as mode:
            (found,) = case({name: mode.from_tensor(x) for name, x in case.tensors.items()})
        (wanted,) = case({name: x.clone() for name, x in case.tensors.items()})
        assert (found.shape, found.stride(), found.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)


class _Transparent(torch.utils._python_dispatch.TorchDispatchMode):
    """Sees every op, so that calls become nodes, and does nothing to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("as_nodes", [False, True])
def test_plans_hold_no_tensors(as_nodes: bool) -> None:
    """They outlive the calls that they were made for."""

    def call(name: str) -> list[weakref.ref[Tensor]]:
        case = {**CASES, **WRITING}[name]
        leaves = case.leaves(requires_grad=name in CASES)
        with _Transparent() if as_nodes else nullcontext():
            found = case(leaves)
            if name in CASES:
                sum(x.abs().sum() for x in found).backward()  # type: ignore[union-attr]
        return [weakref.ref(x) for x in (*leaves.values(), *found)]

    watched = {}
    for name in {**CASES, **WRITING}:
        before = len(dispatch._plans)
        watched[name] = call(name)
        assert len(dispatch._plans) > before, name
    # Once: it takes longer than all calls together.
    gc.collect()
    assert [name for name, tensors in watched.items() if any(x() is not None for x in tensors)] == []


def test_the_profiler_sees_the_ops() -> None:
    case = CASES["linear"]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        case(case.tensors)
    assert "ssmgen::linear_scan" in {event.key for event in profile.key_averages()}


def test_errors_are_ours_wherever_a_call_comes_from() -> None:
    u = torch.rand(2, 3, 4)
    for run in (ssmgen.linear_scan, torch.ops.ssmgen.linear_scan):
        with pytest.raises(InvalidInputError, match="one shape"):
            run(u, u[0])
    mode = FakeTensorMode()
    fake = mode.from_tensor(u)
    with mode, pytest.raises(InvalidInputError, match="one shape"):
        ssmgen.linear_scan(fake, fake[0])
    packed = scan(packed=True)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: packed(x), backend="aot_eager", fullgraph=True)
    bad = {**packed.tensors, "cu_seqlens": torch.tensor([0, 6, 4, 11])}
    with pytest.raises(InvalidInputError, match="must rise"):
        compiled(bad)
