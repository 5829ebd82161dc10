"""From a prepared call to its launches: operands made from tensors, kernels bound once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.dispatch import Plan, Resolution, Tensors, resolve, resolve_training, say_untuned
from ssmgen.dtypes import dtype
from ssmgen.kernels import interface
from ssmgen.kernels.interface import Operand
from ssmgen.ops.passes import Passes, differentiable
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target

__all__ = [
    "Adapter",
    "Call",
    "KernelPasses",
    "bound",
    "fitted",
    "inference_plan",
    "prepared",
    "training_plan",
]

Finish = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
# From input operands, in the interface's order, to output operands.
Pass = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


class Adapter(NamedTuple):
    """How one operand is made from a call's tensors.

    Attributes:
        source: Which tensor of the call.
        convert: What brings it into the operand's form, differentiably; None where it has that form already.
        quick: What gives the same memory in less time, perhaps in another shape; None where nothing does.
        checks: Whether it looks at values, and so must run in every call.
    """

    source: int
    convert: Callable[[Tensor], Tensor] | None
    quick: Callable[[Tensor], Tensor] | None = None
    checks: bool = False


@dataclass(frozen=True)
class Call:
    """A call of an op in the kernels' terms.

    Attributes:
        problem: The exact problem, forward; its sizes may be symbolic where the call is traced.
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
        for adapter in self.adapters:
            tensor = tensors[adapter.source]
            assert tensor is not None
            found.append(tensor if adapter.convert is None else adapter.convert(tensor))
        return found

    def gatherer(self, tensors: Tensors) -> Callable[[Tensors], Sequence[Tensor]]:
        """What makes the memory of the operands of calls like this one, without gradients, in the least time."""
        gather = itemgetter(*(adapter.source for adapter in self.adapters))
        changes = []
        for index, (adapter, x, operand) in enumerate(
            zip(self.adapters, gather(tensors), self.operands(tensors), strict=True)
        ):
            # Kernels are given addresses: what only views a tensor in another shape changes nothing for them.
            is_needed = adapter.checks or operand.data_ptr() != x.data_ptr()
            if adapter.convert is not None and is_needed:
                changes.append((index, adapter.quick or adapter.convert))
        if not changes:
            return gather

        def gather_and_convert(tensors: Tensors) -> Sequence[Tensor]:
            found = list(gather(tensors))
            for index, convert in changes:
                found[index] = convert(found[index])
            return found

        return gather_and_convert


def inference_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan that runs the best known kernel, or None where the target has none for the problem."""
    resolution = resolve(call.problem, call.target)
    if resolution is None:
        return None
    gather, finish = call.gatherer(tensors), call.finish
    run = bound(call.problem, call.target, resolution, call.operands(tensors), gather(tensors))
    if finish is None or _keeps(finish, _allocated(call.problem, gather(tensors))):
        return lambda tensors: run(gather(tensors))
    return lambda tensors: finish(run(gather(tensors)))


def _keeps(finish: Finish, outputs: tuple[Tensor, ...]) -> bool:
    """Whether finishing such outputs leaves them as they are."""
    forms = [[(x.shape, x.stride(), x.dtype) for x in each] for each in (outputs, finish(outputs))]
    return forms[0] == forms[1]


def training_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan whose outputs are differentiable, or None where the target has no forward kernel for the problem."""
    forward, backward = resolve_training(call.problem, call.target)
    if resolve(forward, call.target) is None:
        return None
    passes, finish = KernelPasses(forward, backward, call.target), call.finish

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        results = differentiable(passes, call.operands(tensors))
        return results if finish is None else finish(results)

    return plan


