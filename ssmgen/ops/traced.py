"""Kernels as nodes of a graph: what torch.compile, fake tensors and tracers see of an op, and how the nodes run.

An op decomposes into what PyTorch does to its tensors, which a compiler may fuse, and two nodes: `_<op>_forward`
and `_<op>_backward`, from operands to operands. Sizes reach them as numbers that may be symbolic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ssmgen import dispatch, targets
from ssmgen.advice import say_reference
from ssmgen.dispatch import Plan, Tensors, resolve, resolve_training
from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels import formulas, interface
from ssmgen.kernels.interface import Operand
from ssmgen.ops.launch import Call, bound
from ssmgen.ops.library import as_in_eager, define
from ssmgen.ops.passes import Passes, differentiable, reads_of_forward, without_autocast
from ssmgen.ops.training import KernelPasses, fitted
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["define_nodes", "traced"]


def traced(call: Call, tensors: Tensors) -> tuple[Tensor, ...]:
    """The outputs of a call whose kernels become nodes of whatever is being traced."""
    operands = call.operands(tensors)
    if torch.is_grad_enabled() and any(x.requires_grad for x in operands):
        # The interval of saved states is part of the graph; with symbolic sizes it is right for those traced with.
        forward, backward = resolve_training(_concrete(call.problem), call.target)
        problem = replace(call.problem, options=forward.options)
        passes = _TracedPasses(
            problem, None if backward is None else replace(problem, direction="backward"), call.target.name
        )
        outputs = differentiable(passes, operands)
    else:
        outputs = _TracedPasses(call.problem, None, call.target.name).run_forward(operands)
    return outputs if call.finish is None else call.finish(outputs)


def define_nodes(op: str) -> None:
    """Define the nodes of an op, for every device."""
    common = "SymInt[] dims, str form, str target"
    define(
        f"_{op}_forward(Tensor[] operands, {common}) -> Tensor[]",
        lambda *arguments: _run_forward(op, *arguments),
        lambda *arguments: _fake_forward(op, *arguments),
    )
    define(
        f"_{op}_backward(Tensor[] operands, Tensor[] residuals, Tensor?[] gradients, bool[] needed, {common}) "
        "-> Tensor[]",
        lambda *arguments: _run_backward(op, *arguments),
        lambda *arguments: _fake_backward(op, *arguments),
    )


class _TracedPasses(Passes):
    """Passes that leave nodes."""

    def __init__(self, forward: Problem, backward: Problem | None, target: str) -> None:
        super().__init__(forward, backward)
        self._common = ([size for _, size in forward.dims], _form(forward), target)

    def run_forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `Passes.run_forward`."""
        node = getattr(torch.ops.ssmgen, f"_{self.forward.op}_forward").default
        return tuple(node(list(inputs), *self._common))

    def run_backward(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """See `Passes.run_backward`."""
        node = getattr(torch.ops.ssmgen, f"_{self.forward.op}_backward").default
        found = iter(node(list(inputs), list(residuals), list(gradients), list(needed), *self._common))
        return [next(found) if need else None for need in needed]


def _concrete(problem: Problem) -> Problem:
    """The problem with the sizes it is traced with in the place of symbolic ones, on which nothing may then depend."""
    usual = interface(problem.op).dims
    return problem.with_dims(**{name: _hint(size, usual[name]) for name, size in problem.dims})


def _hint(size: Any, usual: int) -> int:
    if isinstance(size, int):
        return size
    return int(size.node.hint) if size.node.has_hint() else usual


def _form(problem: Problem) -> str:
    """All of a forward problem but its op and sizes, as text."""
    return json.dumps({"dtype": problem.dtype, **dict(problem.options)})


@lru_cache(maxsize=1024)
def _parsed(form: str) -> tuple[str, tuple[tuple[str, Any], ...]]:
    options = json.loads(form)
    return options.pop("dtype"), tuple(sorted(options.items()))


def _problem(op: str, dims: Sequence[int], form: str) -> Problem:
    kind, options = _parsed(form)
    return Problem(op, tuple(zip(interface(op).dims, dims, strict=True)), kind, options)


def _inputs(problem: Problem) -> tuple[Operand, ...]:
    return tuple(x for x in interface(problem.op).operands(problem) if not x.output)


def _outputs(problem: Problem) -> tuple[Operand, ...]:
    return tuple(x for x in interface(problem.op).operands(problem) if x.output)


def _fitted(problem: Problem, operands: Sequence[Tensor]) -> list[Tensor]:
    """The operands as kernels take them, which a compiler may have laid out otherwise."""
    device = operands[0].device
    return [fitted(x, tensor, device) for x, tensor in zip(_inputs(problem), operands, strict=True)]


def _run_forward(op: str, operands: list[Tensor], dims: list[int], form: str, target: str) -> list[Tensor]:
    def prepare(operands: Tensors, _options: object, _target: str | None) -> Plan:
        problem, place = _problem(op, dims, form), targets.target(target)
        resolution = resolve(problem, place)
        if resolution is None:
            say_reference(op, problem.dtype, place)
            return lambda operands: _by_formula(problem, _present(operands))
        run = bound(problem, place, resolution, _fitted(problem, _present(operands)))
        return lambda operands: run(_fitted(problem, _present(operands)))

    with as_in_eager(), torch.no_grad():
        return list(dispatch.call(f"_{op}_forward", prepare, operands, (*dims, form), target))


def _present(tensors: Tensors) -> list[Tensor]:
    return [x for x in tensors if x is not None]


def _by_formula(problem: Problem, operands: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What forward writes, where there is no kernel; backward has none either then, and reads no states."""
    known = dict(zip((x.name for x in _inputs(problem)), operands, strict=True))
    device = operands[0].device
    with without_autocast(device):
        found = formulas.outputs(problem, known, dtype(accumulate(problem.dtype)).torch)
        results = []
        for operand in _outputs(problem):
            form = operand.allocate(device)
            results.append(form.copy_(found[operand.name]) if operand.name in found else form.zero_())
        return tuple(results)


def _fake_forward(op: str, operands: list[Tensor], dims: list[int], form: str, target: str) -> list[Tensor]:
    return [x.allocate(operands[0].device) for x in _outputs(_problem(op, dims, form))]


def _run_backward(
    op: str,
    operands: list[Tensor],
    residuals: list[Tensor],
    gradients: list[Tensor | None],
    needed: list[bool],
    dims: list[int],
    form: str,
    target: str,
) -> list[Tensor]:
    # Numbers, for a plan outlives the tensors that it was made for.
    given, saved = len(operands), len(residuals)

    def prepare(tensors: Tensors, _options: object, _target: str | None) -> Plan:
        passes = _kernel_passes(_problem(op, dims, form), targets.target(target), saved > 0)
        forms = [x for x, need in zip(passes.gradient_operands, needed, strict=True) if need]
        strides = [x.allocate("meta").stride() for x in forms]

        def plan(tensors: Tensors) -> tuple[Tensor, ...]:
            rest = iter(tensors)
            inputs = _fitted(passes.forward, _present(tuple(islice(rest, given))))
            kept = _present(tuple(islice(rest, saved)))
            found = passes.run_backward(inputs, kept, tuple(rest), needed)
            device = inputs[0].device
            ready = [fitted(x, y, device) for x, y in zip(forms, _present(found), strict=True)]
            return tuple(
                # The formula's gradient may be part of a larger tensor, or laid out otherwise, which a fake is not.
                y if y.stride() == wanted and not y.storage_offset() else x.allocate(device).copy_(y)
                for x, y, wanted in zip(forms, ready, strides, strict=True)
            )

        return plan

    options = (given, saved, *needed, *dims, form)
    tensors = [*operands, *residuals, *gradients]
    with as_in_eager(), torch.no_grad():
        return list(dispatch.call(f"_{op}_backward", prepare, tensors, options, target))


def _kernel_passes(forward: Problem, target: Target, keeps: bool) -> KernelPasses:
    """The passes of a problem, by kernels if they have one in both directions and forward has kept what they need."""
    backward = replace(forward, direction="backward")
    ready = keeps or not reads_of_forward(backward)
    both = ready and all(resolve(problem, target) is not None for problem in (forward, backward))
    return KernelPasses(forward, backward if both else None, target)


def _fake_backward(
    op: str,
    operands: list[Tensor],
    residuals: list[Tensor],
    gradients: list[Tensor | None],
    needed: list[bool],
    dims: list[int],
    form: str,
    target: str,
) -> list[Tensor]:
    forms = _TracedPasses(_problem(op, dims, form), None, target).gradient_operands
    return [x.allocate(operands[0].device) for x, need in zip(forms, needed, strict=True) if need]
