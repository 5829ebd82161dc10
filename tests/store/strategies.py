"""Random tuned configs, few enough in their values that classes and devices coincide."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from ssmgen.config import Config
from ssmgen.device import DeviceFacts
from ssmgen.problem import Problem
from ssmgen.store import EVIDENCE, TunedConfig
from ssmgen.targets import target
from tests.helpers import make_problem

__all__ = ["DEVICES", "make_entry", "problems", "tuned_configs", "usable"]

DEVICES = tuple(
    DeviceFacts("cuda", name, arch, lanes=32, max_threads=1024, max_registers=255, shared_bytes=232448)
    for name, arch in (("NVIDIA H100", "sm_90"), ("NVIDIA H200", "sm_90"), ("NVIDIA A100", "sm_80"))
)

_seconds = st.floats(1e-9, 1e3)
_names = st.text("abcdefgh_é", min_size=1, max_size=8)


@st.composite
def problems(draw: st.DrawFn, op: str = "linear_scan") -> Problem:
    return make_problem(
        op,
        draw(st.sampled_from(["fp32", "bf16"])),
        batch=draw(st.integers(1, 4)),
        seqlen=draw(st.sampled_from([1, 60, 64, 100, 2048, 2049])),
        reverse=draw(st.booleans()),
    )


@st.composite
def tuned_configs(draw: st.DrawFn) -> TunedConfig:
    params = draw(
        st.dictionaries(st.sampled_from(["unroll", "exp", "fused"]), st.integers(1, 64) | st.booleans())
    )
    return TunedConfig(
        problem=draw(problems()),
        config=Config.of(draw(st.sampled_from(["sequential", "chunked"])), {**params, "stages": 1}),
        evidence=draw(st.sampled_from(EVIDENCE)),
        seconds=draw(_seconds),
        quartiles=(draw(_seconds), draw(_seconds)),
        default_seconds=draw(st.none() | _seconds),
        reference_seconds=draw(st.none() | _seconds),
        error=draw(st.dictionaries(_names, st.floats(0, 1e3), max_size=3)),
        source_hash=draw(st.text("0123456789abcdef", min_size=16, max_size=16)),
        versions=draw(st.dictionaries(_names, _names, max_size=3)),
        device=draw(st.sampled_from(DEVICES)),
        threads=draw(st.none() | st.integers(1, 256)),
        created="2026-01-31",
    )


def make_entry(
    problem: Problem | None = None, device: DeviceFacts = DEVICES[0], **changes: object
) -> TunedConfig:
    entry = TunedConfig(
        problem=problem or make_problem("linear_scan"),
        config=Config.of("sequential", {"stages": 1, "unroll": 4}),
        evidence="measured",
        seconds=1e-3,
        quartiles=(0.9e-3, 1.1e-3),
        default_seconds=2e-3,
        reference_seconds=0.5,
        error={"out": 1e-7},
        source_hash="0123456789abcdef",
        versions={"torch": "2.13.0"},
        device=device,
        threads=None,
        created="2026-01-31",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def usable(seqlen: int = 64, number: int = 0, **changes: object) -> TunedConfig:
    """An entry that calls on a CPU can use; its config is the default, or the first that is not, and so on."""
    cpu, problem = target("cpu"), make_problem("linear_scan", seqlen=seqlen)
    space = cpu.space(problem)
    every = dict.fromkeys((space.default(), *(x for configs in space.configs.values() for x in configs)))
    config = list(every)[number]
    source = space.variant(config).source(problem, config)
    return make_entry(problem, cpu.facts, **{"config": config, "source_hash": source.hash, **changes})
