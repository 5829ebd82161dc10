"""From a prepared call to its launches: operands made from tensors, kernels bound once, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssmgen.dispatch import Plan, Resolution, Tensors, resolve, resolve_training, say_untuned
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels import formulas, interface
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target

__all__ = ["Adapter", "Call", "bound", "inference_plan", "training_plan"]

Finish = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
# From input operands, in the interface's order, to output operands.
Pass = Callable[[Sequence[Tensor]], list[Tensor]]


class Adapter(NamedTuple):
    """How one operand is made from a call's tensors.

    Attributes:
        source: Which tensor of the call.
        convert: What brings it into the operand's form, differentiably; None where it has that form already.
        view: What shows it with the operand's axes where it has others; calls, which pass addresses, do without.
    """

    source: int
    convert: Callable[[Tensor], Tensor] | None
    view: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Call:
    """A call of an op in the kernels' terms.

    Attributes:
        problem: The exact problem, forward.
        target: A target that is present.
        adapters: One for each input operand, in the interface's order.
        finish: What turns the output operands into the op's outputs, differentiably; None where they are the same.
    """

    problem: Problem
    target: Target
    adapters: tuple[Adapter, ...]
    finish: Finish | None = None

    def operands(self, tensors: Tensors) -> list[Tensor]:
        """The input operands of a call with these tensors."""
        found = []
        for source, convert, _ in self.adapters:
            tensor = tensors[source]
            assert tensor is not None
            found.append(tensor if convert is None else convert(tensor))
        return found

    def forms(self, tensors: Tensors) -> list[Tensor]:
        """The input operands with their axes, for sizes and strides."""
        made = zip(self.adapters, self.operands(tensors), strict=True)
        return [x if adapter.view is None else adapter.view(x) for adapter, x in made]


def inference_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan that runs the best known kernel, or None where the target has none for the problem."""
    resolution = resolve(call.problem, call.target)
    if resolution is None:
        return None
    run = _bound(call.problem, call.target, resolution, call.operands(tensors))
    finish = call.finish

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        results = tuple(run(call.operands(tensors)))
        return results if finish is None else finish(results)

    return plan


def training_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan whose outputs are differentiable, or None where the target has no forward kernel for the problem."""
    passes = _Passes.of(call, call.operands(tensors))
    if passes is None:
        return None
    finish = call.finish
    apply: Any = _Differentiable.apply  # which only some releases of PyTorch give a type

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        results: tuple[Tensor, ...] = apply(passes, *call.operands(tensors))
        return results if finish is None else finish(results)

    return plan


def _bound(problem: Problem, target: Target, resolution: Resolution, inputs: Sequence[Tensor]) -> Pass:
    """The kernel, compiled and bound for inputs with the strides and alignment of these."""
    operands = interface(problem.op).operands(problem)
    outputs = [x.allocator(inputs[0].device) for x in operands if x.output]
    run = bound(problem, target, resolution, [*inputs, *(allocate() for allocate in outputs)])

    def once(inputs: Sequence[Tensor]) -> list[Tensor]:
        results = [allocate() for allocate in outputs]
        run([*inputs, *results])
        return results

    return once


def bound(problem: Problem, target: Target, resolution: Resolution, operands: Sequence[Tensor]) -> Runner:
    """The kernel, compiled and bound for operands with the strides and alignment of these, outputs included."""
    if resolution.how == "default" and target.facts.kind != "interpret":
        say_untuned(problem, target)
    face = interface(problem.op)
    aligned = face.aligned(problem, operands)
    kernel = target.compile(resolution.variant, problem, resolution.config, aligned)
    return kernel.bind(face.bindings(problem, operands))


class _Passes:
    """Forward and backward of one problem, for operands of one form."""

    def __init__(self, forward: Problem, backward: Problem | None, target: Target, run: Pass) -> None:
        self.run_forward = run
        self.forward = forward
        self.backward = backward
        self.target = target
        operands = interface(forward.op).operands(forward)
        self.inputs = tuple(x.name for x in operands if not x.output)
        self.outputs = tuple(x.name for x in operands if x.output and x.name != "states")
        self._run_backward: Pass | None = None

    @staticmethod
    def of(call: Call, inputs: Sequence[Tensor]) -> _Passes | None:
        """The passes of a call with these operands; None where there is no forward kernel."""
        forward, backward = resolve_training(call.problem, call.target)
        resolution = resolve(forward, call.target)
        if resolution is None:
            return None
        return _Passes(forward, backward, call.target, _bound(forward, call.target, resolution, inputs))

    def gradients(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradient of each input that needs one."""
        again = torch.is_grad_enabled()
        if self.backward is None or again:
            # For a second derivative the formula is differentiated: kernels have no graph.
            return self._by_formula(inputs, gradients, needed, create_graph=again)
        known = dict(zip(self.inputs, inputs, strict=True))
        names = ("states",) if self.forward.has("saved") else ("h",)
        known |= dict(zip(names, residuals, strict=False))
        operands = interface(self.backward.op).operands(self.backward)
        given = dict(zip((f"d{name}" for name in self.outputs), gradients, strict=True))
        for operand in operands:
            if operand.name in given and not operand.output:
                known[operand.name] = _like(operand.allocate(inputs[0].device), given[operand.name])
        ready = [known[operand.name] for operand in operands if not operand.output]
        if self._run_backward is None:
            resolution = resolve(self.backward, self.target)
            assert resolution is not None
            self._run_backward = _bound(self.backward, self.target, resolution, ready)
        results = self._run_backward(ready)
        found = dict(zip((x.name for x in operands if x.output), results, strict=True))
        return [found[f"d{name}"] if need else None for name, need in zip(self.inputs, needed, strict=True)]

    def _by_formula(
        self,
        inputs: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
        *,
        create_graph: bool,
    ) -> list[Tensor | None]:
        known = dict(zip(self.inputs, inputs, strict=True))
        known |= {f"d{name}": g for name, g in zip(self.outputs, gradients, strict=True) if g is not None}
        wanted = [name for name, need in zip(self.inputs, needed, strict=True) if need]
        problem = replace(self.forward, direction="backward")
        kind = dtype(accumulate(self.forward.dtype)).torch
        found = formulas.gradients(problem, known, kind, wanted=wanted, create_graph=create_graph)
        return [
            found[f"d{name}"].to(x.dtype) if name in wanted else None
            for name, x in zip(self.inputs, inputs, strict=True)
        ]


def _like(form: Tensor, gradient: Tensor | None) -> Tensor:
    """The gradient in the strides, dtype and alignment that the kernel was bound for; zeros where there is none."""
    if gradient is None:
        return form.zero_()
    same = gradient.dtype == form.dtype and gradient.stride() == form.stride()
    return gradient if same and gradient.data_ptr() % 16 == 0 else form.copy_(gradient)


class _Differentiable(torch.autograd.Function):
    """The op on its operands: forward keeps what backward recomputes from."""

    @staticmethod
    def forward(ctx: Any, passes: _Passes, *inputs: Tensor) -> Any:
        results = passes.run_forward(inputs)
        outputs = tuple(results[: len(passes.outputs)])
        # A linear scan's states are its output; a selective scan's lie beside them.
        residuals = results[len(passes.outputs) :] or (outputs if passes.backward is not None else ())
        ctx.passes, ctx.count = passes, len(inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *residuals)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        inputs, residuals = saved[: ctx.count], saved[ctx.count :]
        return (None, *ctx.passes.gradients(inputs, residuals, gradients, ctx.needs_input_grad[1:]))
