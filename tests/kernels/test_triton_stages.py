"""Kernels whose loads start rounds ahead: right, free of races and spills, and left out where they cannot pay."""

from __future__ import annotations

from functools import cache

import pytest

from ssmgen.config import Config, Value
from ssmgen.kernels import INTERFACES, variants
from ssmgen.kernels.oracle import tolerance
from ssmgen.model import KernelCost, kernel_cost, nvidia
from ssmgen.model.kernel import _nvdisasm
from ssmgen.problem import Option, Problem
from ssmgen.store import TunedConfig
from ssmgen.targets import Target, target
from ssmgen.targets.architectures import ARCHITECTURES
from ssmgen.targets.gpu import GpuTarget
from tests.helpers import ON_GPU, make_problem, run_config
from tests.store.strategies import make_entry

pytest.importorskip("triton")

FULL: dict[str, Option] = dict.fromkeys(
    ("D", "z", "delta_bias", "softplus", "initial_state", "last_state"), True
)
LONE: dict[str, Option] = {"batch": 1, "dim": 3}
# Lengths that are no multiples of a block's steps, and the shortest in which there is something to load ahead.
CASES: tuple[tuple[str, dict[str, Option]], ...] = (
    ("sequential", {"seqlen": 29, "layout": "channel", "saved": 8, "dim": 40, **FULL}),
    ("sequential", {"seqlen": 7, "layout": "time", "B": "constant", "d_state": 5}),
    ("sequential", {"seqlen": 13, "layout": "channel", "complex": True, "varlen": True}),
    ("chunked", {"seqlen": 67, "layout": "channel", "batch": 1, "d_state": 2, **FULL}),
    ("chunked", {"seqlen": 131, "layout": "time", "batch": 1, "d_state": 4, "saved": 16}),
    ("states", {"seqlen": 11, "layout": "channel", "saved": 4, **FULL}),
    ("states", {"seqlen": 3, "layout": "time", "complex": True}),
    ("associative", {"seqlen": 131, "layout": "time", "d_state": 2, **LONE, **FULL}),
    ("associative", {"seqlen": 129, "layout": "channel", "d_state": 1, "saved": 128, **LONE}),
    # Where no registers are left for the next tile.
    ("split", {"seqlen": 70, "layout": "channel", "d_state": 128, **LONE, **FULL}),
    ("split", {"seqlen": 66, "layout": "time", "d_state": 128, "saved": 16, **LONE}),
)
LINEAR: tuple[dict[str, Option], ...] = (
    {"seqlen": 29, "layout": "channel"},
    {"seqlen": 17, "layout": "time", "reverse": True, "initial_state": True},
)


def staged(place: Target, problem: Problem, name: str, **wanted: Value) -> Config:
    """Of the configs of a variant with loads ahead, and of some values, the one most like its default."""
    space = place.space(problem)
    (variant,) = (item for item in space.variants if item.name == name)
    default = variant.default(problem, space.facts)
    ahead = [
        config
        for config in space.configs[name]
        if config["stages"] != 1 and wanted.items() <= dict(config.params).items()
    ]
    return min(ahead, key=lambda config: sum(config[name] != value for name, value in default.params))


@pytest.fixture(params=["interpret", ON_GPU])
def place(request: pytest.FixtureRequest) -> Target:
    return target(request.param)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_selective_scans_agree_with_float64(place: Target, name: str, given: dict[str, Option]) -> None:
    problem = make_problem("selective_scan", **{"batch": 2, "dim": 5, "d_state": 8, **given})
    config = staged(place, problem, name)
    for output, error in run_config(place, problem, config).items():
        assert error <= tolerance(problem), f"{output} of {config}: {error:.2e}"


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["fp32", "c64"])
@pytest.mark.parametrize("given", LINEAR)
def test_linear_scans_agree_with_float64(
    place: Target, given: dict[str, Option], dtype: str, direction: str
) -> None:
    problem = make_problem("linear_scan", dtype, direction, **{"batch": 2, "dim": 5, **given})
    config = staged(place, problem, "sequential")
    for output, error in run_config(place, problem, config).items():
        assert error <= tolerance(problem), f"{output} of {config}: {error:.2e}"


