"""The ops as PyTorch's own: registered rightly, and right under whatever PyTorch may do to a call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses import FakeTensorMode
from torch.library import opcheck
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import ssmgen
from ssmgen import reference
from ssmgen.errors import InvalidInputError
from ssmgen.ops import library
from ssmgen.ops.op import Op

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
WITHOUT_GRADIENTS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
WITH_GRADIENTS = (*WITHOUT_GRADIENTS, "test_autograd_registration")


class Case(NamedTuple):
    """A call: the op, its tensors, its options."""

    op: str
    tensors: dict[str, Tensor]
    options: dict[str, Any]

    def leaves(self, requires_grad: bool = True) -> dict[str, Tensor]:
        return {
            name: x.detach().clone().requires_grad_(requires_grad and not name.startswith("cu_"))
            for name, x in self.tensors.items()
        }

    def __call__(self, tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
        found = getattr(ssmgen, self.op)(**tensors, **self.options)
        return found if isinstance(found, tuple) else (found,)

    def arguments(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        return {**tensors, **self.options}


def _scan(dtype: torch.dtype = torch.float32, **options: Any) -> Case:
    torch.manual_seed(0)
    # Saved states are padded to 16 channels in each group, and what lies in the padding is nobody's.
    batch, dim, seqlen, d_state = 2, 32, 11, 3
    is_complex, packed = options.pop("is_complex", False), options.pop("packed", False)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    weights = wide.to_complex() if is_complex else wide
    batch = 1 if packed else batch
    tensors = {
        "u": torch.randn(batch, dim, seqlen).to(dtype),
        "delta": (0.1 * torch.rand(batch, dim, seqlen)).to(dtype),
        "A": (torch.randn(dim, d_state) * (1j if is_complex else 0) - torch.rand(dim, d_state)).to(weights),
        "B": torch.randn(batch, 2, d_state, seqlen).to(weights if is_complex else dtype),
        "C": torch.randn(batch, d_state, seqlen).to(weights if is_complex else dtype),
    }
    if options:
        tensors |= {
            "D": torch.randn(dim),
            "z": torch.randn(batch, dim, seqlen).to(dtype),
            "delta_bias": torch.rand(dim),
        }
    if packed:
        tensors["cu_seqlens"] = torch.tensor([0, 4, 4, seqlen])
    return Case("selective_scan", tensors, options)


def _by_channel(case: Case) -> Case:
    names = ("u", "delta", "z", "a", "b")
    tensors = {
        name: x.transpose(-1, -2).contiguous().transpose(-1, -2) if name in names else x
        for name, x in case.tensors.items()
    }
    return case._replace(tensors=tensors)


def _linear(dtype: torch.dtype, shape: tuple[int, ...] = (2, 3, 7), **options: Any) -> Case:
    torch.manual_seed(0)
    tensors = {"a": 0.5 * torch.randn(shape, dtype=dtype), "b": torch.randn(shape, dtype=dtype)}
    if options:
        tensors["initial_state"] = torch.randn(shape[:-1], dtype=dtype)
    return Case("linear_scan", tensors, options)


def _cauchy(dtype: torch.dtype, **options: Any) -> Case:
    torch.manual_seed(0)
    v, w = torch.randn(2, 3, 5, dtype=dtype)
    z = 1j * torch.linspace(0.0, 3.0, 8, dtype=dtype)
    return Case("cauchy_mult", {"v": v, "z": z, "w": w - 2 * w.real.abs() - 0.5}, options)


CASES = {
    "scan": _scan(),
    "scan, all options": _scan(delta_softplus=True, return_last_state=True),
    "scan, bf16": _scan(torch.bfloat16, delta_softplus=True),
    "scan, fp64 by channel": _by_channel(_scan(torch.float64, return_last_state=True)),
    "scan, complex": _scan(is_complex=True, return_last_state=True),
    "scan, packed": _scan(packed=True, return_last_state=True),
    "scan, reference": _scan(target="reference", delta_softplus=True),
    "linear": _linear(torch.float32),
    "linear, bf16 by channel": _by_channel(_linear(torch.bfloat16)),
    "linear, complex from a state": _linear(torch.complex64, reverse=True),
    "linear, four dims": _linear(torch.float64, (2, 3, 2, 5)),
    "cauchy": _cauchy(torch.complex64),
    "cauchy, c128 without pairs": _cauchy(torch.complex128, symmetric=False),
}
# One of each op, where more would only take time.
SOME = ["scan, all options", "linear", "cauchy"]


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


def _gradients(
    run: Callable[[dict[str, Tensor]], tuple[Tensor, ...]], leaves: dict[str, Tensor]
) -> tuple[Tensor, ...]:
    outputs = run(leaves)
    wanted = [x for x in leaves.values() if x.requires_grad]
    # Different at each element, so that what is permuted does not go unseen.
    cotangents = [torch.linspace(1.0, 2.0, y.numel()).view(y.shape).to(y.dtype) for y in outputs]
    return (*outputs, *torch.autograd.grad(outputs, wanted, cotangents))


@pytest.mark.parametrize("name", CASES)
def test_compiled_is_eager(name: str) -> None:
    """The nodes run the same kernels on the same operands, so the bits are the same."""
    case = CASES[name]
    torch._dynamo.reset()
    compiled = torch.compile(lambda tensors: case(tensors), backend="aot_eager", fullgraph=True)
    for x, y in zip(_gradients(compiled, case.leaves()), _gradients(case, case.leaves()), strict=True):
        if case.options.get("target") == "reference":
            # Autograd goes through the reference here, and through the formula on operands there.
            assert_close(x, y)
        else:
            assert torch.equal(x, y)
            assert x.stride() == y.stride()
    with torch.no_grad():
        for x, y in zip(compiled(case.tensors), case(case.tensors), strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", SOME)
def test_sizes_that_change_do_not_compile_again(name: str, requires_grad: bool) -> None:
    case = CASES[name]
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x: case(x), backend=counter, fullgraph=True, dynamic=True)
    for repeats in (1, 2, 5):
        # Longer in time, which is the last dim of all that has more than two, and of the nodes.
        leaves = {
            key: x.detach().repeat(*[1] * (x.ndim - 1), repeats) if x.ndim > 2 or key == "z" else x.detach()
            for key, x in case.leaves().items()
        }
        for x in leaves.values():
            x.requires_grad_(requires_grad)
        if requires_grad:
            pairs = zip(_gradients(compiled, leaves), _gradients(case, leaves), strict=True)
        else:
            pairs = zip(compiled(leaves), case(leaves), strict=True)
        for x, y in pairs:
            assert torch.equal(x, y)
    assert counter.frame_count == 1


class Layer(torch.nn.Module):
    """All ops, in the layouts that projections give."""

    def __init__(self, d: int = 8, n: int = 4) -> None:
        super().__init__()
        self.sizes = (d, d, d, n, n)
        self.inputs = torch.nn.Linear(d, sum(self.sizes))
        self.outputs = torch.nn.Linear(d, d)
        self.A = torch.nn.Parameter(torch.rand(d, n))
        self.D = torch.nn.Parameter(torch.ones(d))
        self.v = torch.nn.Parameter(torch.randn(d, n, dtype=torch.complex64))

    def forward(self, hidden: Tensor, nodes: Tensor) -> Tensor:
        x, delta, gate, B, C = (t.transpose(1, 2) for t in self.inputs(hidden).split(self.sizes, dim=-1))
        y = ssmgen.selective_scan(x, delta, -torch.exp(self.A), B, C, self.D, z=gate, delta_softplus=True)
        y = y + ssmgen.linear_scan(torch.sigmoid(gate), x)
        kernel = ssmgen.cauchy_mult(self.v, nodes, torch.complex(-self.A - 1, self.A)).real
        return hidden + self.outputs((y * kernel).transpose(1, 2))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList([Layer(), Layer()])
        self.nodes = torch.nn.Buffer(1j * torch.linspace(0.0, 1.0, 12))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden, self.nodes)
        return hidden


def _step(model: torch.nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = run(x)
    return [y.detach(), *torch.autograd.grad(y.float().square().sum(), [x, *model.parameters()])]


@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [("aot_eager", 0.0), pytest.param("inductor", 1e-4, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("autocast", [False, True])
def test_a_model_of_two_layers_compiles_whole(backend: str, tolerance: float, autocast: bool) -> None:
    torch._dynamo.reset()
    model, x = Model(), torch.randn(2, 12, 8)

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return model(x)  # type: ignore[no-any-return]

    compiled = torch.compile(run, backend=backend, fullgraph=True)
    if autocast and tolerance:
        # A compiler keeps in float32 what eager rounds to bfloat16 in between.
        tolerance = 0.05
    for mine, eager in zip(_step(model, compiled, x), _step(model, run, x), strict=True):
        scale = float(eager.abs().max())
        assert_close(mine, eager, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_autocast_leaves_the_dtypes_that_a_call_was_given(target: str) -> None:
    case = _scan(target=target, delta_softplus=True, return_last_state=True)
    wanted = _gradients(case, case.leaves())
    with torch.autocast("cpu", torch.bfloat16):
        found = _gradients(case, case.leaves())
        batched = torch.func.vmap(ssmgen.linear_scan)(*_linear(torch.float32).tensors.values())
    for x, y in zip(found, wanted, strict=True):
        assert torch.equal(x, y)
    assert torch.equal(batched, torch.func.vmap(ssmgen.linear_scan)(*_linear(torch.float32).tensors.values()))


def test_autocast_is_off_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it does now would be cast, but what it will do might."""
    scan, seen = reference.linear_scan, []

    def noting(*tensors: Tensor, **options: Any) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return scan(*tensors, **options)

    monkeypatch.setattr(reference, "linear_scan", noting)
    a, b = (x.requires_grad_() for x in _linear(torch.float32).leaves().values())
    with torch.autocast("cpu", torch.bfloat16):
        for target in ("cpu", "reference"):
            h = ssmgen.linear_scan(a, b, target=target)
            torch.autograd.grad(h.sum(), (a, b), create_graph=True)
        torch.func.vmap(ssmgen.linear_scan)(a, b)
        torch.ops.ssmgen.linear_scan(a, b, target="reference")
    assert len(seen) == 4
    assert not any(seen)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_activation_checkpoints_change_no_bit(name: str, use_reentrant: bool) -> None:
    case = CASES[name]

    def checkpointed(tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
        names = list(tensors)
        found: tuple[Tensor, ...] = checkpoint(
            lambda *xs: case(dict(zip(names, xs, strict=True))),
            *tensors.values(),
            use_reentrant=use_reentrant,
        )
        return found

    leaves = case.leaves()
    outputs = checkpointed(leaves)
    sum(x.abs().sum() for x in outputs).backward()  # type: ignore[union-attr]
    again = case.leaves()
    sum(x.abs().sum() for x in case(again)).backward()  # type: ignore[union-attr]
    for key, x in leaves.items():
        if x.requires_grad:
            assert x.grad is not None
            assert torch.equal(x.grad, again[key].grad), key


@pytest.mark.parametrize("name", CASES)
def test_training_after_inference_mode_with_the_same_shapes(name: str) -> None:
    case = CASES[name]
    ssmgen.dispatch.forget()
    with torch.inference_mode():
        kept = case(case.tensors)
        assert all(x.is_inference() for x in kept)
    with torch.no_grad():
        for x, y in zip(case(case.leaves()), kept, strict=True):
            assert torch.equal(x, y)
            assert not x.requires_grad
    assert not any(x.requires_grad for x in case(case.tensors))
    assert all(
        torch.isfinite(torch.view_as_real(x) if x.is_complex() else x).all()
        for x in _gradients(case, case.leaves())
    )


def test_gradients_only_of_what_needs_them() -> None:
    case = CASES["scan, all options"]
    wanted = dict(zip(case.tensors, _gradients(case, case.leaves())[2:], strict=True))
    for compiled in (False, True):
        for name in ("u", "A", "C", "delta_bias"):
            torch._dynamo.reset()
            leaves = {key: x.requires_grad_(key == name) for key, x in case.leaves().items()}
            run = torch.compile(lambda x: case(x), backend="aot_eager") if compiled else case
            *_, found = _gradients(run, leaves)
            assert torch.equal(found, wanted[name]), name


@pytest.mark.parametrize("name", SOME)
def test_changing_what_backward_needs_is_an_error(name: str) -> None:
    case = CASES[name]
    leaves = case.leaves()
    first = next(iter(leaves))
    moved = {**leaves, first: leaves[first] * 1}
    output = case(moved)[0]
    moved[first].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.abs().sum().backward()


def _padded(x: Tensor) -> Tensor:
    """The same values further apart."""
    return torch.nn.functional.pad(x, (0, 1))[..., :-1]


@pytest.mark.parametrize("moved", [torch.Tensor.contiguous, _padded])
@pytest.mark.parametrize("name", ["scan", "scan, fp64 by channel", "linear", "linear, bf16 by channel"])
def test_saved_tensors_that_come_back_with_other_strides(
    name: str, moved: Callable[[Tensor], Tensor]
) -> None:
    case = CASES[name]
    wanted = _gradients(case, case.leaves())
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: moved(x.clone())):
        found = _gradients(case, case.leaves())
    for x, y in zip(found, wanted, strict=True):
        assert torch.equal(x, y)


