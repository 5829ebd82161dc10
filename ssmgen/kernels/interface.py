"""What every kernel of an op is handed: its operands and sizes, by name, whatever the language."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple

import torch

from ssmgen.dtypes import dtype
from ssmgen.problem import Option, Problem

__all__ = [
    "SMALL_BYTES",
    "Assumptions",
    "Interface",
    "Operand",
    "gradients_of",
    "sequence",
    "sequence_batches",
    "strided",
]

# AMD's buffer instructions take 32-bit offsets, which Triton limits to 2^31 - 2; the widest accesses are of 16 bytes.
SMALL_BYTES = 2**31 - 16

# Sizes that say what shares something, not how much there is to do.
_SHARES = frozenset({"groups", "slots", "rank", "channels", "length"})


@dataclass(frozen=True)
class Operand:
    """A tensor that kernels read or write.

    Attributes:
        name: Argument name, from the literature (`u`, `delta`, `A`).
        dtype: Short name of its dtype; complex operands reach kernels as interleaved pairs of reals.
        shape: Sizes, outermost first, of the tensor as kernels see it.
        strides: (scalar, axis) pairs: the names of the scalars that carry its strides, in elements of its dtype (a
            complex number is one element), for the axes that the layout leaves free; empty where it is contiguous.
        output: Whether kernels write it.
        updated: Whether kernels read and write it; it stands among the inputs, and is verified like an output.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[tuple[str, int], ...] = ()
    output: bool = False
    updated: bool = False

    def allocate(self, device: torch.device | str) -> torch.Tensor:
        """An uninitialised tensor for this operand; the axis without a stride is the innermost in memory."""
        return self.allocator(device)()

    def allocator(self, device: torch.device | str) -> Callable[[], torch.Tensor]:
        """What `allocate` does, with all that can be computed before a call already computed."""
        free = [axis for _, axis in self.strides]
        order = [*free, *(axis for axis in range(len(self.shape)) if axis not in free)]
        shape, strides, kind = list(self.shape), [1] * len(self.shape), dtype(self.dtype).torch
        for outer, inner in reversed(list(itertools.pairwise(order))):
            strides[outer] = strides[inner] * shape[inner]
        # A third less than `torch.empty` takes, and a permutation costs as much again.
        return lambda: torch.empty_strided(shape, strides, dtype=kind, device=device)


class Assumptions(NamedTuple):
    """What compiled code may rely on, beside dtypes: it serves no call for which this does not hold.

    Attributes:
        aligned: Names of the operands whose address, and of the scalars whose value, is a multiple of 16.
        small: Names of the operands whose elements all lie within `SMALL_BYTES` from the first.
        dense: Names of the strides that are those of a freshly allocated operand.
    """

    aligned: frozenset[str] = frozenset()
    small: frozenset[str] = frozenset()
    dense: frozenset[str] = frozenset()

    def hold_where(self, others: Assumptions) -> bool:
        """Whether these are among others, so that what relies on them serves wherever the others hold."""
        return all(mine <= theirs for mine, theirs in zip(self, others, strict=True))


