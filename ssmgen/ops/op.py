"""What all ops share: the call through dispatch, with and without gradients, and checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ssmgen import dispatch
from ssmgen.dispatch import Plan, Tensors
from ssmgen.dtypes import by_torch
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Call, inference_plan, training_plan
from ssmgen.reference.checkpointed import in_transform

__all__ = ["Op", "common_dtype", "require_shape", "require_tensor"]

Options = tuple[object, ...]


class Op(ABC):
    """One op: how a call is prepared for kernels, and the differentiable formula for what has none."""

    name: ClassVar[str]

    @abstractmethod
    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        """Check a call that dispatch has not met before, and say what kernels are to compute."""

    @abstractmethod
    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        """The outputs by the reference, differentiable, in the outputs' dtypes."""

    def __call__(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        """The outputs; differentiable if an input requires gradients."""
        if in_transform():
            # Tangents and batched tensors pass through PyTorch's own ops, and so through the reference.
            return self.reference(tensors, options)
        try:
            trains = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)
            if any(x is not None and (x.is_conj() or x.is_neg()) for x in tensors):
                # Kernels read memory, which holds the other sign.
                tensors = [x if x is None else x.resolve_conj().resolve_neg() for x in tensors]
            key, plan = (self._training, self._training_plan) if trains else (self.name, self._plan)
            return dispatch.call(key, plan, tensors, options, target)
        except (AttributeError, RuntimeError) as error:
            # The key is made before anything is checked, which keeps the hot path short.
            self._explain(tensors, error)
            raise

    @property
    def _training(self) -> str:
        return f"{self.name} with gradients"

    def _plan(self, tensors: Tensors, options: Options, target: str | None) -> Plan:
        call = self.prepare(tensors, options, target)
        return inference_plan(call, tensors) or self._reference_plan(options, call)

    def _training_plan(self, tensors: Tensors, options: Options, target: str | None) -> Plan:
        call = self.prepare(tensors, options, target)
        return training_plan(call, tensors) or self._reference_plan(options, call)

    def _reference_plan(self, options: Options, call: Call) -> Plan:
        """The plan for what the target has no kernel for."""
        dispatch.say_reference(self.name, call.problem.dtype, call.target)
        return lambda tensors: self.reference(tensors, options)

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
