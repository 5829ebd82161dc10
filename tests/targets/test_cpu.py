"""The CPU target: compilers that are missing, fail or lie, the cache, and what a call costs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch

from ssmgen.errors import CompileError, TargetUnavailableError, UnknownNameError
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample
from ssmgen.targets import compiler, cpu, target
from ssmgen.targets.cpu import CpuKernel, CpuTarget
from tests.helpers import make_problem, run_config

PROBLEM = make_problem("linear_scan", dim=5, seqlen=7)


def compile_default() -> CpuKernel:
    here = CpuTarget()
    space = here.space(PROBLEM)
    return here.compile(space.variants[0], PROBLEM, space.default())


def script(folder: Path, text: str) -> str:
    path = folder / "fakecc"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_facts() -> None:
    facts = target("cpu").facts
    assert facts.kind == target("cpu").name == "cpu"
    assert facts.present
    assert facts.lanes in (4, 8, 16)
    assert 1 <= facts.max_threads <= (os.cpu_count() or 1)
    assert facts.max_registers in (16, 32)


@pytest.mark.parametrize(
    ("cpuinfo", "machine", "arch", "lanes"),
    [
        ({"flags": "sse2 avx2 fma avx512f avx512dq avx512bw avx512vl"}, "x86_64", "x86_64-avx512", 16),
        ({"flags": "sse2 avx2 fma avx512f"}, "x86_64", "x86_64-avx2", 8),
        ({"flags": "sse2"}, "x86_64", "x86_64", 4),
        ({"Features": "fp asimd"}, "aarch64", "aarch64-neon", 4),
        ({}, "arm64", "aarch64-neon", 4),
    ],
)
def test_arch(
    cpuinfo: dict[str, str], machine: str, arch: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_cpuinfo", lambda: cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: machine)
    facts = cpu.cpu_facts()
    assert (facts.arch, facts.lanes) == (arch, lanes)


def test_without_a_compiler_only_compiling_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    here = CpuTarget()
    assert "cc" not in here.versions()
    assert len(here.space(PROBLEM)) > 0
    with pytest.raises(TargetUnavailableError, match=r"install gcc.*SSMGEN_CC.*target='reference'"):
        compile_default()


@pytest.mark.parametrize("variable", ["SSMGEN_CC", "CC"])
def test_a_named_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("SSMGEN_CC", raising=False)
    monkeypatch.setenv(variable, "/nowhere/cc")
    with pytest.raises(
        TargetUnavailableError, match=f"'/nowhere/cc', which {variable} names, .* unset {variable},"
    ):
        compile_default()


def test_ssmgen_cc_comes_before_cc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setenv("SSMGEN_CC", "cc")
    assert Path(compiler.find_compiler().path).name == "cc"


def test_what_the_compiler_said_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SSMGEN_CC", script(tmp_path, 'echo "fatal: out of coffee" >&2; exit 1'))
    with pytest.raises(CompileError, match="out of coffee"):
        compile_default()
    assert not list((tmp_path / "cache" / "kernels").iterdir())


def test_a_compiler_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    text = 'case "$*" in *probe.c*|*--version*) exit 1;; esac; exec sleep 60'
    monkeypatch.setenv("SSMGEN_CC", script(tmp_path, text))
    monkeypatch.setattr(compiler, "_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(CompileError, match="took longer"):
        compile_default()


def test_a_kernel_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    compile_default()
    (built,) = (tmp_path / "cache" / "kernels").iterdir()
    stamp = built.stat().st_mtime_ns
    compile_default()
    assert built.stat().st_mtime_ns == stamp


def test_a_broken_file_is_rebuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "whole"))
    kernel = compile_default()
    (built,) = (tmp_path / "whole" / "kernels").iterdir()
    broken = tmp_path / "broken" / "kernels" / built.name
    broken.parent.mkdir(parents=True)
    broken.write_bytes(built.read_bytes()[:100])
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "broken"))
    assert max(run_config(CpuTarget(), PROBLEM, kernel.config).values()) < 1e-6
    assert broken.stat().st_size == built.stat().st_size


def test_a_library_that_never_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    text = 'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo junk > "$2"; shift; done'
    monkeypatch.setenv("SSMGEN_CC", script(tmp_path, text))
    with pytest.raises(CompileError, match="cannot be loaded"):
        compile_default()


def test_stages() -> None:
    kernel = compile_default()
    assert kernel.stages == target("cpu").stages == ("source", "c", "asm")
    assert kernel.stage("c") == kernel.stage("source") == kernel.source.text
    assert "linear_scan:" in kernel.stage("asm")
    with pytest.raises(UnknownNameError, match="ptx"):
        kernel.stage("ptx")


def test_denormals_stay_on() -> None:
    compile_default()
    tiny = torch.tensor([1e-40])
    assert float((tiny * 0.5)[0]) > 0


def test_workspaces_are_on_the_cpu_whatever_device_is_the_default() -> None:
    problem = make_problem("linear_scan", dim=8, seqlen=1000)
    cpu = target("cpu")
    (chunked,) = (variant for variant in cpu.space(problem).variants if variant.name == "chunked")
    config = chunked.default(problem, cpu.facts)
    inputs = sample(problem, 0)
    tensors = [inputs.get(x.name, x.allocate("cpu")) for x in interface(problem.op).operands(problem)]
    run = cpu.compile(chunked, problem, config).bind(interface(problem.op).bindings(problem, tensors))
    with torch.device("meta"):
        run(tensors)
    assert relative_error(tensors[-1], expected(problem, inputs)["out"]) <= 2e-6
