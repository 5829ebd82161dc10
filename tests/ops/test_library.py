"""The ops as PyTorch's own: registered rightly, with fakes that tell the truth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.library import opcheck
from torch.testing import assert_close

import ssmgen
from ssmgen.errors import InvalidInputError
from ssmgen.ops import library
from ssmgen.ops.op import Op
from tests.ops.cases import CASES, scan

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WITHOUT_GRADIENTS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
WITH_GRADIENTS = (*WITHOUT_GRADIENTS, "test_autograd_registration")


def test_every_op_is_registered_and_has_a_case() -> None:
    public = {name for name in library.registered() if not name.startswith("_")}
    assert public == set(ssmgen.ops.__all__) == {case.op for case in CASES.values()}
    for name in public:
        assert {f"_{name}_forward", f"_{name}_backward"} <= library.registered().keys()


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", CASES)
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


@pytest.mark.parametrize("name", CASES)
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


class _Accumulate(Op):
    """An op that writes to a tensor, with no kernel."""

    name = "_accumulate"
    schema = "(Tensor(a!) state, Tensor x, float scale=1.0, *, str? target=None) -> Tensor"

    def prepare(self, tensors: Any, options: Any, target: str | None) -> Any:
        raise NotImplementedError

    def reference(self, tensors: Any, options: Any) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _plan(self, tensors: Any, options: Any, target: str | None) -> Any:
        return lambda tensors: (tensors[0].add_(tensors[1], alpha=options[0]).sum(-1),)

    def fake(self, tensors: Any, options: Any) -> tuple[Tensor, ...]:
        return (tensors[0].new_empty(tensors[0].shape[:-1]),)


def test_an_op_that_writes_to_a_tensor() -> None:
    op = _Accumulate()
    state, x = torch.rand(3, 4), torch.rand(3, 4)
    opcheck(torch.ops.ssmgen._accumulate.default, (state.clone(), x, 2.0), test_utils=WITHOUT_GRADIENTS)
    torch._dynamo.reset()

    def twice(state: Tensor, x: Tensor) -> Tensor:
        return op.call((state, x), (1.0,), None)[0] + op.call((state, x), (2.0,), None)[0]

    found = []
    for run in (twice, torch.compile(twice, backend="aot_eager", fullgraph=True)):
        mine = state.clone()
        found.append((run(mine, x), mine))
    assert_close(found[0], found[1])
    assert_close(found[0][1], state + 3 * x)


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
