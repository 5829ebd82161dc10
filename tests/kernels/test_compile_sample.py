"""Configs drawn from every op's space, compiled for GPUs that need not be here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.compile_space import Job, failure, problems, sample
from ssmgen.kernels import INTERFACES
from ssmgen.problem import Problem
from ssmgen.targets import Target, target

pytest.importorskip("triton")

GPUS = ("sm_90", "gfx942")


def with_options(plain: Problem, machine: Target) -> list[Problem]:
    """The same sizes bare, and with every option away from its default that a kernel of the target takes."""
    full = plain
    for name, values in INTERFACES[plain.op].options.items():
        further = full.with_options(**{name: values[-1]})
        full = further if len(machine.space(further)) else full
    real = [full.with_options(complex=False)] if full.has("complex") else []
    return [plain, *real, full]


def jobs(op: str, gpu: str, d_states: list[int]) -> list[Job]:
    """Every config of the op's default sizes, bare and with every option, in the dtypes that Triton serves."""
    machine = target(gpu)
    plain = problems(op, INTERFACES[op].dtypes, d_states)
    backward = [replace(problem, direction="backward") for problem in plain]
    return [
        Job(machine, problem, config)
        for plain in (*plain, *backward)
        for problem in with_options(plain, machine)
        for configs in machine.space(problem).configs.values()
        for config in configs
    ]


def compile_sample(op: str, gpu: str, d_states: list[int], count: int, seed: int) -> None:
    for job in sample(jobs(op, gpu, d_states), count, seed):
        said = failure(job)
        assert said is None, f"{job.problem}, {job.config}: {said}"


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("op", "count"), [("selective_scan", 4), ("linear_scan", 3), ("cauchy_mult", 3)])
def test_a_few_configs_compile(op: str, count: int, gpu: str) -> None:
    compile_sample(op, gpu, [4], count, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("op", INTERFACES)
def test_more_configs_compile_at_default_sizes(op: str, gpu: str) -> None:
    compile_sample(op, gpu, [16], count=10, seed=1)
