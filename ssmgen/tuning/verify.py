"""Whether a config computes what it must: on awkward sizes and on the real ones, against float64."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space, oracle
from ssmgen.kernels.interfaces import interface
from ssmgen.problem import Problem
from ssmgen.targets import Runner, Target
from ssmgen.tuning.operands import Fenced, FencedWorkspaces, runner

__all__ = ["Verification", "Verifier", "awkward_problems", "checked_problem"]

# More than one block of 128 channels and no multiple of anything.
_WIDTH = 131
# State elements, or pole-node pairs, that the float64 reference computes in a few seconds.
_MOST_WORK = 1 << 27


@dataclass(frozen=True)
class Verification:
    """The outcome of verifying one config.

    Attributes:
        error: Relative error by output, the worst over all cases until the first that failed.
        failure: `wrong result`, `not finite`, `not repeatable`, `out of bounds`, `input changed`, or None.
        detail: Which case failed, and by how much.
    """

    error: dict[str, float] = field(default_factory=dict)
    failure: str | None = None
    detail: str = ""


class _Case(NamedTuple):
    problem: Problem
    inputs: Mapping[str, Tensor]
    expected: Mapping[str, Tensor]


class Verifier:
    """Verifies configs of one problem; the inputs and float64 results of every case are computed once."""

    def __init__(self, target: Target, problem: Problem, max_error: float | None = None) -> None:
        """Verify for a target.

        Args:
            target: Where configs run.
            problem: The exact problem.
            max_error: The largest relative error of an output; by default what the oracle tolerates.
        """
        self.target = target
        self.problem = problem
        self.max_error = max_error
        self._cases: dict[tuple[Problem, bool], _Case] = {}
        self._spaces: dict[Problem, Space] = {}

    def problems(self, config: Config) -> tuple[Problem, ...]:
        """The problems that the config is verified on: those awkward ones that it is valid for, and the real one.

        What a config's rules exclude is never dispatched to it either. A config for long sequences alone, which has no
        small problem, is verified on an odd one of nearly its own length.
        """
        face = interface(self.problem.op)
        length = max(1, self.problem[face.along] - 3)
        return (
            *(self._valid(config, face.lengths) or self._valid(config, (length,))),
            checked_problem(self.problem),
        )

    def prepare(self) -> None:
        """Compute what the real problem must give, which takes longest."""
        self._case(checked_problem(self.problem), harsh=False)

    def verify(self, config: Config) -> Verification:
        """Run the config on every case; stops at the first that fails.

        Raises:
            CompileError: It does not compile for one of the cases.
        """
        worst: dict[str, float] = {}
        for problem in self.problems(config):
            for harsh in (False, True) if problem != checked_problem(self.problem) else (False,):
                found = self._check(config, self._case(problem, harsh))
                for name, error in found.error.items():
                    worst[name] = max(worst.get(name, 0.0), error)
                if found.failure is not None:
                    kind = "harsh" if harsh else "normal"
                    return Verification(worst, found.failure, f"{problem}, {kind} inputs: {found.detail}")
        return Verification(worst)

    def _check(self, config: Config, case: _Case) -> Verification:
        operands = interface(case.problem.op).operands(case.problem)
        fenced = [Fenced(operand, self.target.device) for operand in operands]
        for item in fenced:
            if not item.operand.output:
                item.fill(case.inputs[item.operand.name])
        tensors = [item.tensor for item in fenced]
        run = runner(self.target, case.problem, config, tensors)
        workspaces = FencedWorkspaces()
        with workspaces:
            run(tensors)
            self.target.synchronize()
        outputs = {
            item.operand.name: item.tensor for item in fenced if item.operand.output or item.operand.updated
        }
        error = {name: oracle.relative_error(outputs[name], wanted) for name, wanted in case.expected.items()}
        for item in fenced:
            if item.is_broken:
                return Verification(error, "out of bounds", f"it wrote outside {item.operand.name}")
            if item.is_changed and not item.operand.updated:
                return Verification(error, "input changed", f"it wrote to {item.operand.name}")
        if workspaces.is_broken:
            return Verification(error, "out of bounds", "it wrote outside a workspace")
        limit = oracle.tolerance(case.problem) if self.max_error is None else self.max_error
        for name, value in error.items():
            if math.isinf(value):
                return Verification(
                    error, "not finite", f"{name} holds what is not finite, or was not written"
                )
            if value > limit:
                return Verification(
                    error, "wrong result", f"{name} is off by {value:.1e}, more than {limit:.0e}"
                )
        if case.problem == checked_problem(self.problem) and not self._repeats(run, fenced, case, outputs):
            return Verification(
                error, "not repeatable", "a second run with the same inputs gives another result"
            )
        return Verification(error)

    def _repeats(
        self, run: Runner, fenced: Sequence[Fenced], case: _Case, outputs: Mapping[str, Tensor]
    ) -> bool:
        """Whether a second run gives the same result, bit for bit."""
        before = {name: tensor.clone() for name, tensor in outputs.items()}
        for item in fenced:
            if item.operand.output:
                item.poison()
            else:
                item.fill(case.inputs[item.operand.name])
        with FencedWorkspaces():
            run([item.tensor for item in fenced])
            self.target.synchronize()
        return all(_same_bits(before[name], tensor) for name, tensor in outputs.items())

    def _case(self, problem: Problem, harsh: bool) -> _Case:
        key = (problem, harsh)
        if key not in self._cases:
            inputs = oracle.sample(problem, seed=len(self._cases), device=self.target.device, harsh=harsh)
            self._cases[key] = _Case(problem, inputs, oracle.expected(problem, inputs))
        return self._cases[key]

    def _valid(self, config: Config, lengths: Sequence[int]) -> tuple[Problem, ...]:
        """For each length the first awkward problem that the config is valid for, where there is one."""
        found = (
            next(
                (
                    problem
                    for problem in awkward_problems(self.problem, length)
                    if self._is_valid(problem, config)
                ),
                None,
            )
            for length in lengths
        )
        return tuple(problem for problem in found if problem is not None)

    def _is_valid(self, problem: Problem, config: Config) -> bool:
        if problem not in self._spaces:
            self._spaces[problem] = self.target.space(problem)
        try:
            self._spaces[problem].check(config)
        except SsmgenError:
            return False
        return True


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def awkward_problems(problem: Problem, length: int) -> tuple[Problem, ...]:
    """Problems of the same kernel and that length, the most awkward first: two batches and an odd number of channels.

    Some configs are valid only for the problem's own batch or channels, which follow.
    """
    face, dims = interface(problem.op), dict(problem.dims)
    widths = (_WIDTH * dims.get("groups", 1), dims[face.across])
    batches = ({"batch": 2}, {}) if "batch" in dims else ({},)
    # Two heads of each group show what all do.
    heads = {"heads": min(dims["heads"], 2 * dims["groups"])} if "heads" in dims else {}
    return tuple(
        problem.with_dims(**{**batch, **heads, face.along: length, face.across: width})
        for batch in batches
        for width in widths
    )


def checked_problem(problem: Problem) -> Problem:
    """The real problem, with fewer batches or rows where its float64 result would take minutes."""
    outer = interface(problem.op).outer
    rest = prod(size for name, size in problem.dims if name not in (outer, "groups", "slots"))
    return problem.with_dims(**{outer: min(problem[outer], max(1, _MOST_WORK // max(1, rest)))})
