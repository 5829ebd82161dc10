"""The problems that the shipped configs of GPUs are made for: groups of shapes, which share configs where they can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import NamedTuple

from benchmarks.limits import problem
from ssmgen.problem import Option, Problem

__all__ = ["GRID", "Group"]

Sizes = Mapping[str, int]

_MOST_ELEMENTS = 1 << 30  # of u: 2 GiB in bfloat16


class Group(NamedTuple):
    """Problems of one kernel that differ in the sizes alone that a tuned config may be carried across.

    Attributes:
        op: The op.
        dtype: Its dtype.
        options: What differs from the op's defaults.
        direction: `forward` or `backward`.
        searched: The sizes that configs are searched for, where they differ from the op's own.
        others: Further sizes, which are served by what the search has found for those.
    """

    op: str
    dtype: str
    options: Mapping[str, Option]
    direction: str
    searched: tuple[Sizes, ...]
    others: tuple[Sizes, ...] = ()

    @property
    def name(self) -> str:
        """How the group is told from others."""
        shown = (f"{key}={value}" for key, value in self.options.items() if value != 0)
        return " ".join((self.op, self.direction, self.dtype, *shown))

    def problem(self, sizes: Sizes) -> Problem:
        """The exact problem of some sizes."""
        return problem(self.op, self.dtype, sizes, self.direction, **self.options)

    def problems(self) -> tuple[Problem, ...]:
        """One problem for each class, those that are searched first."""
        found: dict[Problem, Problem] = {}
        for sizes in (*self.searched, *self.others):
            item = self.problem(sizes)
            found.setdefault(item.problem_class(), item)
        return tuple(found.values())


def _sequences(*lengths: int) -> tuple[Sizes, ...]:
    """Mamba's widths from 130M to 7B parameters, alone and in batches."""
    every = product((1, 8, 64), (1536, 4096, 8192), lengths)
    return tuple(
        {"batch": batch, "dim": dim, "seqlen": seqlen}
        for batch, dim, seqlen in every
        if batch * dim * seqlen <= _MOST_ELEMENTS
    )


def _of(batch: int, dim: int, seqlen: int) -> Sizes:
    return {"batch": batch, "dim": dim, "seqlen": seqlen}


def _scans() -> Iterator[Group]:
    searched = (_of(1, 1536, 2048), _of(8, 1536, 2048), _of(64, 4096, 2048), _of(1, 4096, 65536))
    further = (_of(1, 1536, 16384), _of(1, 4096, 512), _of(8, 4096, 512))
    layouts: dict[str, tuple[Sizes, ...]] = {"time": searched, "channel": (_of(8, 1536, 2048),)}
    for layout, sizes in layouts.items():
        options: dict[str, Option] = {"layout": layout, "saved": 0}
        yield Group("selective_scan", "bf16", options, "forward", sizes, (*_sequences(2048), *further))
    # Of training, pairs: which of them a call takes depends on the sum of both.
    for saved, sizes in ((4, (_of(8, 1536, 2048),)), (32, (_of(8, 1536, 2048), _of(1, 1536, 16384)))):
        for way in ("forward", "backward"):
            options = {"layout": "time", "saved": saved}
            yield Group("selective_scan", "bf16", options, way, sizes, _sequences(2048))


def _steps() -> Group:
    searched = ({"batch": 1}, {"batch": 64, "dim": 4096})
    others = tuple(
        {"batch": batch, "dim": dim} for batch, dim in product((1, 8, 64, 256), (1536, 4096, 8192))
    )
    return Group("selective_state_update", "bf16", {}, "forward", searched, others)


GRID = (
    *_scans(),
    _steps(),
    Group("linear_scan", "bf16", {}, "forward", ({"batch": 8},), _sequences(2048)),
    Group("linear_scan", "bf16", {}, "backward", ({"batch": 8},), _sequences(2048)),
    # S4's, in the sizes of the Long Range Arena.
    Group(
        "cauchy_mult",
        "c64",
        {},
        "forward",
        ({},),
        tuple({"rows": rows, "nodes": nodes} for rows, nodes in product((256, 1024), (513, 2049, 8193))),
    ),
    Group(
        "dplr_kernel",
        "c64",
        {},
        "forward",
        ({},),
        tuple({"dim": dim, "seqlen": seqlen} for dim, seqlen in product((256, 512), (1024, 4096, 16384))),
    ),
    Group(
        "log_vandermonde",
        "c64",
        {},
        "forward",
        ({},),
        tuple({"rows": rows, "seqlen": seqlen} for rows, seqlen in product((256, 1024), (1024, 4096, 16384))),
    ),
)
