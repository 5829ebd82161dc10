"""A call that autograd follows: its plan, and forward and backward by kernels that are bound when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter

import torch
from torch import Tensor

from ssmgen.dispatch import Plan, Tensors, resolve, resolve_training
from ssmgen.dtypes import dtype
from ssmgen.kernels import interface
from ssmgen.kernels.interface import Operand
from ssmgen.ops.launch import Adapter, Call, Pass, bound, converter
from ssmgen.ops.passes import Passes, differentiable
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["KernelPasses", "fitted", "training_plan"]


def training_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan whose outputs are differentiable, or None where the target has no forward kernel for the problem."""
    forward, backward = resolve_training(call.problem, call.target)
    if resolve(forward, call.target) is None:
        return None
    # What autograd need not follow step by step happens between it and the kernels.
    inner = [x if x.revert is not None else Adapter(x.source, None) for x in call.adapters]
    outer = [x if x.revert is None else Adapter(x.source, None) for x in call.adapters]
    passes = KernelPasses(forward, backward, call.target, inner)
    operands: Callable[[Tensors], Sequence[Tensor]] = replace(call, adapters=tuple(outer)).operands
    finish = call.finishing(tensors)
    if all(x.convert is None for x in outer):
        operands = itemgetter(*(x.source for x in outer))
    if finish is None:
        return lambda tensors: differentiable(passes, operands(tensors))
    return lambda tensors: finish(differentiable(passes, operands(tensors)))


class KernelPasses(Passes):
    """Passes that run: each kernel is bound when it is first wanted.

    Args:
        forward: See `Passes`.
        backward: See `Passes`.
        target: Where they run.
        adapters: What turns the inputs, as autograd sees them, into operands, and gradients back; None where they are
            operands already.
    """

    def __init__(
        self,
        forward: Problem,
        backward: Problem | None,
        target: Target,
        adapters: Sequence[Adapter] | None = None,
    ) -> None:
        super().__init__(forward, backward)
        self._target = target
        self._adapters = adapters
        optional = interface(forward.op).optional_gradients
        self._optional = tuple(index for index, x in enumerate(self.inputs) if x.name in optional)
        # By whether each of the optional gradients is wanted.
        self._problems: dict[tuple[bool, ...], tuple[Problem, tuple[Operand, ...]]] = {}
        self._forward: Pass | None = None
        self._backward: dict[tuple[object, ...], Pass] = {}

    def run_forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `Passes.run_forward`. All calls must be with operands of one form."""
        if self._forward is None:
            convert = converter(self._adapters or (), inputs)
            given = inputs if convert is None else convert(inputs)
            run = self._bind(self.forward, self._operands(inputs), given)
            self._forward = run if convert is None else lambda inputs: run(convert(inputs))
        return self._forward(inputs)

    def gradients(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """See `Passes.gradients`."""
        found = super().gradients(self._operands(inputs), residuals, gradients, needed)
        for index, adapter in enumerate(self._adapters or ()):
            gradient = found[index]
            if adapter.revert is not None and gradient is not None:
                found[index] = adapter.revert(gradient)
        return found

    def _operands(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        if self._adapters is None:
            return inputs
        return [adapter.operand(x) for x, adapter in zip(inputs, self._adapters, strict=True)]

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
        form = (asked, *((x.stride(), x.is_cpu or x.data_ptr() & 15) for x in ready))
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

    def _bind(
        self, problem: Problem, inputs: Sequence[Tensor], given: Sequence[Tensor] | None = None
    ) -> Pass:
        resolution = resolve(problem, self._target)
        assert resolution is not None
        return bound(problem, self._target, resolution, inputs, given)


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
