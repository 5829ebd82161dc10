"""Operands for a kernel under test: poisoned, and fenced by bytes that no kernel may touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ssmgen.config import Config
from ssmgen.dtypes import dtype
from ssmgen.kernels.interface import Operand
from ssmgen.kernels.interfaces import interface
from ssmgen.problem import Problem
from ssmgen.targets import Kernel, Runner, Target

__all__ = ["Fenced", "FencedWorkspaces", "allocate", "compiled", "runner"]

_FENCE = 4096  # bytes on either side: a page, and a multiple of every alignment that a kernel may rely on
_POISON = 0xFF  # a float of any width whose bytes are all ones is NaN


class Fenced:
    """An operand in the middle of a larger buffer, all of it NaN at first.

    A stray write changes the fence; a stray read that reaches a result turns it into NaN.
    """

    def __init__(self, operand: Operand, device: torch.device) -> None:
        kind = dtype(operand.dtype)
        layout = operand.allocate("meta")
        size = layout.numel() * kind.itemsize
        self.operand = operand
        self._memory = torch.full((size + 2 * _FENCE,), _POISON, dtype=torch.uint8, device=device)
        self._bytes = self._memory[_FENCE : _FENCE + size]
        self.tensor = self._bytes.view(kind.torch).as_strided(layout.shape, layout.stride())
        self._before: Tensor | None = None

    def fill(self, values: Tensor) -> None:
        """Give an input its values, and remember them."""
        self.tensor.copy_(values)
        self._before = self._bytes.clone()

    def poison(self) -> None:
        """Make an output NaN again."""
        self._bytes.fill_(_POISON)

    @property
    def is_changed(self) -> bool:
        """Whether an input no longer holds its values."""
        return self._before is not None and not torch.equal(self._bytes, self._before)

    @property
    def is_broken(self) -> bool:
        """Whether anything was written outside the operand."""
        return _is_broken(self._memory)


class FencedWorkspaces(TorchDispatchMode):
    """While it is entered, whatever a kernel allocates is fenced, and NaN: what it takes for workspaces.

    An allocator likes to hand out the block that the config before has just filled with the right states.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memories: list[Tensor] = []

    @property
    def is_broken(self) -> bool:
        """Whether anything was written outside a workspace."""
        return any(_is_broken(memory) for memory in self._memories)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See `TorchDispatchMode`."""
        kwargs = kwargs or {}
        if function is not torch.ops.aten.empty.memory_format:
            return function(*args, **kwargs)
        layout = function(*args, **{**kwargs, "device": "meta"})
        size = layout.numel() * layout.element_size()
        device = kwargs.get("device", "cpu")
        memory = torch.full((size + 2 * _FENCE,), _POISON, dtype=torch.uint8, device=device)
        self._memories.append(memory)
        return memory[_FENCE : _FENCE + size].view(layout.dtype).view(layout.shape)


def _is_broken(memory: Tensor) -> bool:
    return bool((memory[:_FENCE] != _POISON).any() or (memory[-_FENCE:] != _POISON).any())


def allocate(problem: Problem, inputs: Mapping[str, Tensor], device: torch.device) -> list[Tensor]:
    """Fresh operands of a problem in the interface's order, with copies of the inputs."""
    found = []
    for operand in interface(problem.op).operands(problem):
        tensor = operand.allocate(device)
        found.append(tensor if operand.output else tensor.copy_(inputs[operand.name]))
    return found


def compiled(
    target: Target, problem: Problem, config: Config, tensors: Sequence[Tensor] | None = None
) -> Kernel:
    """The kernel of a config, specialised as dispatch does it for these operands; by default for fresh ones.

    Raises:
        CompileError: The compiler refused it.
    """
    variants = [item for item in target.variants(problem.op) if item.direction == problem.direction]
    variant = next(item for item in variants if item.name == config.variant)
    return target.compile(variant, problem, config, interface(problem.op).assumptions(problem, tensors))


def runner(target: Target, problem: Problem, config: Config, tensors: Sequence[Tensor]) -> Runner:
    """The compiled kernel of a config, bound to these operands' sizes and strides."""
    return compiled(target, problem, config, tensors).bind(interface(problem.op).bindings(problem, tensors))
