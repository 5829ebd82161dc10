"""What every provider of an op offers: whether it is here, what it computes, and a call that can be timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssmgen.bench.task import Task, gradients
from ssmgen.installed import installed_version
from ssmgen.kernels import interface

__all__ = ["EVERY_MODE", "FORWARD", "Call", "Function", "FunctionCall", "Inputs", "Provider", "TorchProvider"]

Inputs = Mapping[str, Tensor]
# From the inputs of an op, by operand name, to its outputs.
Function = Callable[[Inputs], Mapping[str, Tensor]]

FORWARD = ("forward",)
EVERY_MODE = ("forward", "backward", "training")


class Call(ABC):
    """One call on one set of inputs, again and again."""

    def before(self) -> None:  # noqa: B027 - nothing to prepare, unless a call says so
        """What a run needs and is not timed: the state before the step, or forward before backward."""

    @abstractmethod
    def run(self) -> Any:
        """What is timed; it returns when everything is done, on a GPU when everything is launched."""

    def results(self, found: Any) -> Mapping[str, Tensor]:
        """What `run` has returned as tensors by name: outputs, and gradients as `du` and so on."""
        results: Mapping[str, Tensor] = found
        return results


class FunctionCall(Call):
    """A call of a function of tensors, without gradients; what the op updates in place is put back before each run."""

    def __init__(self, task: Task, function: Function, inputs: Inputs) -> None:
        self._function = function
        self._updated = [x.name for x in interface(task.problem.op).operands(task.problem) if x.updated]
        self._inputs = {
            name: x.clone() if name in self._updated else x for name, x in inputs.items() if name != "dout"
        }
        self._first = {name: inputs[name] for name in self._updated}

    def before(self) -> None:
        """See `Call`."""
        for name, x in self._first.items():
            self._inputs[name].copy_(x)

    def run(self) -> Mapping[str, Tensor]:
        """See `Call`."""
        with torch.no_grad():
            return {**self._function(self._inputs), **{name: self._inputs[name] for name in self._updated}}


class _GradientCall(Call):
    """The same with gradients by autograd."""

    def __init__(self, task: Task, function: Function, inputs: Inputs) -> None:
        self._task = task
        self._function = function
        self._dout = inputs["dout"]
        self._leaves = {
            name: x.detach().requires_grad_(name in task.wanted)
            for name, x in inputs.items()
            if name != "dout"
        }
        self._out: Tensor | None = None

    def before(self) -> None:
        """See `Call`."""
        if self._task.mode == "backward":
            self._out = self._function(self._leaves)["out"]

    def run(self) -> Mapping[str, Tensor]:
        """See `Call`."""
        if self._task.mode == "backward":
            out, self._out = self._out, None
            assert out is not None
            return gradients(self._task, out, self._leaves, self._dout)
        found = self._function(self._leaves)
        return {
            **{name: x.detach() for name, x in found.items()},
            **gradients(self._task, found["out"], self._leaves, self._dout),
        }


class Provider(ABC):
    """One implementation of some ops.

    Attributes:
        name: What `--provider` takes.
        summary: What it is, in a line.
        modules: What can be imported where it is installed; the first belongs to `distribution`.
        distribution: Its name on the package index; empty where nothing is to be installed.
        install: What to do to have it.
        device: `cpu` or `cuda` where it runs on one only; empty for both.
        computes: Ops, and the modes in which it computes each.
        options: For each op the options that it takes at other than their default.
        dtypes: What its inputs may be.
        takes_groups: Whether groups of channels may have rows of B and C of their own.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ()
    distribution: ClassVar[str] = ""
    install: ClassVar[str] = ""
    device: ClassVar[str] = ""
    computes: ClassVar[Mapping[str, tuple[str, ...]]]
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    dtypes: ClassVar[tuple[str, ...]] = ("fp32", "c64")
    takes_groups: ClassVar[bool] = False

    def missing(self) -> str | None:
        """Why it cannot be used here, or None; imports nothing."""
        for module in self.modules:
            # What stands before the first dot would be imported to look for what stands behind it.
            if find_spec(module.partition(".")[0]) is None:
                return f"{module} is not installed"
        return None

    def version(self) -> str:
        """The version of the package; empty where it is PyTorch's or our own."""
        return (installed_version(self.distribution) if self.distribution else None) or ""

    def refuses(self, task: Task, device: str) -> str | None:
        """Why it does not do this task, or None."""
        problem = task.problem
        if self.device and self.device != device:
            return f"runs on {self.device} only"
        if problem.op not in self.computes:
            return f"has no {problem.op}"
        if task.mode not in self.computes[problem.op]:
            return "has no gradients"
        if problem.dtype not in self.dtypes:
            return f"does not take {problem.dtype}"
        for option, value in problem.options:
            usual = interface(problem.op).options[option][0]
            if value != usual and option not in self.options.get(problem.op, ()):
                return f"does not take {option}={str(value).lower()}"
        if problem.op == "selective_scan" and problem["groups"] > 1 and not self.takes_groups:
            return "has one group of channels"
        return self.lacks(task)

    def lacks(self, task: Task) -> str | None:
        """What else of a task, one of an op that it computes, it cannot do; None where it can."""
        return None

    def note(self, task: Task) -> str:
        """What a reader of its times should know; called in the process that has run it."""
        return ""

    @abstractmethod
    def call(self, task: Task, inputs: Inputs) -> Call:
        """A call of its own on these inputs, in the layout that it takes without copying."""


class TorchProvider(Provider):
    """A provider whose functions take tensors and are differentiable where it has gradients."""

    computes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "selective_scan": EVERY_MODE,
        "selective_state_update": FORWARD,
        "ssd": EVERY_MODE,
        "linear_scan": EVERY_MODE,
        "causal_conv1d": EVERY_MODE,
        "causal_conv1d_update": FORWARD,
        "cauchy_mult": EVERY_MODE,
        "log_vandermonde": EVERY_MODE,
        "log_vandermonde_transpose": EVERY_MODE,
        "dplr_kernel": EVERY_MODE,
    }
    dtypes: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "fp16", "fp64", "c64", "c128")

    @abstractmethod
    def function(self, task: Task) -> Function:
        """The function of a task, in the inputs' terms."""

    def call(self, task: Task, inputs: Inputs) -> Call:
        """See `Provider.call`."""
        kind = FunctionCall if task.mode == "forward" else _GradientCall
        return kind(task, self.function(task), inputs)
