"""From the options that commands share to a request, its problems and its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ssmgen.cli_options import (
    Batch,
    Channels,
    Dim,
    DState,
    Dtype,
    Groups,
    Heads,
    Length,
    Options,
    Poles,
    Rank,
    SeqLen,
    Tokens,
    Width,
)

if TYPE_CHECKING:
    from ssmgen.problem import Problem
    from ssmgen.request import Request
    from ssmgen.shapes import Wanted
    from ssmgen.targets import Target

__all__ = [
    "TUNED_BY_DEFAULT",
    "Given",
    "problems_of",
    "request_of",
    "takes_problem",
    "target_of",
    "wanted_of",
]

# The ops that are meant where none is named.
TUNED_BY_DEFAULT = ("selective_scan", "selective_state_update", "linear_scan", "cauchy_mult")


# The options that say what the problem is, in the order of `--help`.
_OPTIONS = {
    "d_state": DState,
    "batch": Batch,
    "dim": Dim,
    "seqlen": SeqLen,
    "groups": Groups,
    "heads": Heads,
    "tokens": Tokens,
    "poles": Poles,
    "rank": Rank,
    "channels": Channels,
    "width": Width,
    "length": Length,
    "dtype": Dtype,
    "option": Options,
}
Given = dict[str, Any]  # their values, None where they were not given


def takes_problem(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options that say what the problem is in the place of a command's parameter `given`."""
    hints = get_type_hints(command, include_extras=True)
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    own = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in signature(command).parameters.values()
    ]
    parameters = [
        each for parameter in own for each in (shared if parameter.name == "given" else [parameter])
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in _OPTIONS}
        command(given=given, **values)

    # What Typer reads.
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def request_of(given: Given) -> Request:
    """The request that the problem's options make."""
    from ssmgen.request import Request

    sizes = {
        name: value for name, value in given.items() if name not in ("dtype", "option") and value is not None
    }
    return Request(sizes, given["dtype"], given["option"] or ())


def target_of(name: str | None) -> Target:
    """The target of that name, or the default one."""
    from ssmgen import targets

    return targets.target(name or targets.default_target())


def problems_of(request: Request, ops: list[str], target: Target) -> tuple[Problem, ...]:
    """The problems, with a note about each size that none of them takes."""
    from ssmgen.report.terminal import note

    problems = request.problems(ops, target.facts)
    for sentence in request.notes(ops):
        note(sentence)
    return problems


def wanted_of(
    given: Given,
    target: Target,
    ops: list[str] | None,
    by_default: Sequence[str],
    *,
    training: bool = False,
    shapes: Path | None = None,
    model: str | None = None,
) -> tuple[Wanted, ...]:
    """The problems of a file or of a model, of these ops where any are named; else those of the options.

    Raises:
        InvalidInputError: There is none, or the options say what the file or the model does.
    """
    from ssmgen.errors import InvalidInputError
    from ssmgen.presets import model_problems
    from ssmgen.shapes import Wanted, read_shapes

    request = request_of(given)
    if shapes is None and model is None:
        problems = problems_of(request, ops or list(by_default), target)
        return tuple(Wanted(problem, training) for problem in problems)
    if shapes is not None and model is not None:
        raise InvalidInputError("--shapes and --model both say what the problems are: give one of them.")
    if request.options:
        raise InvalidInputError(
            "--option is not for --shapes or --model, whose problems have options of their own."
        )
    if model is not None:
        found = model_problems(model, target.facts, request.sizes, request.dtype)
    else:
        assert shapes is not None
        if request.sizes or request.dtype:
            raise InvalidInputError("sizes and dtypes are in the file of --shapes: leave the flags out.")
        found = read_shapes(shapes, target.facts, training=training)
    chosen = tuple(item for item in found if not ops or item.problem.op in ops)
    if not chosen:
        raise InvalidInputError(f"{shapes or model} has no problem of {' or '.join(ops or ())}.")
    return chosen
