"""What a benchmark times: one problem in one direction, its inputs, its float64 results, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from ssmgen.dtypes import accumulate, dtype
from ssmgen.errors import InvalidInputError
from ssmgen.kernels import interface, oracle
from ssmgen.kernels.formulas import outputs
from ssmgen.problem import Problem

__all__ = ["MODES", "Job", "Task", "compute", "draw", "expected", "gradients"]

MODES = ("forward", "backward", "training")
# Beyond these the float64 reference would take longer than what it checks.
_CHECKED_ELEMENTS = 1 << 27
_CHECKED_STEPS = {"forward": 1 << 15, "backward": 1 << 12, "training": 1 << 12}


@dataclass(frozen=True)
class Task:
    """One cell's work, whoever does it.

    Attributes:
        problem: The forward problem.
        mode: `forward`; `backward`, the gradients alone; or `training`, one after the other.
        threads: CPU threads.
    """

    problem: Problem
    mode: str
    threads: int

    def __post_init__(self) -> None:
        op = self.problem.op
        if self.mode != "forward" and not interface(op).has_gradients:
            raise InvalidInputError(f"{op} has no gradients; leave it out, or --training and --backward.")

    @property
    def dtype(self) -> torch.dtype:
        """What implementations in PyTorch compute in: the accumulation dtype."""
        return dtype(accumulate(self.problem.dtype)).torch

    @property
    def elements(self) -> int:
        """How much there is to do: (batch, channel, step, state) of a scan, (row, pole, node) of a sum over poles."""
        return interface(self.problem.op).elements(self.problem)

    @property
    def bytes(self) -> int:
        """What must be read and written if every operand passes through memory once in each direction."""
        total = 0
        if self.mode in ("forward", "training"):
            operands = interface(self.problem.op).operands(self.problem)
            total += sum(_bytes(x.shape, x.dtype) * (2 if x.updated else 1) for x in operands)
        if self.mode in ("backward", "training"):
            total += sum(
                _bytes(x.shape, x.dtype) for x in interface(self.problem.op).operands(self._backward())
            )
        return total

    @property
    def checked(self) -> Task:
        """The task whose results are compared with float64: this one, or a shorter one if that would take minutes."""
        along = interface(self.problem.op).along
        length = self.problem[along]
        most = min(_CHECKED_STEPS[self.mode], max(1, _CHECKED_ELEMENTS * length // self.elements))
        if length <= most:
            return self
        return replace(self, problem=self.problem.with_dims(**{along: most}))

    @property
    def wanted(self) -> tuple[str, ...]:
        """The inputs whose gradients are asked for: all that models train, so not the nodes of a Cauchy product."""
        face = interface(self.problem.op)
        return tuple(
            x.name
            for x in face.operands(self.problem)
            if not x.output and x.dtype != "i32" and x.name not in face.optional_gradients
        )

    def _backward(self) -> Problem:
        return replace(self.problem, direction="backward")


@dataclass(frozen=True)
class Job:
    """A task, and the size that it stands for in a sweep."""

    task: Task
    value: int | None = None


def _bytes(shape: tuple[int, ...], name: str) -> int:
    return prod(shape) * dtype(name).itemsize


def draw(task: Task, device: torch.device | str) -> dict[str, Tensor]:
    """The inputs of a task by operand name, the same every time, and `dout`, the gradient of the output."""
    inputs = oracle.sample(task.problem, seed=0, device=device)
    if task.problem.op == "selective_scan":
        # Kernels take rows in float32; a projection gives them as it gives u.
        for name in ("B", "C"):
            if task.problem.option(name) == "variable" and not inputs[name].is_complex():
                inputs[name] = inputs[name].to(inputs["u"].dtype)
    if task.mode != "forward":
        generator = torch.Generator().manual_seed(1)
        (out,) = (x for x in interface(task.problem.op).operands(task.problem) if x.name == "out")
        shape, kind = out.shape, dtype(out.dtype).torch
        if task.problem.op == "dplr_kernel":
            shape, kind = (*shape[:-1], task.problem["seqlen"]), kind.to_real()
        inputs["dout"] = torch.randn(shape, generator=generator, dtype=kind).to(device)
    return inputs


def compute(problem: Problem, inputs: Mapping[str, Tensor], kind: torch.dtype) -> dict[str, Tensor]:
    """The outputs by name, by the reference; of the DPLR kernel in time, as the op gives it."""
    found = outputs(problem, inputs, kind)
    if problem.op == "dplr_kernel":
        found["out"] = torch.fft.irfft(found["out"], n=problem["seqlen"])
    return found


def gradients(
    task: Task, out: Tensor, leaves: Mapping[str, Tensor], dout: Tensor, *, retain_graph: bool = False
) -> dict[str, Tensor]:
    """The gradients of the wanted inputs, `du` and so on."""
    found = torch.autograd.grad(
        [out], [leaves[name] for name in task.wanted], [dout.to(out.dtype)], retain_graph=retain_graph
    )
    return {f"d{name}": gradient for name, gradient in zip(task.wanted, found, strict=True)}


def expected(task: Task, device: torch.device | str) -> dict[str, Tensor]:
    """Outputs, or gradients, or both, in float64, by the names under which implementations give them."""
    inputs = draw(task, device)
    kind = torch.complex128 if dtype(task.problem.dtype).is_complex else torch.float64
    if task.mode == "forward":
        with torch.no_grad():
            return compute(task.problem, inputs, kind)
    real = kind.to_real()
    leaves = {
        name: x.detach().to(kind.to_complex() if x.is_complex() else real).requires_grad_()
        if name in task.wanted
        else x
        for name, x in inputs.items()
        if name != "dout"
    }
    found = compute(task.problem, leaves, kind)
    both = {name: x.detach() for name, x in found.items()} if task.mode == "training" else {}
    return both | gradients(task, found["out"], leaves, inputs["dout"])
