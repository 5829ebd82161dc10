"""From a prepared call to its launches: operands made from tensors, kernels bound once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.dispatch import Plan, Resolution, Tensors, compiled, resolve
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import interface
from ssmgen.kernels.interface import Operand
from ssmgen.ops.pages import LARGE_BYTES, in_huge_pages
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target

__all__ = [
    "Adapter",
    "Call",
    "bound",
    "converter",
    "inference_plan",
    "prepared",
    "writing_plan",
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
        revert: From the gradient of the operand to that of the tensor, differentiably; None where PyTorch's autograd
            is to find it, step by step, which takes several microseconds for each.
    """

    source: int
    convert: Callable[[Tensor], Tensor] | None
    quick: Callable[[Tensor], Tensor] | None = None
    checks: bool = False
    revert: Callable[[Tensor], Tensor] | None = None

    def operand(self, x: Tensor) -> Tensor:
        """The operand, of that tensor."""
        return x if self.convert is None else self.convert(x)


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
            found.append(adapter.operand(tensor))
        return found

    def gatherer(self, tensors: Tensors) -> Callable[[Tensors], Sequence[Tensor]]:
        """What makes the memory of the operands of calls like this one, without gradients, in the least time."""
        gather = itemgetter(*(adapter.source for adapter in self.adapters))
        convert = converter(self.adapters, gather(tensors))
        return gather if convert is None else lambda tensors: convert(gather(tensors))

    def finishing(self, tensors: Tensors) -> Finish | None:
        """What finishes the outputs of such a call; None where they are left as they are."""
        if self.finish is None:
            return None
        outputs = _allocated(self.problem, self.gatherer(tensors)(tensors))
        forms = [[(x.shape, x.stride(), x.dtype) for x in each] for each in (outputs, self.finish(outputs))]
        return None if forms[0] == forms[1] else self.finish


def converter(
    adapters: Sequence[Adapter], given: Sequence[Tensor]
) -> Callable[[Sequence[Tensor]], Sequence[Tensor]] | None:
    """What makes the memory of operands, in the least time, of tensors like these, one for each adapter.

    None where it is that of the tensors: kernels are given addresses, and what only views a tensor in another shape
    changes nothing for them.
    """
    changes = []
    for index, (adapter, x) in enumerate(zip(adapters, given, strict=False)):
        if adapter.convert is None:
            continue
        if adapter.checks or adapter.convert(x).data_ptr() != x.data_ptr():
            changes.append((index, adapter.quick or adapter.convert))
    if not changes:
        return None

    def convert_some(given: Sequence[Tensor]) -> Sequence[Tensor]:
        found = list(given)
        for index, convert in changes:
            found[index] = convert(found[index])
        return found

    return convert_some


def inference_plan(call: Call, tensors: Tensors) -> Plan | None:
    """A plan that runs the best known kernel, or None where the target has none for the problem."""
    resolution = resolve(call.problem, call.target)
    if resolution is None:
        return None
    gather, finish = call.gatherer(tensors), call.finishing(tensors)
    run = bound(call.problem, call.target, resolution, call.operands(tensors), gather(tensors))
    if finish is None:
        return lambda tensors: run(gather(tensors))
    return lambda tensors: finish(run(gather(tensors)))


def writing_plan(call: Call, tensors: Tensors, outputs: Sequence[Tensor]) -> Plan | None:
    """A plan that takes outputs after a call's tensors and writes to them, or None where the target has no kernel.

    Raises:
        InvalidInputError: The outputs are not in the form of those that the kernel writes.
    """
    resolution = resolve(call.problem, call.target)
    if resolution is None:
        return None
    gather = call.gatherer(tensors)
    written = _allocated(call.problem, gather(tensors))
    finished = written if call.finish is None else call.finish(written)
    if any(x.data_ptr() != y.data_ptr() for x, y in zip(written, finished, strict=True)):
        raise InvalidInputError(
            f"what {call.problem.op} returns here is made of the kernel's output by PyTorch: a launch cannot write to "
            "out; leave it out."
        )
    forms = [[(tuple(x.shape), x.stride(), x.dtype, x.device) for x in each] for each in (outputs, finished)]
    if forms[0] != forms[1]:
        raise InvalidInputError(
            f"out must have the shapes, strides, dtypes and device of what {call.problem.op} returns, {forms[1]}; it "
            f"has {forms[0]}."
        )
    operands = [x.as_strided(form.shape, form.stride()) for x, form in zip(outputs, written, strict=True)]
    run = prepared(call.problem, call.target, resolution, [*call.operands(tensors), *operands])
    count = len(outputs)

    def plan(tensors: Tensors) -> tuple[Tensor, ...]:
        written: tuple[Tensor, ...] = tuple(tensors[-count:])  # type: ignore[arg-type]
        run((*gather(tensors), *written))
        return written

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
    face = interface(problem.op)
    kernel = compiled(problem, target, resolution, face.assumptions(problem, operands))
    return kernel.bind(face.bindings(problem, operands))


def _allocators(problem: Problem, inputs: Sequence[Tensor]) -> list[Callable[[Sequence[Tensor]], Tensor]]:
    return [_allocator(x, inputs) for x in interface(problem.op).operands(problem) if x.output]


def _allocated(problem: Problem, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(allocate(inputs) for allocate in _allocators(problem, inputs))


def _allocator(operand: Operand, inputs: Sequence[Tensor]) -> Callable[[Sequence[Tensor]], Tensor]:
    """What allocates the operand; after the model of an input where there is one, which takes half the time."""
    allocate = operand.allocator(inputs[0].device)
    form = allocate()
    if form.is_cpu and form.nbytes >= LARGE_BYTES:
        return lambda inputs: in_huge_pages(allocate())
    for index, x in enumerate(inputs):
        if (x.dtype, x.shape) == (form.dtype, form.shape) and torch.empty_like(x).stride() == form.stride():
            like = torch.empty_like
            return lambda inputs: like(inputs[index])
    return lambda inputs: allocate()
