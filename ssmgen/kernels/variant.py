"""A variant: one structurally different kernel for an op, its choices, and the rules that bound them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ssmgen.codegen import Source, render
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interface import Interface
from ssmgen.kernels.program import Program
from ssmgen.problem import Problem

__all__ = ["Rule", "Variant"]


@dataclass(frozen=True)
class Rule:
    """A static reason to leave configs out of the space before anything is compiled.

    Attributes:
        name: Short name, shown in counts (`registers`).
        reason: Why such a config cannot work or cannot win, as a clause without a period.
        holds: Whether the config may stay.
    """

    name: str
    reason: str
    holds: Callable[[Problem, Config, DeviceFacts], bool]


class Variant(ABC):
    """One kernel family member. To add a kernel: a template, a subclass of this, a line in `kernels/__init__.py`."""

    interface: ClassVar[Interface]
    name: ClassVar[str]
    language: ClassVar[str]
    direction: ClassVar[str] = "forward"
    template: ClassVar[str]
    summary: ClassVar[str]  # one line for `ssmgen list`
    rules: ClassVar[tuple[Rule, ...]] = ()
    added: ClassVar[Mapping[str, Value]] = {}  # params that older saved configs lack, and what they stand for

    @abstractmethod
    def supports(self, problem: Problem) -> bool:
        """Whether the template can serve the problem at all (dtype, options, sizes)."""

    @abstractmethod
    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """The values of each param of its own, in a meaningful order."""

    def params(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """All choices; the space is their product less what rules exclude. Languages add what is theirs."""
        return self.choices(problem, facts)

    @abstractmethod
    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        """The config to use untuned: a valid one, good across the board."""

    def completed(self, config: Config) -> Config:
        """A config as it was saved, with the params that came later."""
        return Config.of(self.name, {**self.added, **dict(config.params)})

    def broken_rule(self, problem: Problem, config: Config, facts: DeviceFacts) -> Rule | None:
        """The first rule that excludes the config, or None."""
        return next((rule for rule in self.rules if not rule.holds(problem, config, facts)), None)

    @abstractmethod
    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """What the template sees. Depends on structure only, so that sizes which differ share a source."""

    @abstractmethod
    def program(self, problem: Problem, config: Config) -> Program:
        """The launches for these exact sizes."""

    def source(self, problem: Problem, config: Config) -> Source:
        """The rendered source."""
        interface = self.interface
        heading = (f"{interface.op} {problem.direction}, {problem.dtype}: {config}", *interface.formula)
        name = f"{interface.op}_{problem.direction}_{self.name}"
        return render(self.language, self.template, name, heading, self.context(problem, config))
