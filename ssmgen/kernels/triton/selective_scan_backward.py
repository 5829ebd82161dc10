"""The gradients of the selective scan in Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.kernels.interfaces import INTERFACES, row_groups, sequence_batches, state_slots
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.triton.common import (
    EXP_RULE,
    MOST_BLOCKS,
    TritonVariant,
    exp_choices,
    grid_rule,
    parameters,
)
from ssmgen.kernels.triton.selective_scan import (
    channel_blocks,
    channels_of_group,
    in_registers,
    is_masked,
    planes,
    scan_context,
    sizes,
    slot_size,
    step_strides,
    variable_rows,
)
from ssmgen.kernels.triton.selective_scan_chunk import (
    carried_registers,
    channel_sums,
    channels_per_lane,
    chunk_registers,
    is_smallest,
    recomputes,
    state_groups,
    state_sums,
    walked_sequences,
    weight_names,
    weight_rows,
)
from ssmgen.kernels.variant import Rule
from ssmgen.problem import Problem

__all__ = ["SCANS"]

_INTERVALS = (2, 4, 8)
# Reals of a channel's states in the pass that recomputes them, which holds them in registers.
_RECOMPUTED = 64
_BLOCK = 128  # elements that one program of the passes which add programs up owns: few, so that many share the work


class _Backward(TritonVariant):
    """Channels across lanes; chunks of steps from the last to the first.

    Each chunk goes forward from the state before it, which forward saved or a first pass recomputes, and back. What
    channels, programs and batches share is summed by lanes, then by further launches, always in the same order.
    """

    interface = INTERFACES["selective_scan"]
    direction = "backward"
    template = "selective_scan_backward.py.j2"
    carried: ClassVar[bool]  # whether what one chunk hands to the next is in memory, not in registers
    rules: ClassVar[tuple[Rule, ...]] = (
        EXP_RULE,
        Rule(
            "interval",
            "states are recomputed at every so many steps; more than forward saved them at would be none",
            lambda problem, config, facts: (
                config.integer("interval") <= (int(problem.option("saved")) or config.integer("interval"))
            ),
        ),
        Rule(
            "width",
            "a block at least twice as wide as there are channels, and wider than the lanes, only adds idle work",
            lambda problem, config, facts: (
                config.integer("block_d") < 2 * channels_of_group(problem) or channels_per_lane(config) == 1
            ),
        ),
        grid_rule(lambda problem, config: channel_blocks(problem, config.integer("block_d"))),
    )

    def supports(self, problem: Problem) -> bool:
        """No more groups or chunks than a launch grid has blocks."""
        saved = int(problem.option("saved"))
        return (
            super().supports(problem)
            and row_groups(problem) <= MOST_BLOCKS
            and (not saved or -(-problem["seqlen"] // saved) <= MOST_BLOCKS)
        )

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        return {
            "block_d": tuple(facts.lanes * count for count in (1, 2, 4)),
            "exp": exp_choices(facts),
            "interval": _INTERVALS,
            "lanes": (facts.lanes,),
            "reread": (0, 1),
            "states": tuple(
                size
                for size in ((1, 2) if problem.has("complex") else (1, 2, 4))
                if size <= problem["d_state"]
            ),
        }

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Two channels in each lane, four steps and four states at a time, where registers allow.

        One channel for complex states, and on AMD's GPUs, whose compiler holds so much at once that a second takes the
        registers of another warp.
        """
        lanes, saved = facts.lanes, int(problem.option("saved"))
        narrow = problem.has("complex") or facts.kind == "hip"
        return {
            "block_d": (lanes, 2 * lanes) if narrow else (2 * lanes, lanes),
            "interval": (saved, 4, 2) if saved in _INTERVALS else (4, 8, 2),
            "states": (4, 2, 1),
        }

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        """See `Variant.context`."""
        interval = config.integer("interval")
        rows = variable_rows(problem)
        size = config.integer("states")
        groups = state_groups(problem, config)
        widths = [group.size * planes(problem) // problem["d_state"] for group in groups]
        looped = problem["d_state"] // size * size if self.carried else 0
        masked = is_masked(problem, config)
        return {
            **scan_context(problem, config),
            "apart": self._apart(problem, config),
            "between": "between" if recomputes(problem, config) else "states",
            "carried": self.carried,
            "channel_sums": channel_sums(problem),
            "halves": lambda count: [count >> bit for bit in range(1, count.bit_length())],
            "looped": looped,
            "mask0": ", mask=inside, other=0.0" if masked else "",
            "paired": self._is_paired(config),
            "parameters": parameters(self._launches(problem, config)),
            "partial": problem.has("varlen") or problem["seqlen"] % interval != 0,
            "per_lane": channels_per_lane(config),
            "recomputes": recomputes(problem, config),
            "rows2": bool(rows) and 2 in widths,
            "rows4": bool(rows)
            and (4 in widths or (recomputes(problem, config) and "B" in rows and planes(problem) >= 4)),
            # The pass that recomputes states is a forward scan without outputs.
            "sequences": lambda outputs: ["u", "delta"],
            "sizes": sorted({group.size for group in groups}, reverse=True),
            "segmented": False,
            "state_groups": [group for group in groups if group.first >= looped],
            "state_sums": state_sums(problem),
            "twice_mask": ", mask=twice_inside" if masked else "",
            "twice_mask0": ", mask=twice_inside, other=0.0" if masked else "",
            "unroll": interval,
            "walked": walked_sequences(problem),
            "weights": weight_rows(problem),
        }

    def program(self, problem: Problem, config: Config) -> Program:
        """See `Variant.program`."""
        return Program(self._launches(problem, config), self._workspaces(problem, config))

    def crossings(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        """The launches that find what enters each segment of time: none where one program owns all of it."""
        return ()

    def segments(self, problem: Problem, config: Config) -> int:
        """Programs that share the time of a block of channels."""
        return 1

    def _launches(self, problem: Problem, config: Config) -> tuple[Launch, ...]:
        block_d, batch, dim = config.integer("block_d"), problem["batch"], problem["dim"]
        rows, weights = variable_rows(problem), weight_names(problem)
        blocks = channel_blocks(problem, block_d)
        slot = ("SLOT", slot_size(problem))
        one_warp = (("num_warps", 1),)
        given = [name for name in ("D", "delta_bias") if problem.has(name)]
        packed = ["cu_seqlens"] if problem.has("varlen") else []
        segments = self.segments(problem, config)
        segment = (("SEGMENT", config.integer("segment")),) if segments > 1 else ()
        last = ["incoming"] if segment else ["dlast_state"] if problem.has("last_state") else []
        between = "between" if recomputes(problem, config) else "states"
        sums = [*state_sums(problem), *channel_sums(problem)]
        parts = [f"{name}_parts" for name in sums]
        first = ["dinitial_state"] if problem.has("initial_state") else []
        sequences = walked_sequences(problem)
        inputs = [name for name in sequences if name not in ("du", "ddelta", "dz")]
        outputs = [name for name in sequences if name in ("du", "ddelta", "dz")]
        launches = [
            Launch(
                "transpose_weights",
                (*weights, "weights"),
                (-(-dim // block_d), problem["d_state"], 1),
                (("DIM", dim), ("BLOCK_D", block_d)),
                one_warp,
            ),
        ]
        if recomputes(problem, config):
            launches.append(self._recompute(problem, config))
        launches += self.crossings(problem, config)
        launches.append(
            Launch(
                problem.function,
                (
                    *inputs,
                    "weights",
                    *rows,
                    *given,
                    *packed,
                    *last,
                    between,
                    *outputs,
                    *first,
                    *(["pairs"] if self._is_paired(config) else ["g_parts"] if self.carried else []),
                    *parts,
                    *(["partial"] if rows else []),
                    *step_strides(problem, sequences),
                    *(["seqlen"] if rows or not packed else []),
                ),
                (batch, blocks, segments),
                (
                    ("DIM", dim),
                    slot,
                    ("BLOCK_D", block_d),
                    *segment,
                    *((("LANES", config.integer("lanes")),) if rows else ()),
                ),
                one_warp,
            )
        )
        largest = dim * planes(problem)
        launches.append(
            Launch(
                "add_batches",
                (*parts, *sums, "batch", *(["seqlen"] if segment else [])),
                (-(-largest // _BLOCK), 1, 1),
                (("DIM", dim), *segment, ("BLOCK", _BLOCK)),
            )
        )
        if rows:
            outer = sequence_batches(problem) * row_groups(problem)
            pieces = -(-problem["seqlen"] * planes(problem) // _BLOCK)
            launches.append(
                Launch(
                    "add_blocks",
                    ("partial", *(f"d{name}" for name in rows), "seqlen"),
                    (outer * pieces, 1, 1),
                    (("BLOCKS", blocks // row_groups(problem)), ("BLOCK", _BLOCK)),
                )
            )
        return tuple(launches)

    def _is_paired(self, config: Config) -> bool:
        """Whether g and dA lie side by side in memory; of four channels in a lane each fills a wide access itself."""
        return self.carried and channels_per_lane(config) <= 2

    def _apart(self, problem: Problem, config: Config) -> list[str]:
        """What chunks hand on in memory, each by itself."""
        names = ["g", *state_sums(problem)] if self.carried else []
        return [name for name in names if not (self._is_paired(config) and name in ("g", "dA"))]

    def _recompute(self, problem: Problem, config: Config) -> Launch:
        block_d, saved = config.integer("block_d"), int(problem.option("saved"))
        from_start = ["initial_state"] if problem.has("initial_state") else []
        return Launch(
            "recompute_states",
            (
                "u",
                "delta",
                "A",
                "B",
                *(["delta_bias"] if problem.has("delta_bias") else []),
                *(["cu_seqlens"] if problem.has("varlen") else []),
                *(["states"] if saved else from_start),
                "between",
                *step_strides(problem, ["u", "delta"]),
                *sizes(problem, problem.option("B") == "variable"),
            ),
            (
                problem["batch"],
                channel_blocks(problem, block_d),
                -(-problem["seqlen"] // saved) if saved else 1,
            ),
            (("DIM", problem["dim"]), ("SLOT", slot_size(problem)), ("BLOCK_D", block_d)),
            (("num_warps", 1),),
        )

    def _workspaces(self, problem: Problem, config: Config) -> tuple[Workspace, ...]:
        """A's columns; states between chunks; what each program sums over time, and each block over its channels."""
        dim, reals = problem["dim"], planes(problem)
        parts = problem["batch"] * self.segments(problem, config)
        found = [Workspace("weights", "fp32", (len(weight_rows(problem)) * problem["d_state"], dim))]
        if recomputes(problem, config):
            found.append(Workspace("between", "fp32", state_slots(problem, config.integer("interval"))))
        if self._is_paired(config):
            found.append(Workspace("pairs", "fp32", (parts, reals, dim, 2)))
        elif self.carried:
            found.append(Workspace("g_parts", "fp32", (parts, reals, dim)))
        states = state_sums(problem)
        found += [Workspace(f"{name}_parts", "fp32", (parts, reals, dim)) for name in states]
        found += [Workspace(f"{name}_parts", "fp32", (parts, dim)) for name in channel_sums(problem)]
        rows = variable_rows(problem)
        if rows:
            outer = sequence_batches(problem)
            blocks = channel_blocks(problem, config.integer("block_d"))
            found.append(Workspace("partial", "fp32", (outer, blocks, len(rows), problem["seqlen"], reals)))
        return tuple(found)


class Sequential(_Backward):
    """What is carried from chunk to chunk in registers: each state has its own names."""

    name = "sequential"
    summary = "channels across lanes; chunk by chunk forward from its saved state, then back"
    carried = False
    rules = (
        *_Backward.rules,
        Rule(
            "registers",
            "what chunks carry and what a chunk holds does not fit a lane's registers",
            lambda problem, config, facts: (
                carried_registers(problem, config) + chunk_registers(problem, config) <= facts.max_registers
                or is_smallest(config)
            ),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """As many states as the registers of a lane hold."""
        return super().supports(problem) and in_registers(problem)


class Looped(_Backward):
    """A loop over groups of states: what is carried from chunk to chunk is in memory, and the code is short."""

    name = "looped"
    summary = "as sequential, with a loop over states and what chunks carry in memory: for many states"
    carried = True
    rules = (
        *_Backward.rules,
        Rule(
            "flat",
            "rounds of the loop over states stand in a row in the code, as many each time",
            lambda problem, config, facts: (
                problem["d_state"] // config.integer("states") % config.integer("flat") == 0
                and config.integer("flat") <= max(1, problem["d_state"] // config.integer("states"))
            ),
        ),
        Rule(
            "registers",
            "what a chunk holds does not fit a lane's registers",
            lambda problem, config, facts: (
                chunk_registers(problem, config) <= facts.max_registers or is_smallest(config)
            ),
        ),
    )

    def supports(self, problem: Problem) -> bool:
        """Up to 256 states; more than 64 reals are too many for the pass that recomputes them."""
        if problem.option("saved") not in _INTERVALS and planes(problem) > _RECOMPUTED:
            return False
        return super().supports(problem) and 1 <= problem["d_state"] <= 256

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        """See `Variant.choices`."""
        choices = dict(super().choices(problem, facts))
        if planes(problem) > _RECOMPUTED:
            choices["interval"] = (int(problem.option("saved")),)
        choices["flat"] = (1, 2, 4)
        return choices

    def preferences(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, Sequence[Value]]:
        """Four rounds in a row, whose addresses are then constants; fewer where compilers spilled those addresses."""
        further = ("complex", "delta_bias", "initial_state", "last_state", "varlen")
        gated, many = problem.has("z"), problem["d_state"] > 16
        full = gated and any(map(problem.has, further))
        flat = (2, 1, 4) if many or full else (4, 2, 1)
        tiles = problem.option("layout") == "time"
        older = facts.arch in ("sm_80", "sm_86", "sm_89")
        tight = full and (older or facts.arch == "sm_100")
        if (
            tight
            or (tiles and (older or problem.dtype == "fp32"))
            or problem.has("complex")
            or facts.kind == "hip"
        ):
            flat = (1, 2, 4)
        # What a chunk holds to its end was spilled too: with many states, unless a gate keeps it; with most options.
        again = tight or (many and not gated)
        reread = (1, 0) if again else (0, 1)
        return {**super().preferences(problem, facts), "flat": flat, "reread": reread}


SCANS = (Looped(), Sequential())
