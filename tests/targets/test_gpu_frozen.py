"""Warm-up, freezing and launchers on a stand-in for GPUs: what is compiled and loaded when, and for which device."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen import dispatch
from ssmgen.errors import FrozenError, InvalidInputError
from ssmgen.kernels import Assumptions
from ssmgen.targets import triton_kernel
from ssmgen.targets.gpu import GpuTarget
from tests.targets.stand_in import StandIn, stand_in

pytest.importorskip("triton")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.usefixtures("gpus"),
]
PROBLEM = {"op": "linear_scan", "dim": 4, "seqlen": 16, "dtype": "fp32"}


@pytest.fixture
def gpus() -> Iterator[StandIn]:
    with stand_in(devices=2) as fake:
        yield fake
    dispatch.forget()


def tensors(offset: int = 0, device: int = 0) -> tuple[Tensor, Tensor]:
    """Two of (4, 16), so many elements behind an address that is a multiple of 16."""
    memory = torch.zeros(2, 64 + 16, device=f"cuda:{device}")
    a, b = (x[offset : offset + 64].view(4, 16) for x in memory)
    return a.fill_(0.5), b.fill_(1.0)


def expected() -> Tensor:
    return 2.0 - 0.5 ** torch.arange(16.0).expand(4, 16)


def test_a_warm_gpu_compiles_and_loads_nothing_for_any_alignment(
    gpus: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ssmgen.warmup([PROBLEM])
    assert [x.target for x in found] == ["cuda", "cuda"]
    assert sorted(x.is_loose for x in found) == [False, True]
    loaded = gpus.asked("load")
    assert len(loaded) == 2

    def refuse(*_: object) -> None:
        raise AssertionError("a source was asked for")

    monkeypatch.setattr(triton_kernel, "import_source", refuse)
    with ssmgen.frozen():
        for offset in (0, 1, 4):
            assert torch.equal(ssmgen.linear_scan(*tensors(offset)).cpu(), expected())
    assert gpus.asked("load") == loaded


def test_an_example_prepares_every_alignment_too() -> None:
    found = ssmgen.warmup([lambda: ssmgen.linear_scan(*tensors())])
    assert sorted(x.is_loose for x in found) == [False, True]
    with ssmgen.frozen():
        assert torch.equal(ssmgen.linear_scan(*tensors(1)).cpu(), expected())


def test_a_call_prepares_its_own_alignment() -> None:
    ssmgen.linear_scan(*tensors())
    with (
        ssmgen.frozen(),
        pytest.raises(FrozenError, match=r"linear_scan .* is not prepared for target 'cuda'"),
    ):
        ssmgen.linear_scan(*tensors(1))


def test_another_device_is_prepared_by_itself(gpus: StandIn) -> None:
    ssmgen.warmup([PROBLEM])
    with ssmgen.frozen(), pytest.raises(FrozenError, match=r"device 1\. .* while that is the current device"):
        ssmgen.linear_scan(*tensors(device=1))
    with torch.cuda.device(1):
        ssmgen.warmup([PROBLEM])
    with ssmgen.frozen():
        for device in (0, 1):
            assert torch.equal(ssmgen.linear_scan(*tensors(device=device)).cpu(), expected())


def test_launchers_launch_in_the_current_stream_of_the_device(
    gpus: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch's guards see through the stand-in: its tensors lie on the CPU.
    monkeypatch.setattr(importlib.import_module("ssmgen.ops.launcher"), "_Guards", None)
    a, b = tensors()
    out = torch.zeros(4, 16, device="cuda")
    launch = ssmgen.launcher(ssmgen.linear_scan, a, b, out=out)
    with torch.cuda.stream(torch.cuda.Stream()):
        assert launch(a, b, out) is out
    assert torch.equal(out.cpu(), expected())
    (*_, (_, device, stream)) = gpus.asked("launch")
    assert (device, stream) == (0, 1)
    with pytest.raises(InvalidInputError, match="no multiple of 16"):
        launch(*tensors(1), out)
    with pytest.raises(InvalidInputError, match="cuda:1"):
        launch(*tensors(device=1), out)


def test_what_is_compiled_for_a_named_gpu_is_found_by_a_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    (strict, loose) = ssmgen.warmup([PROBLEM], target="sm_90")
    binaries = set(tmp_path.rglob("*.cubin"))
    assert len(binaries) == 2
    target = GpuTarget.present("cuda")
    for prepared, assumed in ((strict, None), (loose, Assumptions())):
        assert prepared.config is not None
        target.compile(
            target.space(prepared.problem).check(prepared.config), prepared.problem, prepared.config, assumed
        )
    assert set(tmp_path.rglob("*.cubin")) == binaries