class Interface(ABC):
    """The dims, options and operands of an op. One instance per op; see `ssmgen.kernels.interfaces`."""

    op: ClassVar[str]
    formula: ClassVar[tuple[str, ...]]  # for the header of the generated source
    dims: ClassVar[Mapping[str, int]]  # name -> the default that the command line tunes for
    dtypes: ClassVar[tuple[str, ...]]
    options: ClassVar[Mapping[str, tuple[Option, ...]]]  # name -> values, the default first
    # What verification varies: the dim that kernels walk along, the one they lay lanes across, and the outermost one.
    along: ClassVar[str] = "seqlen"
    across: ClassVar[str] = "dim"
    outer: ClassVar[str] = "batch"
    # Lengths that no block divides: one step, less than a block, several blocks and a tail.
    lengths: ClassVar[tuple[int, ...]] = (1, 67, 389)
    # Inputs whose gradients cost much and are seldom wanted: backward has an option for each, named like the gradient.
    optional_gradients: ClassVar[tuple[str, ...]] = ()
    has_gradients: ClassVar[bool] = True

    @abstractmethod
    def operands(self, problem: Problem) -> tuple[Operand, ...]:
        """The operands that exist in this problem, inputs first, in the order in which runners take them."""

    def elements(self, problem: Problem) -> int:
        """How much there is to do: (batch, channel, step, state) of a scan, (row, pole, node) of a sum over poles."""
        # Packed sequences share their steps.
        skipped = _SHARES | ({"batch"} if problem.has("varlen") else set())
        return prod(size for name, size in problem.dims if name not in skipped)

    def scalars(self, problem: Problem) -> tuple[str, ...]:
        """The names of all sizes and strides that a kernel may ask for."""
        strides = [scalar for operand in self.operands(problem) for scalar, _ in operand.strides]
        return (*(name for name, _ in problem.dims), *strides)

    def bindings(self, problem: Problem, tensors: Sequence[torch.Tensor]) -> dict[str, int]:
        """The value of every scalar, for these operands."""
        values = dict(problem.dims)
        for operand, tensor in zip(self.operands(problem), tensors, strict=True):
            values |= {scalar: tensor.stride(axis) for scalar, axis in operand.strides}
        return values

    def fresh_bindings(self, problem: Problem) -> dict[str, int]:
        """The value of every scalar, for operands that are freshly allocated."""
        return self.bindings(problem, self._fresh(problem))

    def _fresh(self, problem: Problem) -> list[torch.Tensor]:
        """Operands as they are freshly allocated, without memory."""
        return [operand.allocate("meta") for operand in self.operands(problem)]

    def assumptions(self, problem: Problem, tensors: Sequence[torch.Tensor] | None = None) -> Assumptions:
        """What holds for these operands; all of it follows from shapes, strides, dtypes and `data_ptr() % 16`.

        Args:
            problem: The exact problem.
            tensors: The operands; None for such as are freshly allocated, each of them at a multiple of 16.
        """
        tensors = self._fresh(problem) if tensors is None else tensors
        scalars, fresh = self.bindings(problem, tensors), self.fresh_bindings(problem)
        operands = list(zip(self.operands(problem), tensors, strict=True))
        addresses = {operand.name for operand, tensor in operands if tensor.data_ptr() % 16 == 0}
        multiples = {name for name, value in scalars.items() if value % 16 == 0}
        small = {operand.name for operand, tensor in operands if _spanned_bytes(tensor) <= SMALL_BYTES}
        dense = {name for name, value in scalars.items() if value == fresh[name]}
        return Assumptions(frozenset(addresses | multiples), frozenset(small), frozenset(dense))


def _spanned_bytes(tensor: torch.Tensor) -> int:
    """From the first byte of a tensor to its last, whatever lies between."""
    if not tensor.numel():
        return 0
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return (1 + sum((size - 1) * stride for size, stride in steps)) * tensor.element_size()


def gradients_of(inputs: Sequence[Operand]) -> tuple[Operand, ...]:
    """What backward writes: the gradient of each input that has one, in the input's form."""
    return tuple(
        Operand(
            f"d{x.name}",
            x.dtype,
            x.shape,
            tuple((f"d{scalar}", axis) for scalar, axis in x.strides),
            output=True,
        )
        for x in inputs
        if x.dtype != "i32"
    )


def sequence(name: str, problem: Problem, output: bool = False) -> Operand:
    """A (batch, dim, seqlen) operand whose unit stride is along time, or along the channels."""
    shape = (sequence_batches(problem), problem["dim"], problem["seqlen"])
    free = (f"{name}_stride_dim", 1) if problem.option("layout") == "time" else (f"{name}_stride_seqlen", 2)
    return Operand(name, problem.dtype, shape, ((f"{name}_stride_batch", 0), free), output)


def sequence_batches(problem: Problem) -> int:
    """The batch of sequences and rows; packed sequences have one, whatever their number."""
    return 1 if problem.has("varlen") else problem["batch"]


def strided(name: str, kind: str, shape: tuple[int, ...], *axes: str) -> Operand:
    """An operand whose first axes, by name, have strides of their own."""
    return Operand(name, kind, shape, tuple((f"{name}_stride_{axis}", k) for k, axis in enumerate(axes)))
