"""Forward and backward of a call on its operands: what autograd sees of a kernel, run or traced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ssmgen.dtypes import accumulate, dtype
from ssmgen.kernels import formulas, interface
from ssmgen.kernels.interface import Operand
from ssmgen.problem import Problem

__all__ = ["Passes", "differentiable", "reads_of_forward", "without_autocast"]


class Passes(ABC):
    """Forward and backward of one problem, for operands of one form.

    Attributes:
        forward: The forward problem, with the interval of saved states that training takes.
        backward: The backward problem; None where there is no kernel for it.
        inputs: The input operands of forward.
        outputs: Its output operands, without the saved states.
        keeps: Whether backward reads anything that forward gave.
    """

    def __init__(self, forward: Problem, backward: Problem | None) -> None:
        self.forward = forward
        self.backward = backward
        operands = interface(forward.op).operands(forward)
        self.inputs = tuple(x for x in operands if not x.output)
        self.outputs = tuple(x for x in operands if x.output and x.name != "states")
        self.keeps = backward is not None and reads_of_forward(backward)

    @abstractmethod
    def run_forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The output operands, saved states last."""

    @abstractmethod
    def run_backward(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradient of each input that needs one, with no graph of its own."""

    def gradients(
        self,
        inputs: Sequence[Tensor],
        residuals: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradient of each input that needs one."""
        if torch.is_grad_enabled():
            # For a second derivative the formula is differentiated: kernels have no graph.
            return self.by_formula(inputs, gradients, needed, create_graph=True)
        return self.run_backward(inputs, residuals, gradients, needed)

    def by_formula(
        self,
        inputs: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        needed: Sequence[bool],
        *,
        create_graph: bool,
    ) -> list[Tensor | None]:
        """The same by differentiating the reference."""
        known = dict(zip((x.name for x in self.inputs), inputs, strict=True))
        known |= {
            f"d{x.name}": gradient
            for x, gradient in zip(self.outputs, gradients, strict=True)
            if gradient is not None
        }
        wanted = [x.name for x, need in zip(self.inputs, needed, strict=True) if need]
        problem = replace(self.forward, direction="backward")
        kind = dtype(accumulate(self.forward.dtype)).torch
        with without_autocast(inputs[0].device):
            found = formulas.gradients(problem, known, kind, wanted=wanted, create_graph=create_graph)
        return [
            found[f"d{operand.name}"].to(x.dtype) if need else None
            for operand, x, need in zip(self.inputs, inputs, needed, strict=True)
        ]

    @property
    def gradient_operands(self) -> tuple[Operand, ...]:
        """The gradient of each input as an operand."""
        return tuple(replace(x, name=f"d{x.name}", output=True) for x in self.inputs)


def reads_of_forward(backward: Problem) -> bool:
    """Whether a backward problem takes something that forward gave: what forward computed all along, or saved."""
    operands = interface(backward.op).operands(backward)
    return any(x.name in formulas.RESIDUALS for x in operands if not x.output)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """In which the reference keeps the precision that it was asked for; of devices without autocast, as meta, any."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def differentiable(passes: Passes, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The output operands of a call with these operands, with a graph where one is wanted."""
    apply: Any = _Differentiable.apply  # which only some releases of PyTorch give a type
    results: tuple[Tensor, ...] = apply(passes, *inputs)
    return results


class _Differentiable(torch.autograd.Function):
    """The op on its operands: forward keeps what backward recomputes from."""

    @staticmethod
    def forward(ctx: Any, passes: Passes, *inputs: Tensor) -> Any:
        results = passes.run_forward(inputs)
        count = len(passes.outputs)
        outputs = results[:count]
        # A linear scan's states are its output; a selective scan's lie beside them.
        residuals = results[count:] or (outputs if passes.keeps else ())
        ctx.passes, ctx.count = passes, len(inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *residuals)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        inputs, residuals = saved[: ctx.count], saved[ctx.count :]
        return (None, *ctx.passes.gradients(inputs, residuals, gradients, ctx.needs_input_grad[1:]))