@cache
def gpu(name: str) -> GpuTarget:
    found = target(name)
    assert isinstance(found, GpuTarget)
    return found


def scan(dtype: str = "bf16", **options: Option) -> Problem:
    return make_problem("selective_scan", dtype, **{"layout": "channel", "batch": 8, **options})


def is_free_of_races(names: list[str]) -> bool:
    """Whether a loop reads copies after all lanes' have come, and overwrites them after all lanes have read them.

    Going round: the copies of this round are waited for (DEPBAR), by all lanes (BAR); they are read (LDS); all have
    (BAR); the next ones start (LDGSTS).
    """
    kinds = {"DEPBAR": "W", "BAR": "B", "LDS": "r", "LDGSTS": "c"}
    order = "".join(kinds.get(name.split(".")[0], "") for name in names)
    start = order.index("W")
    order = order[start:] + order[:start]
    reads, copies = order.index("r"), order.index("c")
    return (
        "B" in order[:reads]
        and "B" in order[order.rindex("r") : copies]
        and order.rindex("c") > copies > reads
    )


@pytest.mark.parametrize("arch", [name for name, facts in ARCHITECTURES.items() if facts.kind == "cuda"])
@pytest.mark.parametrize(
    "options",
    [{"unroll": 2}, pytest.param({"layout": "time", "unroll": 4, "saved": 4}, marks=pytest.mark.slow)],
    ids=str,
)
def test_copies_are_awaited_and_read_by_all_lanes_before_they_are_overwritten(
    arch: str, options: dict[str, Option]
) -> None:
    given = dict(options)
    unroll = given.pop("unroll")
    problem = scan(d_state=4, **given)
    there = gpu(arch)
    config = staged(there, problem, "sequential", unroll=unroll)
    (compiled,) = there.compile(there.space(problem).check(config), problem, config).compiled
    listing = nvidia.parse(nvidia.disassemble(compiled.asm["cubin"], _nvdisasm()))
    loops = [[listing.instructions[index].name for index in loop.body] for loop in listing.loops]
    (names,) = (names for names in loops if any(name.startswith("LDGSTS") for name in names))
    assert is_free_of_races(names)
    # Without either barrier it would not be.
    for missing in (index for index, name in enumerate(names) if name.startswith("BAR")):
        assert not is_free_of_races([name for index, name in enumerate(names) if index != missing])


def require_overlap(off: KernelCost, on: KernelCost, most: float) -> None:
    """The same work without spills, in so much of a lone warp's time at most."""
    for before, after in zip(off.launches, on.launches, strict=True):
        assert (after.spills, after.atomics, after.unexplained) == (0, 0, ())
        for pipe in ("mufu", "fma"):
            assert after.pipes[pipe] == pytest.approx(before.pipes[pipe], rel=0.1)
        assert after.alone <= most * before.alone


# On AMD's GPUs loads and stores are awaited in one order, so that a store is waited for with the next load; and of few
# loads the compiler takes care itself.
@pytest.mark.parametrize(
    ("arch", "options", "wanted", "most"),
    [
        ("sm_90", {"D": True}, {"block_d": 64, "unroll": 2}, 0.6),
        ("gfx942", {"D": True, "z": True, "softplus": True}, {"block_d": 128, "unroll": 4}, 0.85),
    ],
)
@pytest.mark.parametrize("layout", ["channel", pytest.param("time", marks=pytest.mark.slow)])
def test_loads_ahead_leave_the_work_as_it_is_and_the_waiting_less(
    arch: str, options: dict[str, Option], wanted: dict[str, Value], most: float, layout: str
) -> None:
    problem = scan(layout=layout, **options)
    there = gpu(arch)
    config = staged(there, problem, "sequential", num_warps=1, **wanted)
    assert there.space(problem).default()["stages"] == 1
    off = Config.of("sequential", {**dict(config.params), "stages": 1})
    require_overlap(kernel_cost(there, problem, off), kernel_cost(there, problem, config), most)


