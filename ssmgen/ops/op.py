"""What all ops share: the call through dispatch, and gradients through the reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssmgen import dispatch
from ssmgen.dispatch import Plan, Tensors
from ssmgen.dtypes import by_torch
from ssmgen.errors import InvalidInputError
from ssmgen.reference.checkpointed import in_transform
from ssmgen.targets import Target

__all__ = ["Op", "common_dtype", "require_shape", "require_tensor"]

Options = tuple[object, ...]


class Op(ABC):
    """One op: how a call is prepared, and the differentiable formula that its gradients come from."""

    name: ClassVar[str]

    @abstractmethod
    def plan(self, tensors: Tensors, options: Options, target: str | None) -> Plan:
        """Check a call that dispatch has not met before, and prepare it."""

    @abstractmethod
    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        """The outputs by the reference, differentiable, in the outputs' dtypes."""

    def reference_plan(self, options: Options, target: Target, dtype: str) -> Plan:
        """The plan for what the target has no kernel for."""
        dispatch.say_reference(self.name, dtype, target)
        return lambda tensors: self.reference(tensors, options)

    def __call__(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        """The outputs; differentiable if an input requires gradients."""
        if in_transform():
            # Tangents and batched tensors pass through PyTorch's own ops, and so through the reference.
            return self.reference(tensors, options)
        if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in tensors):
            apply: Any = _ThroughReference.apply  # which only some releases of PyTorch give a type
            outputs: tuple[Tensor, ...] = apply(self, options, target, *tensors)
            return outputs
        return self.forward(tensors, options, target)

    def forward(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        """The outputs, without gradients."""
        try:
            if any(x is not None and (x.is_conj() or x.is_neg()) for x in tensors):
                # Kernels read memory, which holds the other sign.
                tensors = [x if x is None else x.resolve_conj().resolve_neg() for x in tensors]
            return dispatch.call(self.name, self.plan, tensors, options, target)
        except (AttributeError, RuntimeError) as error:
            # The key is made before anything is checked, which keeps the hot path short.
            self._explain(tensors, error)
            raise

    def _explain(self, tensors: Tensors, error: Exception) -> None:
        """Raise an `InvalidInputError` if it is an input's kind, and not a bug, that led to the error."""
        for x in tensors:
            if x is None:
                continue
            require_tensor(f"an input of {self.name}", x, cause=error)
            if x.layout != torch.strided or x.is_nested:
                raise InvalidInputError(
                    f"an input of {self.name} is a {'nested' if x.is_nested else x.layout} tensor; make it dense."
                ) from error


class _ThroughReference(torch.autograd.Function):
    """Forward by the kernels; backward by autograd through the reference, which checkpoints time."""

    @staticmethod
    def forward(ctx: Any, op: Op, options: Options, target: str | None, *tensors: Tensor | None) -> Any:
        ctx.op, ctx.options = op, options
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return op.forward(tensors, options, target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        needed = ctx.needs_input_grad[3:]
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # Each input gets a node of its own, so that a path from one input to another is not followed here: the
            # caller's engine does that. For a double backward the nodes lead on to the inputs; else the graph ends.
            saved = [
                None if x is None else (x.view_as(x) if again else x.detach().requires_grad_(need))
                for x, need in zip(ctx.saved_tensors, needed, strict=True)
            ]
            outputs = ctx.op.reference(saved, ctx.options)
        reached = [
            (y, g) for y, g in zip(outputs, gradients, strict=True) if g is not None and y.requires_grad
        ]
        wanted = [x for x, need in zip(saved, needed, strict=True) if need and x is not None]
        found = iter(
            torch.autograd.grad(
                [y for y, _ in reached],
                wanted,
                [g for _, g in reached],
                create_graph=again,
                allow_unused=True,
            )
            if reached
            else [None] * len(wanted)
        )
        return (None, None, None, *(next(found) if need else None for need in needed))


def require_tensor(what: str, x: object, cause: BaseException | None = None) -> Tensor:
    """The tensor.

    Raises:
        InvalidInputError: It is something else.
    """
    if not isinstance(x, Tensor):
        raise InvalidInputError(f"{what} must be a torch.Tensor, not {type(x).__name__}.") from cause
    return x


def require_shape(what: str, x: Tensor, names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    """Raise an `InvalidInputError` unless the tensor has that shape."""
    if tuple(x.shape) != sizes:
        wanted = ", ".join(f"{name}={size}" for name, size in zip(names, sizes, strict=True))
        raise InvalidInputError(f"{what} has shape {tuple(x.shape)}, but must be ({wanted}).")


def common_dtype(tensors: dict[str, Tensor], allowed: tuple[str, ...]) -> str:
    """The short name of the dtype that all of these promote to.

    Raises:
        InvalidInputError: A dtype is not among those allowed.
    """
    promoted = None
    for name, x in tensors.items():
        if by_torch(x.dtype, name) not in allowed:
            raise InvalidInputError(f"{name} is {x.dtype}; supported here are {', '.join(allowed)}.")
        promoted = x.dtype if promoted is None else torch.promote_types(promoted, x.dtype)
    assert promoted is not None
    return by_torch(promoted, "the inputs")
