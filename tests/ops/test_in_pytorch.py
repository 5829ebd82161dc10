"""The ops are right under whatever PyTorch may do to a call: compile, cast, checkpoint, transform, export."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import ssmgen
from ssmgen import reference
from tests.helpers import parameters
from tests.ops.cases import CASES, FURTHER, SOME, gradients, linear, scan

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize("name", parameters(CASES, slow=FURTHER))
def test_compiled_is_eager(name: str) -> None:
    """The nodes run the same kernels on the same operands, so the bits are the same."""
    case = CASES[name]
    torch._dynamo.reset()
    compiled = torch.compile(lambda tensors: case(tensors), backend="aot_eager", fullgraph=True)
    for x, y in zip(gradients(compiled, case.leaves()), gradients(case, case.leaves()), strict=True):
        if case.options.get("target") == "reference":
            # Autograd goes through the reference here, and through the formula on operands there.
            assert_close(x, y)
        else:
            assert torch.equal(x, y)
            assert x.stride() == y.stride()
    with torch.no_grad():
        for x, y in zip(compiled(case.tensors), case(case.tensors), strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("requires_grad", [pytest.param(False, marks=pytest.mark.slow), True])
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
            pairs = zip(gradients(compiled, leaves), gradients(case, leaves), strict=True)
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
        self.taps = torch.nn.Parameter(torch.randn(d, 4))
        self.D = torch.nn.Parameter(torch.ones(d))
        self.v = torch.nn.Parameter(torch.randn(d, n, dtype=torch.complex64))
        self.step = torch.nn.Parameter(torch.full((d,), 0.1))

    def forward(self, hidden: Tensor, nodes: Tensor) -> Tensor:
        x, delta, gate, B, C = (t.transpose(1, 2) for t in self.inputs(hidden).split(self.sizes, dim=-1))
        y = ssmgen.selective_scan(x, delta, -torch.exp(self.A), B, C, self.D, z=gate, delta_softplus=True)
        y = y + ssmgen.linear_scan(torch.sigmoid(gate), ssmgen.causal_conv1d(x, self.taps))
        heads, dt = x.mT.unflatten(2, (2, -1)), delta.mT[..., :2]
        rates, rows = -torch.exp(self.A[:2, 0]), (B.mT[:, :, None], C.mT[:, :, None])
        y = y + ssmgen.ssd(heads, dt, rates, *rows, dt_softplus=True).flatten(2).mT
        poles = torch.complex(-self.A - 1, self.A)
        kernel = ssmgen.cauchy_mult(self.v, nodes, poles).real
        kernel = kernel + ssmgen.log_vandermonde(self.v, poles, x.shape[-1])
        P = self.v / 4
        kernel = kernel + ssmgen.dplr_kernel(poles, P, P, self.v, self.v, self.step, x.shape[-1], pairs=True)
        y = y + ssmgen.log_vandermonde_transpose(x, self.v, poles, x.shape[-1]).real.sum(-1, keepdim=True)
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
@pytest.mark.parametrize("autocast", [pytest.param(False, marks=pytest.mark.slow), True])
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
    case = scan(target=target, delta_softplus=True, return_last_state=True)
    wanted = gradients(case, case.leaves())
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(case, case.leaves())
        batched = torch.func.vmap(ssmgen.linear_scan)(*linear(torch.float32).tensors.values())
    for x, y in zip(found, wanted, strict=True):
        assert torch.equal(x, y)
    assert torch.equal(batched, torch.func.vmap(ssmgen.linear_scan)(*linear(torch.float32).tensors.values()))


def test_autocast_is_off_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it does now would be cast, but what it will do might."""
    run, seen = reference.linear_scan, []

    def noting(*tensors: Tensor, **options: Any) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return run(*tensors, **options)

    monkeypatch.setattr(reference, "linear_scan", noting)
    a, b = (x.requires_grad_() for x in linear(torch.float32).leaves().values())
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
        for x in gradients(case, case.leaves())
    )


def test_gradients_only_of_what_needs_them() -> None:
    case = CASES["scan, all options"]
    wanted = dict(zip(case.tensors, gradients(case, case.leaves())[2:], strict=True))
    for compiled in (False, True):
        for name in ("u", "A", "C", "delta_bias"):
            torch._dynamo.reset()
            leaves = {key: x.requires_grad_(key == name) for key, x in case.leaves().items()}
            run = torch.compile(lambda x: case(x), backend="aot_eager") if compiled else case
            *_, found = gradients(run, leaves)
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
    wanted = gradients(case, case.leaves())
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: moved(x.clone())):
        found = gradients(case, case.leaves())
    for x, y in zip(found, wanted, strict=True):
        assert torch.equal(x, y)


def test_transforms_of_compiled_and_registered_ops() -> None:
    case = linear(torch.float64)
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


def test_an_exported_model_holds_the_ops() -> None:
    model, x = Model(), torch.randn(2, 12, 8)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert {f"ssmgen.{case.op}.default" for case in CASES.values()} <= called
    for batch in (2, 5):
        x = torch.randn(batch, 12, 8)
        assert torch.equal(program.module()(x), model(x))