def bound(
    problem: Problem,
    target: Target,
    resolution: Resolution,
    inputs: Sequence[Tensor],
    given: Sequence[Tensor] | None = None,
) -> Pass:
    """The kernel, compiled and bound for inputs with the strides and alignment of these.

    Args:
        problem: The exact problem.
        target: Where it runs.
        resolution: What runs it.
        inputs: Input operands.
        given: The same memory in the shapes that calls will give; None where those are the operands'.
    """
    outputs = _allocators(problem, given or inputs)
    run = prepared(
        problem, target, resolution, [*inputs, *(allocate(given or inputs) for allocate in outputs)]
    )
    if len(outputs) == 1:
        (allocate,) = outputs

        def once(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
            result = allocate(inputs)
            run((*inputs, result))
            return (result,)

        return once

    def several(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        results = tuple([allocate(inputs) for allocate in outputs])
        run((*inputs, *results))
        return results

    return several


def prepared(problem: Problem, target: Target, resolution: Resolution, operands: Sequence[Tensor]) -> Runner:
    """The kernel, compiled and bound for operands with the strides and alignment of these, outputs included."""
    if resolution.how == "default" and target.facts.kind != "interpret":
        say_untuned(problem, target)
    face = interface(problem.op)
    assumed = face.assumptions(problem, operands)
    kernel = target.compile(resolution.variant, problem, resolution.config, assumed)
    return kernel.bind(face.bindings(problem, operands))


def _allocators(problem: Problem, inputs: Sequence[Tensor]) -> list[Callable[[Sequence[Tensor]], Tensor]]:
    return [_allocator(x, inputs) for x in interface(problem.op).operands(problem) if x.output]


def _allocated(problem: Problem, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(allocate(inputs) for allocate in _allocators(problem, inputs))


def _allocator(operand: Operand, inputs: Sequence[Tensor]) -> Callable[[Sequence[Tensor]], Tensor]:
    """What allocates the operand; after the model of an input where there is one, which takes half the time."""
    allocate = operand.allocator(inputs[0].device)
    form = allocate()
    for index, x in enumerate(inputs):
        if (x.dtype, x.shape) == (form.dtype, form.shape) and torch.empty_like(x).stride() == form.stride():
            like = torch.empty_like
            return lambda inputs: like(inputs[index])
    return lambda inputs: allocate()


class KernelPasses(Passes):
    """Passes that run: each kernel is bound when it is first wanted."""

    def __init__(self, forward: Problem, backward: Problem | None, target: Target) -> None:
        super().__init__(forward, backward)
        self._target = target
        optional = interface(forward.op).optional_gradients
        self._optional = tuple(index for index, x in enumerate(self.inputs) if x.name in optional)
        # By whether each of the optional gradients is wanted.
        self._problems: dict[tuple[bool, ...], tuple[Problem, tuple[Operand, ...]]] = {}
        self._forward: Pass | None = None
        self._backward: dict[tuple[object, ...], Pass] = {}

    def run_forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `Passes.run_forward`. All calls must be with operands of one form."""
        if self._forward is None:
            self._forward = self._bind(self.forward, inputs)
        return self._forward(inputs)

    def run_backward(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """See `Passes.run_backward`."""
        if self.backward is None:
            return self.by_formula(inputs, gradients, needed, create_graph=False)
        asked = tuple(needed[index] for index in self._optional)
        if asked not in self._problems:
            self._problems[asked] = self._backward_of(self.backward, asked)
        problem, operands = self._problems[asked]
        given: dict[str, Tensor | None] = dict(zip((x.name for x in self.inputs), inputs, strict=True))
        given |= zip((f"d{x.name}" for x in self.outputs), gradients, strict=True)
        names = ("states",) if self.forward.has("saved") else ("h",)
        given |= zip(names, residuals, strict=False)
        ready = [fitted(x, given[x.name], inputs[0].device) for x in operands if not x.output]
        # Hooks on saved tensors may have moved them, and whoever wrote a gradient chose its strides.
        form = (asked, *((x.stride(), x.data_ptr() & 15) for x in ready))
        if form not in self._backward:
            self._backward[form] = self._bind(problem, ready)
        results = self._backward[form](ready)
        found = dict(zip((x.name for x in operands if x.output), results, strict=True))
        return [found[f"d{x.name}"] if need else None for x, need in zip(self.inputs, needed, strict=True)]

    def _backward_of(self, backward: Problem, asked: Sequence[bool]) -> tuple[Problem, tuple[Operand, ...]]:
        """The backward problem that gives, of the optional gradients, those that are asked for, and its operands."""
        names = (f"d{self.inputs[index].name}" for index in self._optional)
        problem = backward.with_options(**dict(zip(names, asked, strict=True)))
        return problem, interface(problem.op).operands(problem)

    def _bind(self, problem: Problem, inputs: Sequence[Tensor]) -> Pass:
        resolution = resolve(problem, self._target)
        assert resolution is not None
        return bound(problem, self._target, resolution, inputs)


def fitted(operand: Operand, x: Tensor | None, device: torch.device) -> Tensor:
    """The tensor in the dtype, layout and signs of the operand, copied only if it has others; zeros for None."""
    if x is None:
        return operand.allocate(device).zero_()
    free = {axis for _, axis in operand.strides}
    if free:
        fits = all(x.stride(axis) == 1 or x.shape[axis] == 1 for axis in range(x.ndim) if axis not in free)
    else:
        fits = x.is_contiguous()
    has_memory = not (x.is_conj() or x.is_neg() or x._is_zerotensor())
    fits = fits and x.dtype == dtype(operand.dtype).torch and has_memory
    return x if fits else operand.allocate(device).copy_(x)
