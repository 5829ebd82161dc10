"""Triton's interpreter without what it does over and over: the same operations in order, in a third of the time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from ssmgen.targets import triton_source

__all__ = ["quickened", "slowed"]

# What is replaced, as Triton has it: (owner, name, original).
_ORIGINALS: list[tuple[Any, str, Any]] = []


def quickened() -> Any:
    """A context in which sources are interpreted without what repeats; Triton is imported with the first of them."""
    execute = triton_source._execute

    def execute_quickly(path: Path, how: str) -> ModuleType:
        if how == "interpreted":
            _quicken()
        return execute(path, how)

    return mock.patch.object(triton_source, "_execute", execute_quickly)


@contextmanager
def slowed() -> Iterator[None]:
    """Within it Triton's interpreter is as Triton has it."""
    with ExitStack() as stack:
        for owner, name, original in _ORIGINALS:
            stack.enter_context(mock.patch.object(owner, name, original))
        yield


def _quicken() -> None:
    from triton.language import core, semantic
    from triton.runtime import interpreter

    # Other releases of Triton are left as they are.
    if not hasattr(interpreter, "_LangPatchScope") or interpreter._patch_lang.__module__ == __name__:
        return
    for owner, name, quick in (
        (interpreter, "_patch_lang", _patch_once(interpreter)),
        (interpreter, "_get_np_dtype", _remember(interpreter._get_np_dtype)),
        (interpreter.ReduceOps, "generic_reduce", _reduce),
        (interpreter.ScanOps, "generic_scan", _scan),
        (core.block_type, "__init__", _describe_once(core.block_type.__init__)),
        (core.tensor, "__init__", _shape_once(core.tensor.__init__)),
        (
            semantic.TritonSemantic,
            "broadcast_impl_value",
            _broadcast_if_needed(semantic.TritonSemantic.broadcast_impl_value),
        ),
        (
            semantic.TritonSemantic,
            "binary_op_type_checking_impl",
            _promote_if_needed(semantic.TritonSemantic.binary_op_type_checking_impl, core.tensor),
        ),
    ):
        _ORIGINALS.append((owner, name, getattr(owner, name)))
        setattr(owner, name, quick)


def _patch_once(interpreter: Any) -> Callable[[Any], Any]:
    """A launch patches `triton.language`; the calls of helpers within it find that done."""
    patch, language = interpreter._patch_lang, interpreter.tl

    def patch_unless_done(function: Any) -> Any:
        is_done = not language.core.is_builtin(language.load)
        return interpreter._LangPatchScope() if is_done else patch(function)

    return patch_unless_done


def _remember(find: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """NumPy's dtype of a type of Triton's, looked up by the name of what a block is made of."""
    found: dict[str, Any] = {}

    def remembered(kind: Any) -> Any:
        element = kind.element_ty if kind.is_block() else kind
        if element.name not in found:
            found[element.name] = find(element)
        return found[element.name]

    return remembered


def _describe_once(initialise: Callable[..., None]) -> Callable[..., None]:
    """The types of blocks, whose shape is checked and put into words once; those of one shape hold one tuple of it."""
    described: dict[tuple[tuple[Any, ...], str], dict[str, Any]] = {}
    shapes: dict[tuple[Any, ...], Any] = {}

    def describe(self: Any, element_ty: Any, shape: Any) -> None:
        sizes = tuple(getattr(size, "value", size) for size in shape)
        known = described.get((sizes, element_ty.name))
        if known is None:
            initialise(self, element_ty, shape)
            self.shape = shapes.setdefault(sizes, self.shape)
            described[sizes, element_ty.name] = {**vars(self)}
        else:
            vars(self).update(known, element_ty=element_ty)

    return describe


def _shape_once(initialise: Callable[..., None]) -> Callable[..., None]:
    """Tensors, whose shape and number of elements follow from their type."""
    shaped: dict[str, dict[str, Any]] = {}

    def shape(self: Any, handle: Any, type: Any) -> None:
        known = shaped.get(type.name)
        if known is None:
            initialise(self, handle, type)
            shaped[type.name] = {**vars(self)}
        else:
            vars(self).update(known, handle=handle, type=type, dtype=type.scalar)

    return shape


def _broadcast_if_needed(broadcast: Callable[..., Any]) -> Callable[..., Any]:
    """What is of one shape, or of none, needs no look at each of its sizes."""

    def broadcast_if_needed(self: Any, one: Any, other: Any) -> Any:
        blocks = one.type.is_block() + other.type.is_block()
        is_alike = not blocks or (blocks == 2 and one.type.shape is other.type.shape)
        return (one, other) if is_alike else broadcast(self, one, other)

    return broadcast_if_needed


def _promote_if_needed(promote: Callable[..., Any], tensor: type) -> Callable[..., Any]:
    """Operands that hold numbers of one type are of the type in which they are combined, unless they are divided."""

    def promote_if_needed(self: Any, one: Any, other: Any, *allowed: bool, **further: bool) -> Any:
        if not (isinstance(one, tensor) and isinstance(other, tensor)) or further.get("div_or_mod"):
            return promote(self, one, other, *allowed, **further)
        kind = one.dtype
        if len(allowed) > 2 or kind.name != other.dtype.name or kind.is_ptr():
            return promote(self, one, other, *allowed, **further)
        return self.broadcast_impl_value(one, other)

    return promote_if_needed


def _along(self: Any, given: Sequence[Any], axis: int) -> list[tuple[Any, ...]]:
    """What is combined, place by place along an axis: all that lie side by side at once."""
    import numpy as np

    places = [[self.to_tensor(row, x.dtype) for row in np.moveaxis(x.handle.data, axis, 0)] for x in given]
    combine = self.combine_fn.fn

    def further(before: tuple[Any, ...], here: tuple[Any, ...]) -> tuple[Any, ...]:
        found = combine(*before, *here)
        return found if isinstance(found, tuple) else (found,)

    return list(itertools.accumulate(zip(*places, strict=True), further))


def _reduce(self: Any, given: Sequence[Any]) -> list[Any]:
    import numpy as np

    shape = given[0].handle.data.shape
    flat, axis = self.unravel(given, self.axis)
    found = [x.handle.data for x in _along(self, flat, axis)[-1]]
    if self.keep_dims:
        kept = [1] * len(shape) if self.axis is None else [*shape[:axis], 1, *shape[axis + 1 :]]
        found = [np.reshape(x, kept) for x in found]
    elif len(flat[0].handle.data.shape) == 1:
        found = [x.item() for x in found]
    return [self.to_tensor(x, y.dtype) for x, y in zip(found, given, strict=True)]


def _scan(self: Any, given: Sequence[Any]) -> list[Any]:
    import numpy as np

    shape = given[0].handle.data.shape
    rows = shape[: self.axis] + shape[self.axis + 1 :]
    columns = zip(*_along(self, given, self.axis), strict=True)
    return [
        self.to_tensor(
            np.stack([place.handle.data.reshape(rows) for place in column], axis=self.axis), x.dtype
        )
        for column, x in zip(columns, given, strict=True)
    ]
