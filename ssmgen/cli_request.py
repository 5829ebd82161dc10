"""From the options that commands share to a request, its problems and its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssmgen.problem import Problem
    from ssmgen.request import Request
    from ssmgen.targets import Target

__all__ = ["TUNED_BY_DEFAULT", "problems_of", "request_of", "target_of"]

# The ops that are meant where none is named.
TUNED_BY_DEFAULT = ("selective_scan", "selective_state_update", "linear_scan", "cauchy_mult")


def request_of(
    d_state: int | None,
    batch: int | None,
    dim: int | None,
    seqlen: int | None,
    groups: int | None,
    heads: int | None,
    tokens: int | None,
    poles: int | None,
    rank: int | None,
    channels: int | None,
    width: int | None,
    length: int | None,
    dtype: str | None,
    options: list[str] | None,
) -> Request:
    """The request that the problem's options make."""
    from ssmgen.request import Request

    sizes = {
        "d_state": d_state,
        "batch": batch,
        "dim": dim,
        "seqlen": seqlen,
        "groups": groups,
        "heads": heads,
        "tokens": tokens,
        "poles": poles,
        "rank": rank,
        "channels": channels,
        "width": width,
        "length": length,
    }
    return Request({name: size for name, size in sizes.items() if size is not None}, dtype, options or ())


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
