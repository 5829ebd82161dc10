"""What a user is told of a problem: the command that tunes it, what warms it up, warnings that are given once."""

from __future__ import annotations

import sys
import warnings

from ssmgen.errors import ReferenceWarning, UntunedWarning
from ssmgen.kernels import interface
from ssmgen.problem import Problem
from ssmgen.targets import Target

__all__ = ["fields", "say_reference", "say_untuned", "tune_command"]


def fields(problem: Problem) -> dict[str, object]:
    """What `ssmgen.warmup` takes for this problem; what is at its default there is left out."""
    face = interface(problem.op)
    sizes = {name: size for name, size in problem.dims if size != face.dims[name]}
    options = {name: value for name, value in problem.options if value != face.options[name][0]}
    training = problem.direction == "backward" or problem.has("saved")
    # Which gradients are wanted is what training finds out.
    for name in face.optional_gradients:
        options.pop(f"d{name}", None)
    return {
        "op": problem.op,
        **sizes,
        **options,
        "dtype": problem.dtype,
        **({"training": True} if training else {}),
    }


def tune_command(problem: Problem) -> str:
    """The command that tunes this problem; what is at its default there is left out."""
    face = interface(problem.op)
    # The rows of a state are as many as there are sequences where nothing else is said.
    sizes = {name: size for name, size in problem.dims if size != face.dims[name] and name != "slots"}
    words = {"rows": "dim", "nodes": "seqlen"}
    sizes = {
        words.get(name, name): max(2 * (size - 1), 1) if name == "nodes" else size
        for name, size in sizes.items()
    }
    flags = [f"--{name.replace('_', '-')} {size}" for name, size in sizes.items()]
    flags += [
        f"--option {name}" if value is True else f"--option {name}={str(value).lower()}"
        for name, value in problem.options
        if value != face.options[name][0] and name != "saved"
    ]
    # How often states are saved is what tuning for training finds out.
    if problem.direction == "backward" or problem.has("saved"):
        flags.append("--training")
    return " ".join(["ssmgen tune", problem.op, *flags, f"--dtype {problem.dtype}"])


_said: set[tuple[object, ...]] = set()


def _say_once(key: tuple[object, ...], message: str, category: type[Warning]) -> None:
    if key not in _said:
        _said.add(key)
        warnings.warn(message, category, stacklevel=_depth_of_caller())


def _depth_of_caller() -> int:
    """How far up the stack, from `_say_once`, the line stands that called the op, past ours and autograd's."""
    frame, depth = sys._getframe(2), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("ssmgen.", "torch.")):
        frame, depth = frame.f_back, depth + 1
    return depth


def say_untuned(problem: Problem, target: Target) -> None:
    """Warn, once for each problem class, that a default config runs, and how to tune."""
    _say_once(
        (target.name, problem.problem_class()),
        f"{problem.op} has no tuned config for {problem} on {target.facts.name}; a default is used. "
        f"To tune it: {tune_command(problem)}",
        UntunedWarning,
    )


def say_reference(op: str, dtype: str, target: Target) -> None:
    """Warn, once, that PyTorch runs what the target has no kernel for; whoever asked for the reference knows."""
    if target.language != "none":
        _say_once(
            (target.name, op, dtype),
            f"target {target.name!r} has no kernel for {op} in {dtype} with these options; the PyTorch reference "
            "runs it. Pass target='reference' to say that this is meant.",
            ReferenceWarning,
        )
