"""GPU targets: named ones compile; a stand-in for a device shows what a present one hands to Triton's launcher."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ssmgen.errors import CompileError, TargetUnavailableError, UnknownNameError
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import triton_kernel
from ssmgen.targets.architectures import ARCHITECTURES
from ssmgen.targets.gpu import GpuTarget
from tests.helpers import make_problem
from tests.targets.triton_variant import CONFIG, RowScan

pytest.importorskip("triton")
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
    strict = target.compile(RowScan(), PROBLEM, CONFIG, aligned=frozenset()).stage("ttir")
    assert "!tt.ptr<bf16> {tt.divisibility = 16 : i32}" in free
    assert "!tt.ptr<bf16> {tt.divisibility" not in strict
    assert "!tt.ptr<f32> {tt.divisibility = 16 : i32}" in strict  # a workspace is ours
    assert "%a_stride_batch: i64 {tt.divisibility" in free  # 96
    assert "%dim: i32 loc" in free or "%dim: i32," in free  # 3 is no multiple


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


class StandIn:
    """Records what Triton's launcher is called with; the current device is the one that CPU tensors name, -1."""

    def __init__(self) -> None:
        from triton.backends.compiler import GPUTarget

        self.log: list[Any] = []
        self.current = -1
        self.gpu = GPUTarget("cuda", 90, 32)
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {"max_shared_mem": 232448},
            load_binary=self.load_binary,
            unload_module=lambda module: None,
        )
        self.loads = 0

    def load_binary(self, name: str, *rest: Any) -> tuple[Any, ...]:
        self.loads += 1
        return "module", f"handle of {name}", 32, 0, 1024

    def get_current_target(self) -> Any:
        return self.gpu

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 7

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        def launch(x: int, y: int, z: int, stream: int, function: str, *rest: Any) -> None:
            self.log.append(((x, y, z), stream, function, rest[4:]))

        return launch

    @contextmanager
    def guard(self, device: int) -> Iterator[None]:
        self.log.append(f"enter {device}")
        yield
        self.log.append("leave")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    from triton.compiler import compiler
    from triton.runtime import driver

    fake = StandIn()
    facts = SimpleNamespace(
        name="Stand-in H100",
        major=9,
        minor=0,
        warp_size=32,
        shared_memory_per_block_optin=232448,
        shared_memory_per_block=49152,
        L2_cache_size=50 * 2**20,
    )
    monkeypatch.setattr(driver, "_active", fake)
    monkeypatch.setattr(triton_kernel, "_COMPILED", {})
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: facts)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: fake.current)
    monkeypatch.setattr(torch.cuda, "device", fake.guard)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: fake.log.append("synchronize"))
    compiler.max_shared_mem.cache_clear()
    yield fake
    # Triton unloads what it loaded through the active driver, so before the stand-in is gone.
    triton_kernel._COMPILED.clear()
    gc.collect()
    compiler.max_shared_mem.cache_clear()


def test_the_facts_of_a_present_gpu(stand_in: StandIn) -> None:
    target = GpuTarget.present("cuda")
    facts = target.facts
    assert (facts.kind, facts.name, facts.arch) == ("cuda", "Stand-in H100", "sm_90")
    assert (facts.lanes, facts.max_registers, facts.shared_bytes, facts.present) == (32, 255, 232448, True)
    assert target.name == "cuda"
    assert target.device == torch.device("cuda")
    with pytest.raises(TargetUnavailableError, match="hip"):
        GpuTarget.present("hip")


def _tensors(problem: Problem) -> list[torch.Tensor]:
    return [operand.allocate("cpu") for operand in interface(problem.op).operands(problem)]


