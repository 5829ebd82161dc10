"""GPU targets: named ones compile; a stand-in for a device shows what a present one hands to Triton's launcher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import ssmgen
from ssmgen.bench.memory import growth
from ssmgen.config import Config
from ssmgen.errors import CompileError, TargetUnavailableError, UnknownNameError
from ssmgen.kernels import Assumptions, interface
from ssmgen.kernels.oracle import expected, relative_error, sample
from ssmgen.problem import Problem
from ssmgen.targets import Runner, driver
from ssmgen.targets.architectures import ARCHITECTURES
from ssmgen.targets.gpu import GpuTarget
from ssmgen.targets.triton_kernel import TritonKernel
from ssmgen.tuning.measure import last_level_cache
from tests.helpers import make_problem
from tests.targets.stand_in import StandIn, stand_in
from tests.targets.triton_variant import CONFIG, RowScan

pytest.importorskip("triton")
PACKAGE = Path(ssmgen.__file__).parent
PROBLEM = make_problem("linear_scan", "bf16", batch=2, dim=3, seqlen=32)


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_a_named_gpu_shows_every_stage_of_every_launch(arch: str) -> None:
    kernel = GpuTarget.named(arch).compile(RowScan(), PROBLEM, CONFIG)
    for stage in kernel.stages:
        text = kernel.stage(stage)
        assert "scan" in text
        assert "write" in text
    with pytest.raises(UnknownNameError, match="stage"):
        kernel.stage("spirv")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_compiles(arch: str) -> None:
    kernel = GpuTarget.named(arch).compile(RowScan(), PROBLEM, CONFIG)
    assert kernel.stage(kernel.stages[-1])


def test_types_and_alignment_reach_the_compiler() -> None:
    target = GpuTarget.named("sm_90")
    free = target.compile(RowScan(), PROBLEM, CONFIG).stage("ttir")
    strict = target.compile(RowScan(), PROBLEM, CONFIG, assumed=Assumptions()).stage("ttir")
    assert "!tt.ptr<bf16> {tt.divisibility = 16 : i32}" in free
    assert "!tt.ptr<bf16> {tt.divisibility" not in strict
    assert "!tt.ptr<f32> {tt.divisibility = 16 : i32}" in strict  # a workspace is ours
    assert "%a_stride_batch: i64 {tt.divisibility" in free  # 96
    assert "%dim: i32 loc" in free or "%dim: i32," in free  # 3 is no multiple


def _step(arch: str, assumed: Assumptions | None, **params: int) -> TritonKernel:
    target = GpuTarget.named(arch)
    variant = target.variants(STEP.op)[0]
    config = variant.default(STEP, target.facts)
    config = Config.of(config.variant, {**dict(config.params), **params})
    target.space(STEP).check(config)
    return target.compile(variant, STEP, config, assumed)


STEP = make_problem("selective_state_update", "bf16", batch=2, dim=60)


def test_amd_is_told_which_operands_32_bits_can_address() -> None:
    names = frozenset(operand.name for operand in interface(STEP.op).operands(STEP))
    small = _step("gfx942", Assumptions(small=names))
    assert small.stage("ttir").count("tt.pointer_range = 32") == len(names)
    large = _step("gfx942", Assumptions())
    for other in (
        large,
        _step("gfx942", Assumptions(small=names), buffer=0),
        _step("sm_90", Assumptions(small=names)),
    ):
        assert "pointer_range" not in other.stage("ttir")
    # Of a block that is too wide for the channels the rest is masked: without a branch.
    code = small.stage("amdgcn")
    assert "buffer_store" in code
    assert not re.search(r"global_(load|store)|s_cbranch", code)
    assert re.search(r"global_store(.|\n)*s_endpgm", large.stage("amdgcn"))


def test_waves_reach_the_compiler_of_amd_alone() -> None:
    for waves in (0, 1):
        (compiled,) = _step("gfx942", None, waves=waves).compiled
        assert compiled.metadata.waves_per_eu == waves
    names = {name for arch in ("sm_90", "gfx942") for name, _ in _step(arch, None).config.params}
    assert names - {name for name, _ in _step("sm_90", None).config.params} == {"buffer", "waves"}


def test_a_workspace_beyond_32_bits_is_not_called_small() -> None:
    problem = PROBLEM.with_dims(batch=2**14, dim=2**10, seqlen=64)
    text = GpuTarget.named("gfx942").compile(RowScan(), problem, CONFIG).stage("ttir")
    assert "pointer_range" not in text  # 2^30 elements, of 2 bytes and of 4


def test_strides_are_compiled_in_where_operands_are_dense() -> None:
    def parameters(assumed: Assumptions | None) -> int:
        return _step("sm_90", assumed).stage("ptx").count(".param .u64")

    assert parameters(Assumptions()) - parameters(None) == 2  # of the state and of A
    assert parameters(Assumptions(dense=frozenset({"A_stride_dim"}))) - parameters(None) == 1


@pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
def test_a_call_with_other_strides_gets_another_kernel() -> None:
    with stand_in("hip") as gpus:
        x, dt = (torch.rand(2, 8, device="cuda") for _ in range(2))
        A, B, C = -torch.rand(8, 4, device="cuda"), *(torch.rand(2, 4, device="cuda") for _ in range(2))
        dense = torch.rand(2, 8, 4, device="cuda")
        wide = torch.zeros(2, 8, 12, device="cuda")[..., :4].copy_(dense)
        results = [ssmgen.selective_state_update(state, x, dt, A, B, C) for state in (dense, wide)]
        assert [arguments[8] for _, arguments in gpus.launches] == [4, 12]
        assert len(gpus.asked("load")) == 2
    assert torch.equal(*results)
    assert torch.equal(dense, wide)


def test_a_named_gpu_says_that_it_is_not_here() -> None:
    target = GpuTarget.named("sm_90")
    kernel = target.compile(RowScan(), PROBLEM, CONFIG)
    for use in (
        lambda: target.device,
        target.synchronize,
        lambda: target.time(lambda: None, 1),
        lambda: kernel.bind({}),
    ):
        with pytest.raises(TargetUnavailableError, match="ssmgen show --target"):
            use()


def test_what_triton_refuses_is_reported() -> None:
    variant = RowScan(RowScan().body.replace("tl.store(states + t, h)", "tl.store(states + t, unknown)"))
    with pytest.raises(CompileError, match=r"row_scan, scan(.|\n)*unknown"):
        GpuTarget.named("sm_90").compile(variant, PROBLEM, CONFIG)


def test_a_grid_that_no_gpu_takes_is_refused() -> None:
    with pytest.raises(CompileError, match="65535"):
        GpuTarget.named("sm_90").compile(RowScan(), PROBLEM.with_dims(dim=65536), CONFIG)


def test_no_gpu_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TargetUnavailableError, match="--target sm_90"):
        GpuTarget.present("cuda")


@pytest.fixture
def gpus() -> Iterator[StandIn]:
    with stand_in("cuda", 2) as fake:
        yield fake


def _tensors(problem: Problem, device: str = "cuda") -> list[torch.Tensor]:
    a, b = sample(problem, 0, device).values()
    return [a, b, torch.full_like(a, float("nan"))]


def _bound(tensors: list[torch.Tensor], problem: Problem = PROBLEM) -> Runner:
    kernel = GpuTarget.present(driver.kind()).compile(RowScan(), problem, CONFIG)
    return kernel.bind(interface(problem.op).bindings(problem, tensors))


def _error(tensors: list[torch.Tensor], problem: Problem = PROBLEM) -> float:
    a, b, out = tensors
    return relative_error(out, expected(problem, {"a": a, "b": b})["out"])


def test_the_facts_of_a_present_gpu(gpus: StandIn) -> None:
    target = GpuTarget.present("cuda")
    facts = target.facts
    assert (facts.kind, facts.name, facts.arch) == ("cuda", "Stand-in", "sm_90")
    assert (facts.lanes, facts.max_registers, facts.shared_bytes, facts.present) == (32, 255, 232448, True)
    assert target.name == "cuda"
    assert target.device == torch.device("cuda")
    with pytest.raises(TargetUnavailableError, match="hip"):
        GpuTarget.present("hip")


def test_the_facts_of_a_present_amd_gpu() -> None:
    with stand_in("hip"):
        facts = GpuTarget.present("hip").facts
        assert GpuTarget.present("hip").versions()["hip"] == "6.4"
    assert (facts.arch, facts.lanes, facts.max_registers) == ("gfx942", 64, 512)


def test_a_driver_that_does_not_start_is_a_clear_error(gpus: StandIn) -> None:
    gpus.gpus = RuntimeError("0 active drivers")
    with pytest.raises(TargetUnavailableError, match="0 active drivers"):
        GpuTarget.present("cuda")


def test_launches_hand_over_every_parameter_in_order(gpus: StandIn) -> None:
    a, b, out = tensors = _tensors(PROBLEM)
    _bound(tensors)(tensors)
    assert gpus.asked("launch") == [("scan", 0, 0), ("write", 0, 0)]
    (grid, scan), (second, write) = gpus.launches
    assert grid == second == (2, 3, 1)
    assert scan[0] is a
    assert scan[1] is b
    assert write[1] is out
    assert scan[2] is write[0]
    assert scan[2].shape == (2, 3, 32)
    assert scan[2].dtype == torch.float32
    assert scan[3:] == (96, 32, 96, 32, 3, 32, 1)  # strides, sizes, STEP
    assert write[2:] == (96, 32, 3, 32, 32)  # strides, sizes, BLOCK
    assert _error(tensors) < 4e-3


def test_a_runner_launches_where_its_operands_are(gpus: StandIn) -> None:
    here, there = _tensors(PROBLEM), _tensors(PROBLEM, "cuda:1")
    run = _bound(here)
    for tensors in (here, there, here, there):
        run(tensors)
    with driver.guard(1), driver.side_stream(), driver.guard(0):
        run(there)
    assert gpus.asked("load") == [("scan", 0), ("write", 0), ("scan", 1), ("write", 1)]
    assert [(device, stream) for name, device, stream in gpus.asked("launch") if name == "scan"] == [
        (0, 0),
        (1, 0),
        (0, 0),
        (1, 0),
        (1, 1),
    ]
    assert gpus.current == 0
    assert there[2].device == torch.device("cuda:1")
    assert max(_error(here), _error(there)) < 4e-3


def test_a_binary_is_loaded_once_for_a_device_whatever_the_lengths(gpus: StandIn) -> None:
    for seqlen in (48, 64, 48):
        problem = PROBLEM.with_dims(seqlen=seqlen)
        tensors = _tensors(problem)
        _bound(tensors, problem)(tensors)
        assert _error(tensors, problem) < 4e-3
    assert len(gpus.asked("launch")) == 6
    assert len(gpus.asked("load")) == 2


def test_a_gpu_of_another_kind_is_refused(gpus: StandIn) -> None:
    from triton.backends.compiler import GPUTarget

    tensors = _tensors(PROBLEM)
    run = _bound(tensors)
    gpus.gpus = [GPUTarget("cuda", 80, 32)]
    with pytest.raises(TargetUnavailableError, match=r"is a 80.*compiled for 90"):
        run(tensors)


def test_a_graph_of_launches_computes_from_what_its_operands_hold_then(gpus: StandIn) -> None:
    tensors = _tensors(PROBLEM)
    run = _bound(tensors)
    with pytest.raises(RuntimeError, match="default stream"):
        driver.capture(lambda: run(tensors))
    with driver.side_stream():
        with pytest.raises(RuntimeError, match="loading"):
            driver.capture(lambda: run(tensors))
        run(tensors)
        replay = driver.capture(lambda: run(tensors))
    tensors[0].mul_(0.5)
    assert _error(tensors) > 0.1
    replay()
    assert _error(tensors) < 4e-3
    assert gpus.asked("wait") == [(1, 0), (0, 1)]


def _time(gpus: StandIn, tensors: list[torch.Tensor], repetitions: int = 2) -> list[float]:
    """Times of a runner that was launched before; the log then starts with them."""
    run, target = _bound(tensors), GpuTarget.present(driver.kind())
    run(tensors)
    gpus.log.clear()
    return target.time(lambda: run(tensors), repetitions, lambda: gpus.log.append(("restore",)))


LAUNCHED = ["flush", "record", "launch", "launch", "record", "restore"]


def test_time_flushes_the_cache_before_every_run_and_restores_after_it(gpus: StandIn) -> None:
    gpus.kernel_seconds = 10.0
    assert _time(gpus, _tensors(PROBLEM)) == [20.0, 20.0]
    assert [what for what, *_ in gpus.log] == [*LAUNCHED * 2, "synchronize"]


def test_what_takes_longer_to_launch_than_to_run_is_timed_in_a_graph(gpus: StandIn) -> None:
    gpus.kernel_seconds = 2.0**-30
    assert _time(gpus, _tensors(PROBLEM)) == [2.0**-29, 2.0**-29]
    names = [what for what, *_ in gpus.log]
    # What the warm-up changed is restored before the capture, which may ask for other operands.
    warm = ["wait", "launch", "launch", "restore", "wait"]
    assert names == [*LAUNCHED * 2, "synchronize", *warm, *["replay", *LAUNCHED, "synchronize"] * 2]
    # The replays run in the stream that was current, the warm-up beside it.
    assert [stream for (stream,) in gpus.asked("replay")] == [0, 0]
    assert [external for (external,) in gpus.asked("record")] == [False] * 4 + [True] * 4


def test_what_cannot_be_captured_is_timed_between_launches(gpus: StandIn) -> None:
    gpus.kernel_seconds, gpus.captures = 2.0**-30, False
    tensors = _tensors(PROBLEM)
    assert _time(gpus, tensors) == [2.0**-29, 2.0**-29]
    assert gpus.asked("replay") == []
    assert gpus.asked("restore") == [()] * 3
    assert _time(gpus, tensors)  # and leaves nothing behind
    assert driver.current_device() == 0


def test_where_graphs_record_no_events_times_are_those_between_launches() -> None:
    with stand_in("hip") as gpus:
        gpus.kernel_seconds = 2.0**-30
        assert _time(gpus, _tensors(PROBLEM)) == [2.0**-29, 2.0**-29]
        assert len(gpus.asked("replay")) == 1


def test_times_of_zero_are_those_between_launches(gpus: StandIn) -> None:
    gpus.kernel_seconds = 0.0
    assert _time(gpus, _tensors(PROBLEM)) == [0.0, 0.0]


def test_the_cache_that_is_flushed(gpus: StandIn) -> None:
    assert driver.cache_bytes() == 50 << 20
    assert last_level_cache(torch.device("cuda")) == 50 << 20
    with stand_in("hip"):
        assert driver.cache_bytes() == 256 << 20


def test_the_memory_that_a_run_adds(gpus: StandIn) -> None:
    held = driver.memory(1 << 10)

    def run() -> None:
        first = driver.memory(100)
        del first
        driver.memory(200)

    assert driver.peak(run) == 200
    found = growth(lambda: driver.memory(50), held.device)
    assert (found[0], found[1].nbytes) == (50, 50)


def test_a_worker_takes_the_gpu_of_its_parent(gpus: StandIn) -> None:
    assert driver.count() == 2
    driver.set_device(1)
    assert driver.current_device() == 1
    assert driver.memory(16).device == torch.device("cuda:1")


def test_only_the_driver_calls_the_runtime() -> None:
    calls = re.compile(r"torch\.cuda|triton\.runtime import driver|\.elapsed_time|CUDAGraph")
    found = {path.name for path in PACKAGE.rglob("*.py") if calls.search(path.read_text())}
    assert found == {"driver.py"}