def test_transforms_of_compiled_and_registered_ops() -> None:
    case = _linear(torch.float64)
    a, b = case.tensors.values()
    torch._dynamo.reset()
    batched = torch.func.vmap(ssmgen.linear_scan)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        for run in (
            batched,
            torch.func.vmap(torch.ops.ssmgen.linear_scan),
            torch.compile(batched, backend="aot_eager", fullgraph=True),
        ):
            assert_close(run(a, b), ssmgen.linear_scan(a, b))

    def gradient(b: Tensor) -> Tensor:
        return torch.func.grad(lambda b: ssmgen.linear_scan(a, b).square().sum())(b)  # type: ignore[no-any-return]

    assert_close(torch.compile(gradient, backend="aot_eager")(b), gradient(b))
    leaves = [a.clone().requires_grad_(), b.clone().requires_grad_()]
    assert torch.autograd.gradgradcheck(torch.ops.ssmgen.linear_scan, leaves)


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


def test_an_exported_model_holds_the_ops() -> None:
    model, x = Model(), torch.randn(2, 12, 8)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert {f"ssmgen.{name}.default" for name in ssmgen.ops.__all__} <= called
    for batch in (2, 5):
        x = torch.randn(batch, 12, 8)
        assert torch.equal(program.module()(x), model(x))


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
    packed = _scan(packed=True)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: packed(x), backend="aot_eager", fullgraph=True)
    bad = {**packed.tensors, "cu_seqlens": torch.tensor([0, 6, 4, 11])}
    with pytest.raises(InvalidInputError, match="must rise"):
        compiled(bad)
