"""Whether processes would choose the same kernels: one line that they can compare."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ssmgen
from ssmgen import dispatch, store, targets
from ssmgen.codegen import TEMPLATES, hash_of_files
from ssmgen.kernels import INTERFACES
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["Agreement", "agreement", "digest"]


@dataclass(frozen=True)
class Agreement:
    """What a process would choose.

    Attributes:
        target: The target's name.
        arch: Its arch.
        choices: A line for each choice, or for each tuned config that may be one.
        digest: 16 hexadecimal digits that depend on the choices, and on what chooses.
    """

    target: str
    arch: str
    choices: tuple[str, ...]
    digest: str

    def __str__(self) -> str:
        return f"{self.digest} {self.target} {self.arch} {len(self.choices)} choices"


def digest(
    problems: Iterable[Problem] | None = None, *, target: str | None = None, training: bool = False
) -> str:
    """One line that is the same in two processes exactly where calls would run the same kernels.

    Ranks of a distributed job compare it before they start, e.g. with `torch.distributed.all_gather_object`. It does
    not depend on where tuned configs lie, when they were made, or on entries that are never used.

    Args:
        problems: What will be called. By default whatever may be: then the line depends on every tuned config that can
            serve any call on this device and on the order among them, so that the same line means the same choices,
            and another one that they differ for some call.
        target: Name of the target; by default that of calls.
        training: Also the kernels of calls with gradients.

    Raises:
        UnknownNameError: There is no such target.
        TargetUnavailableError: It cannot be used here.
    """
    return str(agreement(problems, targets.target(target or targets.default_target()), training))


def agreement(problems: Iterable[Problem] | None, target: Target, training: bool = False) -> Agreement:
    """What `digest` is made of; see there."""
    if problems is None:
        lines = tuple(dict.fromkeys(line for op in INTERFACES for line in _possible(op, target)))
        # Defaults, and what a config is valid for, follow from the device and from code.
        facts = target.facts
        sizes = (facts.lanes, facts.max_threads, facts.max_registers, facts.shared_bytes)
        basis = f"{facts.kind} {facts.arch} {sizes} {ssmgen.__version__} {_code()}"
    else:
        lines = tuple(line for problem in problems for line in _chosen(problem, target, training))
        basis = target.language
    text = "\n".join((basis, *lines))
    return Agreement(target.name, target.facts.arch, lines, hashlib.sha256(text.encode()).hexdigest()[:16])


def _chosen(problem: Problem, target: Target, training: bool) -> Iterator[str]:
    wanted = [problem]
    if training and target.language != "none":
        forward, backward = dispatch.resolve_training(problem, target)
        wanted += [forward, *([] if backward is None else [backward])]
    for each in dict.fromkeys(wanted):
        found = dispatch.resolve(each, target)
        if found is None:
            yield f"{each}: reference"
        else:
            yield f"{each}: {found.config} {found.variant.source(each, found.config).hash}"


def _possible(op: str, target: Target) -> Iterator[str]:
    for match in store.ranked(op, target.facts):
        entry = match.entry
        if store.is_current(entry):
            # Of pairs for training the one with the smallest sum of times is chosen.
            counts = entry.problem.direction == "backward" or entry.problem.has("saved")
            seconds = f" {entry.seconds}" if counts else ""
            how = match.how if match.how != "nearest" else "exact"
            chosen = f"{entry.config} {entry.source_hash} {how} {entry.evidence}{seconds}"
            yield f"{entry.problem.problem_class()}: {chosen}"


@cache
def _code() -> str:
    """Hash of the templates, and of what chooses among kernels where nothing was tuned."""
    package = Path(ssmgen.__file__).parent
    paths = [*TEMPLATES.rglob("*.j2"), *(package / "kernels").rglob("*.py"), Path(dispatch.__file__)]
    return hash_of_files(paths)
