"""What all ops share: the call through dispatch, with and without gradients, and checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.compiler import is_compiling

from ssmgen import dispatch
from ssmgen.advice import say_reference
from ssmgen.dispatch import Plan, Tensors
from ssmgen.dtypes import by_torch
from ssmgen.errors import InvalidInputError
from ssmgen.ops.launch import Call, inference_plan
from ssmgen.ops.library import (
    Signature,
    define,
    define_composite,
    is_plain,
    is_traced,
    is_tracked,
    is_watched,
)
from ssmgen.ops.passes import without_autocast
from ssmgen.ops.traced import define_nodes, traced
from ssmgen.ops.training import training_plan
from ssmgen.reference.checkpointed import in_transform

__all__ = ["OPS", "Op", "Options", "common_dtype", "require_shape", "require_tensor"]

Options = tuple[object, ...]
OPS: dict[str, Op] = {}  # that have kernels, by name


class Op(ABC):
    """One op: how a call is prepared for kernels, and the differentiable formula for what has none.

    An instance registers the op with PyTorch, as `torch.ops.ssmgen.<name>`.

    Attributes:
        name: The op's name.
        schema: Its arguments and results, in PyTorch's language of schemas; the last argument is `str? target=None`.
            Results are as many in every call: one that is not asked for is empty. An op that writes to a tensor says
            so there, `Tensor(a!)`: it is one node of a graph, with `fake` for tensors without memory; no gradients.
        instead: What to do for gradients where the op has none.
    """

    name: ClassVar[str]
    schema: ClassVar[str]
    instead: ClassVar[str] = ""

    def __init__(self) -> None:
        schema = f"{self.name}{self.schema}"
        self._writes = "!" in self.schema
        if self._writes:
            self._registered = define(schema, self._run_node, self._run_fake, is_constant=True)
        else:
            self._registered = define_composite(schema, self._called_by_pytorch)
            define_nodes(self.name)
        self._signature = Signature.of(self._registered._schema)
        OPS[self.name] = self
        self._results = len(self._registered._schema.returns)
        arguments = {x.name: x.is_write for x in self._registered._schema.arguments}
        self._written = tuple(index for index, name in enumerate(self._signature.tensors) if arguments[name])

    @abstractmethod
    def prepare(self, tensors: Tensors, options: Options, target: str | None) -> Call:
        """Check a call that dispatch has not met before, and say what kernels are to compute.

        Sizes may be symbolic: nothing may be hashed or made an int that a graph for other sizes would need to know.
        """

    @abstractmethod
    def reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        """The outputs by the reference, differentiable, in the outputs' dtypes."""

    def fake(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        """The outputs of an op that writes to its inputs, without their values."""
        raise NotImplementedError(f"{self.name} consists of other ops, which have fakes of their own")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tensors, in the order of the schema."""
        return self._signature.tensors

    def split(self, arguments: dict[str, Any]) -> tuple[Tensors, Options, str | None]:
        """Tensors, options and target of a call, as `call` takes them, from its arguments by name."""
        return self._signature.split((), arguments)

    def call(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        """The outputs; differentiable if an input requires gradients.

        Args:
            tensors: In the order of the schema.
            options: All arguments that are no tensors but the target, in the order of the schema.
            target: See `selective_scan`.
        """
        if is_compiling():
            return self._by_pytorch(tensors, options, target)
        if is_watched() or not is_plain(tensors):
            if in_transform():
                # Tangents and batched tensors pass through PyTorch's own ops, and so through the reference.
                return self._by_reference(tensors, options)
            return self._by_pytorch(tensors, options, target)
        try:
            return dispatch.call(self.name, self._plan, tensors, options, target)
        except (AttributeError, RuntimeError, TypeError) as error:
            # The key is made before anything is checked, which keeps the hot path short.
            self._explain(tensors, error)
            dispatch.named_target(target)
            raise

    def _by_pytorch(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        """By the dispatcher, which costs more than a plan does, but shows the op to whatever wants to see it."""
        if not is_compiling():
            for x in tensors:
                if x is not None:
                    require_tensor(f"an input of {self.name}", x)
            self._check_written(tensors)
        arguments, named = self._signature.join(tensors, options, target)
        found = self._registered(*arguments, **named)
        return (found,) if self._results == 1 else found

    def _called_by_pytorch(self, *arguments: Any, **named: Any) -> Any:
        tensors, options, target = self._signature.split(arguments, named)
        if in_transform():
            outputs = self._by_reference(tensors, options)
        elif is_traced() or not is_plain(tensors):
            outputs = self._by_nodes(tensors, options, target)
        else:
            outputs = dispatch.call(self.name, self._plan, tensors, options, target)
        return self._filled(outputs, tensors)

    def _run_node(self, *arguments: Any, **named: Any) -> Any:
        tensors, options, target = self._signature.split(arguments, named)
        return self._filled(dispatch.call(self.name, self._plan, tensors, options, target), tensors)

    def _run_fake(self, *arguments: Any, **named: Any) -> Any:
        tensors, options, _ = self._signature.split(arguments, named)
        self._check_written(tensors)
        return self._filled(self.fake(tensors, options), tensors)

    def _filled(self, outputs: tuple[Tensor, ...], tensors: Tensors) -> Any:
        """The outputs as PyTorch wants them, with an empty tensor for each that was not asked for."""
        missing = self._results - len(outputs)
        if missing:
            first = next(x for x in tensors if x is not None)
            outputs = (*outputs, *(first.new_empty(0) for _ in range(missing)))
        return outputs[0] if self._results == 1 else outputs

    def _by_nodes(self, tensors: Tensors, options: Options, target: str | None) -> tuple[Tensor, ...]:
        try:
            tensors = _resolved(tensors)
            return traced(self.prepare(tensors, options, dispatch.named_target(target)), tensors)
        except (AttributeError, RuntimeError) as error:
            self._explain(tensors, error)
            raise

    def _by_reference(self, tensors: Tensors, options: Options) -> tuple[Tensor, ...]:
        first = next(x for x in tensors if x is not None)
        if self._writes and any(x is not None and is_tracked(x) for x in tensors):
            raise InvalidInputError(f"{self.name} has no gradients; {self.instead}.")
        with without_autocast(first.device):
            return self.reference(tensors, options)

    def _plan(self, tensors: Tensors, options: Options, target: str | None) -> Plan:
        present = [x for x in tensors if x is not None]
        self._check_written(tensors)
        if any(x.is_neg() or x.is_conj() for x in present):
            return lambda tensors: dispatch.call(self.name, self._plan, _resolved(tensors), options, target)
        call = self.prepare(tensors, options, target)
        trains = torch.is_grad_enabled() and any(x.requires_grad for x in present) and not self._writes
        plan = self.kernel_plan(call, tensors, trains)
        if plan is not None:
            return plan
        say_reference(self.name, call.problem.dtype, call.target)
        return lambda tensors: self._by_reference(tensors, options)

    def _check_written(self, tensors: Tensors) -> None:
        """Raise an `InvalidInputError` for what kernels cannot write to, or where autograd would have to follow."""
        for index in self._written:
            x, name = tensors[index], self._signature.tensors[index]
            if x is None:
                continue
            if x.is_neg():
                raise InvalidInputError(
                    f"{name} is written in place, but is a negative that PyTorch has not computed: resolve_neg() it."
                )
            if x.requires_grad and torch.is_grad_enabled():
                raise InvalidInputError(
                    f"what {self.name} writes to can have no gradients: detach {name}, or {self.instead}."
                )

    def kernel_plan(self, call: Call, tensors: Tensors, trains: bool) -> Plan | None:
        """The plan that runs kernels, or None where the target has none."""
        return (training_plan if trains else inference_plan)(call, tensors)

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


def _resolved(tensors: Tensors) -> Tensors:
    """The tensors without lazy conjugates and negatives."""
    return [x if x is None else x.resolve_conj().resolve_neg() for x in tensors]


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
