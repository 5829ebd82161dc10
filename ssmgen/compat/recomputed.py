"""Tensors that backward computes again rather than keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["Recomputed", "others_save", "saved_as_recipes"]


class Recomputed:
    """A tensor and what it is computed from.

    A checkpoint would run again all that lies within it. What a scan saves for its own backward is dear to compute and
    small, and what it reads is cheap and large: this drops the latter alone.
    """

    def __init__(self, value: Tensor, compute: Callable[..., Tensor], *inputs: Tensor | float | None) -> None:
        # By its address, to leave no reference: whoever calls `saved_as_recipes` keeps the tensor there meanwhile.
        self.form = _form(value)
        self._compute = compute
        # Detached: a node that keeps this recipe must not thereby keep, through the inputs' graph, itself.
        self._inputs = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
        self._savers = 0
        self._waiting = 0
        self._value: Tensor | None = None

    def save(self) -> Recomputed:
        """What autograd keeps in the tensor's stead."""
        self._savers += 1
        return self

    def load(self) -> Tensor:
        """The tensor, computed for the first op that asks and kept until all have asked that saved it."""
        if self._value is None:
            self._value, self._waiting = self._compute(*self._inputs), self._savers
        value = self._value
        self._waiting -= 1
        if self._waiting == 0:
            self._value = None
        return value


@contextmanager
def saved_as_recipes(*pairs: tuple[Tensor, Recomputed]) -> Iterator[None]:
    """Where ops in this context save one of these tensors for backward, they keep its recipe.

    The tensors are given too, to live while their addresses are looked for.
    """
    recipes = {recipe.form: recipe for _, recipe in pairs}

    def pack(x: Tensor) -> Tensor | Recomputed:
        recipe = recipes.get(_form(x))
        return x if recipe is None else recipe.save()

    with saved_tensors_hooks(pack, _unpack):
        yield


def others_save() -> bool:
    """Whether hooks around this code see to what is saved, as those of a checkpoint of a whole layer do.

    PyTorch asks the innermost hooks alone: `saved_as_recipes` would take the other tensors from them.
    """
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def _unpack(saved: Tensor | Recomputed) -> Tensor:
    return saved.load() if isinstance(saved, Recomputed) else saved


def _form(x: Tensor) -> tuple[int, torch.dtype, torch.Size, tuple[int, ...]]:
    return x.data_ptr(), x.dtype, x.shape, x.stride()