@pytest.mark.parametrize("op", ["selective_scan", "linear_scan"])
def test_loads_ahead_leave_a_trace_where_they_are_on(op: str) -> None:
    problem = make_problem(op)
    there = gpu("sm_90")
    for variant in there.space(problem).variants:
        if not variant.added:
            continue
        default = variant.default(problem, there.facts)
        assert "num_stages" not in variant.source(problem, default).text
        ahead = Config.of(variant.name, {**dict(default.params), "stages": 3})
        # Both passes over chunks walk through time.
        loops = 2 if variant.name == "chunked" else 1
        assert variant.source(problem, ahead).text.count("num_stages=3") == loops


def test_loads_ahead_are_left_out_where_they_cannot_pay() -> None:
    # A lane's one channel has two bytes, and copies are of four; rows of B and C are wide enough for them.
    constant: dict[str, Option] = {"B": "constant", "C": "constant"}
    for problem, fewest in (
        (scan(), 32),
        (scan(**constant), 64),
        (scan("fp32", **constant), 32),
        (make_problem("linear_scan", "bf16", layout="channel"), 64),
    ):
        widths = {
            config.integer("block_d") // config.integer("num_warps")
            for config in gpu("sm_90").space(problem).configs["sequential"]
            if config["stages"] == 3
        }
        assert min(widths) == fewest
    # Two rounds cannot be three ahead.
    assert all(config["stages"] == 1 for config in gpu("sm_90").space(scan(seqlen=2)).configs["sequential"])
    # AMD's GPUs hold what is loaded in registers, of which a lane of RDNA has half as many.
    most = {
        arch: max(
            config.integer("unroll") * config.integer("block_d")
            for config in gpu(arch).space(scan()).configs["sequential"]
            if config["stages"] == 2
        )
        for arch in ("gfx942", "gfx1100")
    }
    assert most["gfx1100"] < most["gfx942"]
    # Registers with room for a tile hold the next one; with 128 states a lane has none.
    assert all(config["stages"] == 1 for config in gpu("sm_90").space(scan(batch=1)).configs["split"])
    many = gpu("sm_90").space(scan(batch=1, d_state=128))
    assert {config["ahead"] for config in many.configs["split"] if config["stages"] == 2} == {0}
    # A block of consumer cards has 99 KiB of shared memory, of which 256 steps of rows take 64.
    rows = scan("fp32", d_state=32, layout="time")
    longest = {
        arch: max(
            config.integer("block_l")
            for config in gpu(arch).space(rows).configs["associative"]
            if config["stages"] == 2
        )
        for arch in ("sm_86", "sm_90")
    }
    assert longest == {"sm_86": 256, "sm_90": 512}


def test_every_param_that_older_configs_lack_is_one_whose_absence_is_a_choice() -> None:
    for op in INTERFACES:
        for variant in variants(op, "triton"):
            problem = make_problem(op, direction=variant.direction)
            if variant.added and variant.supports(problem):
                choices = variant.choices(problem, gpu("sm_90").facts)
                assert all(value in choices[name] for name, value in variant.added.items())


def test_a_config_that_was_saved_before_there_were_stages_has_one() -> None:
    data = make_entry().to_data()
    data["config"] = "sequential(block_d=64,num_warps=1,unroll=4)"
    found = TunedConfig.from_data(data)
    assert str(found.config) == "sequential(block_d=64,num_warps=1,stages=1,unroll=4)"
    assert found.config in gpu("sm_90").space(found.problem)
    assert TunedConfig.from_data(found.to_data()) == found