def test_launches_hand_over_every_parameter_in_order(stand_in: StandIn) -> None:
    a, b, out = tensors = _tensors(PROBLEM)
    scalars = interface("linear_scan").bindings(PROBLEM, tensors)
    run = GpuTarget.present("cuda").compile(RowScan(), PROBLEM, CONFIG).bind(scalars)
    run(tensors)
    (grid, stream, function, scan), (_, _, second, write) = stand_in.log
    assert (grid, stream, function, second) == ((2, 3, 1), 7, "handle of scan", "handle of write")
    assert scan[0] is a
    assert scan[1] is b
    assert write[1] is out
    assert scan[2] is write[0]
    assert scan[2].shape == (2, 3, 32)
    assert scan[2].dtype == torch.float32
    assert scan[3:] == (96, 32, 96, 32, 3, 32, 1)  # strides, sizes, STEP
    assert write[2:] == (96, 32, 3, 32, 32)  # strides, sizes, BLOCK


def test_another_device_is_made_current_for_the_launch(stand_in: StandIn) -> None:
    tensors = _tensors(PROBLEM)
    scalars = interface("linear_scan").bindings(PROBLEM, tensors)
    run = GpuTarget.present("cuda").compile(RowScan(), PROBLEM, CONFIG).bind(scalars)
    stand_in.current = 1
    run(tensors)
    assert (stand_in.log[0], len(stand_in.log), stand_in.log[-1]) == ("enter -1", 4, "leave")


def test_a_binary_is_loaded_once_for_a_device_whatever_the_lengths(stand_in: StandIn) -> None:
    target = GpuTarget.present("cuda")
    for seqlen in (48, 64, 48):
        problem = PROBLEM.with_dims(seqlen=seqlen)
        tensors = _tensors(problem)
        scalars = interface("linear_scan").bindings(problem, tensors)
        target.compile(RowScan(), problem, CONFIG).bind(scalars)(tensors)
    assert len(stand_in.log) == 6
    assert stand_in.loads == 2


def test_a_gpu_of_another_kind_is_refused(stand_in: StandIn) -> None:
    from triton.backends.compiler import GPUTarget

    tensors = _tensors(PROBLEM)
    run = (
        GpuTarget.present("cuda")
        .compile(RowScan(), PROBLEM, CONFIG)
        .bind(interface("linear_scan").bindings(PROBLEM, tensors))
    )
    stand_in.gpu = GPUTarget("cuda", 80, 32)
    with pytest.raises(TargetUnavailableError, match=r"is a 80.*compiled for 90"):
        run(tensors)


def test_time_flushes_the_cache_before_every_run(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    target, log = GpuTarget.present("cuda"), stand_in.log

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            log.append("record")

        def elapsed_time(self, end: Event) -> float:
            assert log[-1] == "synchronize"
            return 2.5

    def empty(size: int, **how: Any) -> Any:
        assert size == 256 * 2**20
        assert how["device"] == torch.device("cuda")
        return SimpleNamespace(zero_=lambda: log.append("flush"))

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch, "empty", empty)
    assert target.time(lambda: log.append("run"), 2) == [2.5e-3, 2.5e-3]
    assert log == ["flush", "record", "run", "record"] * 2 + ["synchronize"]
    log.clear()
    target.time(lambda: log.append("run"), 2, lambda: log.append("restore"))
    assert log == ["flush", "record", "run", "record", "restore"] * 2 + ["synchronize"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_a_real_gpu_gives_the_reference(dtype: str) -> None:
    problem = make_problem("linear_scan", dtype, batch=2, dim=3, seqlen=21)
    target = GpuTarget.present("hip" if torch.version.hip else "cuda")
    inputs = sample(problem, 0, target.device)
    out = torch.full((2, 3, 21), float("nan"), dtype=inputs["a"].dtype, device=target.device)
    tensors = [inputs["a"], inputs["b"], out]
    run = target.compile(RowScan(), problem, CONFIG).bind(interface("linear_scan").bindings(problem, tensors))
    run(tensors)
    target.synchronize()
    assert relative_error(out, expected(problem, inputs)["out"]) <= tolerance(problem)
    assert min(target.time(lambda: run(tensors), 3)) > 0
