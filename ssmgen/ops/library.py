"""The library of PyTorch ops: what is defined in it, and when a call has to pass through PyTorch's dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad, profiler

__all__ = [
    "NAMESPACE",
    "Signature",
    "as_in_eager",
    "define",
    "define_composite",
    "is_plain",
    "is_traced",
    "is_tracked",
    "is_watched",
    "registered",
]

NAMESPACE = "ssmgen"
_library = torch.library.Library(NAMESPACE, "DEF")
_PLAIN = frozenset({Tensor, torch.nn.Parameter, type(None)})
_modes = torch._C._len_torch_dispatch_stack
_level = torch._C._functorch.maybe_current_level
_ABOVE_KERNELS = tuple(
    getattr(torch._C.DispatchKey, name)
    for name in (
        "AutogradFunctionality",
        "AutogradOther",
        "ADInplaceOrView",
        "Conjugate",
        "Negative",
        "ZeroTensor",
    )
)
_registered: dict[str, torch._ops.OpOverload] = {}


def is_plain(tensors: Sequence[Tensor | None]) -> bool:
    """Whether all have memory of their own for kernels: a fake tensor, like most subclasses, has none."""
    return _PLAIN.issuperset(map(type, tensors))


def is_traced() -> bool:
    """Whether something stands between each op of PyTorch and its kernel: a fake mode, a tracer, a counter."""
    # A mode that is active without a tensor of its own can be told only by the length of PyTorch's stack.
    return _modes() > 0


def is_watched() -> bool:
    """Whether something wants to see the call of an op as such: what traces it, a transform, or the profiler."""
    # Asked at every call: written out, for a function that is called costs as much as what it finds out.
    return (
        _modes() > 0
        or _level() is not None
        or forward_ad._current_level >= 0
        or profiler._is_profiler_enabled
    )


def is_tracked(x: Tensor) -> bool:
    """Whether a transform of torch.func differentiates with respect to this."""
    return bool(torch._C._functorch.is_gradtrackingtensor(x))


@contextmanager
def as_in_eager() -> Iterator[None]:
    """In which a node can use what PyTorch adds to kernels: whoever runs a graph may have turned it off, silently."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    for key in _ABOVE_KERNELS:
        excluded = excluded.remove(key)
    with torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), excluded):
        yield


def registered() -> dict[str, torch._ops.OpOverload]:
    """Every op of the library, by name."""
    return dict(_registered)


def define(
    schema: str, kernel: Callable[..., Any], fake: Callable[..., Any], *, is_constant: bool = False
) -> torch._ops.OpOverload:
    """Define an op that is one node of a graph, for every device.

    Args:
        schema: Name, arguments and results, in PyTorch's language of schemas.
        kernel: What runs it, on tensors that have memory.
        fake: The same on tensors that have none: results of the right shape, strides and dtype.
        is_constant: Whether autograd takes results for constants, whatever they are computed from.
    """
    name = _define(schema)
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    if is_constant:
        _library.impl(name, torch.library.fallthrough_kernel, "Autograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    return _registered[name]


def define_composite(schema: str, kernel: Callable[..., Any]) -> torch._ops.OpOverload:
    """Define an op that consists of other ops, whose gradients, fakes and transforms serve it too."""
    name = _define(schema)
    _library.impl(name, kernel, "CompositeImplicitAutograd")
    # Without it vmap would run the op for each element of the batch.
    _library.impl(name, kernel, "FuncTorchBatchedDecomposition")
    return _registered[name]


def _define(schema: str) -> str:
    # Kernels rely on the strides that they were traced with: a copy inside of an op could not be fused with anything.
    _library.define(schema, tags=(torch.Tag.needs_exact_strides,))
    name = schema.partition("(")[0]
    _registered[name] = getattr(getattr(torch.ops, NAMESPACE), name).default
    return name


class Signature(NamedTuple):
    """How the arguments of an op divide into its tensors, its options and its target, in the order of its schema.

    Attributes:
        defaults: The name of each argument and its default.
        positional: How many can be given without their names.
        tensors: Names of the tensors.
        options: Names of the others, without `target`.
    """

    defaults: dict[str, Any]
    positional: int
    tensors: tuple[str, ...]
    options: tuple[str, ...]

    @staticmethod
    def of(schema: torch._C.FunctionSchema) -> Signature:
        """The signature that a schema gives."""
        arguments = schema.arguments
        tensors = tuple(x.name for x in arguments if "Tensor" in str(x.type))
        return Signature(
            {x.name: x.default_value for x in arguments},
            sum(not x.kwarg_only for x in arguments),
            tensors,
            tuple(x.name for x in arguments if x.name not in (*tensors, "target")),
        )

    def split(
        self, given: Sequence[Any], named: dict[str, Any]
    ) -> tuple[tuple[Tensor | None, ...], tuple[Any, ...], str | None]:
        """Tensors, options and target of a call; PyTorch leaves out arguments that have their default."""
        values = {**self.defaults, **dict(zip(self.defaults, given, strict=False)), **named}
        return (
            tuple(values[name] for name in self.tensors),
            # A list would not be hashed.
            tuple(tuple(x) if isinstance(x := values[name], list) else x for name in self.options),
            values["target"],
        )

    def join(
        self, tensors: Sequence[Tensor | None], options: Sequence[Any], target: str | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position and by name of a call with these: the reverse of `split`."""
        values = dict(zip(self.tensors, tensors, strict=True))
        values |= dict(zip(self.options, options, strict=True)) | {"target": target}
        names = tuple(self.defaults)
        return (
            tuple(values[name] for name in names[: self.positional]),
            {name: values[name] for name in names[self.positional :]},
        )
