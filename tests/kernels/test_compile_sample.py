"""Configs drawn from every op's space, compiled for GPUs that need not be here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.compile_space import Job, failure, problems, sample
from ssmgen.kernels import INTERFACES
from ssmgen.problem import Problem
from ssmgen.targets import Target, target
from tests.helpers import is_left_to_the_reference

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


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("op", INTERFACES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_default_of_every_variant_compiles(op: str, direction: str, gpu: str) -> None:
    machine = target(gpu)
    (plain,) = problems(op, INTERFACES[op].dtypes[:1], d_states=[1])
    for problem in with_options(replace(plain, direction=direction), machine):
        space = machine.space(problem)
        assert space.variants or is_left_to_the_reference(problem, "triton")
        for variant in space.variants:
            machine.compile(variant, problem, variant.default(problem, space.facts))


@pytest.mark.slow
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("d_state", "count"), [(4, 6), (16, 2)])
@pytest.mark.parametrize("op", INTERFACES)
def test_configs_drawn_at_random_compile(op: str, d_state: int, count: int, gpu: str) -> None:
    for job in sample(jobs(op, gpu, [d_state]), count, seed=d_state):
        said = failure(job)
        assert said is None, f"{job.problem}, {job.config}: {said}"
