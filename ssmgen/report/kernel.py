"""The code of the kernel that serves a problem, at one stage of its compilation, and why it is that kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ssmgen.advice import tune_command
from ssmgen.config import Config
from ssmgen.dispatch import resolve, resolve_training
from ssmgen.errors import InvalidInputError, TargetUnavailableError
from ssmgen.kernels import Variant
from ssmgen.problem import Problem
from ssmgen.report.wording import problem_text
from ssmgen.store import Match
from ssmgen.targets import Target

__all__ = ["Choice", "KernelCode", "choose", "gradients_of", "kernel_code"]


class KernelCode(NamedTuple):
    """Code and where it comes from.

    Attributes:
        text: The code.
        language: `c` or `triton` for a source, else the stage.
        reason: Which config it is of, and why that one.
    """

    text: str
    language: str
    reason: str


def gradients_of(problem: Problem, target: Target) -> Problem:
    """The backward problem of a training call; one that says how often states are saved keeps to it.

    Raises:
        InvalidInputError: No kernel of the target gives its gradients.
    """
    if problem.has("saved"):
        return replace(problem, direction="backward")
    _, backward = resolve_training(problem, target)
    if backward is None:
        raise InvalidInputError(
            f"target {target.name!r} has no kernel for the gradients of {problem}; the PyTorch reference gives them."
        )
    return backward


def kernel_code(
    problem: Problem, target: Target, stage: str = "source", config: str | None = None
) -> KernelCode:
    """The kernel of a problem on a target; only stages below the source are compiled.

    Args:
        problem: The problem.
        target: A target, present or named.
        stage: One of the target's stages.
        config: Text of a config; by default the one that dispatch would use.

    Raises:
        UnknownNameError: The target has no such stage.
        InvalidInputError: The config is none of the problem's space.
        TargetUnavailableError: The target has no kernels, or no compiler.
        CompileError: The compiler refused.
    """
    if target.language == "none":
        raise TargetUnavailableError(
            f"target {target.name!r} is plain PyTorch and has no kernels to show; choose another with --target."
        )
    target.require_stage(stage)
    chosen, variant, reason, _ = choose(problem, target, config)
    if stage in ("source", target.language):
        return KernelCode(variant.source(problem, chosen).text, target.language, reason)
    return KernelCode(target.compile(variant, problem, chosen).stage(stage), stage, reason)


class Choice(NamedTuple):
    """The config that serves a problem.

    Attributes:
        config: The config.
        variant: Its variant.
        reason: The config and why it is that one, as a sentence.
        match: The tuned config that said so; None for a default, and for one that was asked for.
    """

    config: Config
    variant: Variant
    reason: str
    match: Match | None = None


def choose(problem: Problem, target: Target, text: str | None = None) -> Choice:
    """The config of that text, or the one that dispatch would use.

    Raises:
        InvalidInputError: The config is none of the problem's space, or the target has no kernel for the problem.
    """
    if text is not None:
        space, config = target.space(problem), Config.parse(text)
        config = space.variant(config).completed(config)
        return Choice(config, space.check(config), f"{config}, as asked")
    found = resolve(problem, target)
    if found is None:
        raise InvalidInputError(
            f"target {target.name!r} has no kernel for {problem}; the PyTorch reference serves it."
        )
    if found.match is None:
        reason = f"{found.config}, the default; nothing is tuned for this on {target.facts.name}"
        if target.facts.present:
            reason += f" (to tune it: {tune_command(problem)})"
        return Choice(found.config, found.variant, reason)
    entry = found.match.entry
    why = {
        "exact": "tuned for these sizes",
        "nearest": f"tuned for {problem_text(entry.problem)}, the nearest there is",
        "same arch": f"tuned on {entry.device.name}, of the same architecture",
        "generic": "which is good on every GPU of the kind",
        "other options": f"tuned for {problem_text(entry.problem)}, which differs in its epilogue only",
    }[found.how]
    reason = f"{found.config}, {why} ({entry.evidence}, {found.match.path})"
    return Choice(found.config, found.variant, reason, found.match)
