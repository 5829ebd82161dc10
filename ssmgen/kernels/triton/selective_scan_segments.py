"""The gradients of the selective scan in Triton with time split into segments: for few channels and long sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import CHUNKS, MOST_BLOCKS
from ssmgen.kernels.triton.selective_scan import channel_blocks, planes, step_strides, variable_rows
from ssmgen.kernels.triton.selective_scan_backward import Looped
from ssmgen.kernels.triton.selective_scan_chunk import state_groups
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = ["SCANS"]

_MOST_SHARED = 16  # reals of a channel's states that one program of the first pass has in registers
_BLOCK = 128  # states of channels that one program of the second pass owns


def _share(problem: Problem) -> int:
    """States that one program of the first pass has: as many as fit, in equal shares."""
    most = _MOST_SHARED * problem["d_state"] // planes(problem)
    return max(size for size in range(1, most + 1) if problem["d_state"] % size == 0)


class Segmented(Looped):
    """As looped, for each segment of time at once.

    What crosses from one segment into the one before it is found first. A pass walks back through every segment from
    a gradient of zero; the gradient that enters a segment is then what the next one gives, and what entered that one,
    decayed by exp(A * sum(delta)).
    """

    name = "segmented"
    summary = "as looped, time split into segments that two short passes connect: for few channels"
    rules = (
        *Looped.rules,
        Rule(
            "segment",
            f"a segment as long as the sequence splits nothing, and more than {MOST_BLOCKS} exceed the launch grid",
            lambda problem, config, facts: (
                1 < _count(problem, config.integer("segment")) <= MOST_BLOCKS
                and _summaries(problem, config.integer("segment")) <= MOST_BLOCKS
            ),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Sequences of more than one segment, not packed, of which forward saved states: else a pass is serial."""
        return (
            super().supports(problem)
            and not problem.has("varlen")
            and bool(problem.option("saved"))
            and CHUNKS[0] < problem["seqlen"]
            and _summaries(problem, CHUNKS[-1]) <= MOST_BLOCKS
            and _compositions(problem) <= MOST_BLOCKS
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {**super().choices(problem, facts), "segment": CHUNKS}

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """One channel in each lane, to keep a GPU busy; segments so long that what crosses them costs little."""
        # With a gate ptxas spilled addresses of rounds in a row, to stay below 168 registers.
        flat = {"flat": (1, 2, 4)} if problem.has("z") else {}
        return {
            **super().preferences(problem, facts),
            **flat,
            "block_d": (facts.lanes, 2 * facts.lanes),
            "segment": (256, 128, 64, 512, 1024),
        }

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        context = dict(super().context(problem, config))
        share = _share(problem)
        groups = state_groups(problem, config, share)
        widths = [group.size * planes(problem) // problem["d_state"] for group in groups]
        if "C" in variable_rows(problem):
            context["rows2"] = context["rows2"] or 2 in widths
            context["rows4"] = context["rows4"] or 4 in widths
        return {
            **context,
            "segmented": True,
            "share": share,
            "share_groups": groups,
            "shares": _shares(problem),
        }

    def segments(self, problem: Problem, config: Config) -> int:
        """Segments of time, the last of them perhaps shorter."""
        return _count(problem, config.integer("segment"))

    def crossings(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """What segments give to the ones before them, and from that what enters each."""
        block_d, batch, dim = config.integer("block_d"), problem["batch"], problem["dim"]
        sequences = ["delta", "dout", *(["z"] if problem.has("z") else [])]
        steps = config.integer("segment")
        segment = ("SEGMENT", steps)
        return (
            Launch(
                "summarise_segments",
                (
                    *sequences,
                    "weights",
                    *(["C"] if "C" in variable_rows(problem) else []),
                    *(["delta_bias"] if problem.has("delta_bias") else []),
                    "incoming",
                    "totals",
                    *step_strides(problem, sequences),
                    "seqlen",
                ),
                (batch, channel_blocks(problem, block_d), _summaries(problem, steps)),
                (("DIM", dim), ("BLOCK_D", block_d), segment),
                (("num_warps", 1),),
            ),
            Launch(
                "compose_segments",
                (
                    "weights",
                    *(["dlast_state"] if problem.has("last_state") else []),
                    "incoming",
                    "totals",
                    "seqlen",
                ),
                (batch, _compositions(problem), 1),
                (("DIM", dim), segment, ("BLOCK", _BLOCK)),
            ),
        )

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        program = super().program(problem, config)
        outer, dim = (problem["batch"], self.segments(problem, config)), problem["dim"]
        crossing = (
            Workspace("incoming", "fp32", (*outer, planes(problem), dim)),
            Workspace("totals", "fp32", (*outer, 2 if problem.has("complex") else 1, dim)),
        )
        return Program(program.launches, (*program.workspaces, *crossing))


def _count(problem: Problem, segment: int) -> int:
    """Segments of so many steps."""
    return -(-problem["seqlen"] // segment)


def _shares(problem: Problem) -> int:
    return problem["d_state"] // _share(problem)


def _summaries(problem: Problem, segment: int) -> int:
    """Programs of the first pass for each block of channels: the first segment has none."""
    return (_count(problem, segment) - 1) * _shares(problem)


def _compositions(problem: Problem) -> int:
    """Programs of the second pass for each batch."""
    return -(-problem["d_state"] * problem["dim"] // _BLOCK)


SCANS = (Segmented(),)
