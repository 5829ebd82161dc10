"""Configs drawn from every op's space, compiled for GPUs that need not be here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.compile_space import Job, failure, problems, sample
from ssmgen.kernels import INTERFACES, variants
from ssmgen.kernels.variant import Variant
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.helpers import is_left_to_the_reference

pytest.importorskip("triton")

GPUS = ("sm_90", "gfx942")


def with_options(plain: Problem, variant: Variant) -> list[Problem]:
    """The same sizes bare, and with every option that the variant takes away from its default."""
    full = plain
    # Once more, since there are options that others need.
    for name, values in [*variant.interface.options.items()] * 2:
        further = full.with_options(**{name: values[-1]})
        full = further if variant.supports(further) or name == "saved" else full
    real = [full.with_options(complex=False)] if full.has("complex") else []
    return [problem for problem in (plain, *real, full) if variant.supports(problem)]


def jobs(op: str, gpu: str, d_states: list[int]) -> list[Job]:
    """Every config of the op's default sizes, bare and with every option, in the dtypes that Triton serves."""
    machine = target(gpu)
    return [
        Job(machine, problem, config)
        for variant in variants(op, "triton")
        for plain in problems(op, INTERFACES[op].dtypes, d_states)
        for problem in with_options(replace(plain, direction=variant.direction), variant)
        for config in machine.space(problem).configs.get(variant.name, ())
    ]


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("op", INTERFACES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_default_of_every_variant_compiles(op: str, direction: str, gpu: str) -> None:
    machine = target(gpu)
    (plain,) = problems(op, INTERFACES[op].dtypes[:1], d_states=[4])
    found = [variant for variant in variants(op, "triton") if variant.direction == direction]
    assert found or is_left_to_the_reference(replace(plain, direction=direction), "triton")
    for variant in found:
        served = with_options(replace(plain, direction=direction), variant)
        assert served, variant.name
        for problem in served:
            machine.compile(variant, problem, variant.default(problem, machine.facts))


@pytest.mark.slow
@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("d_state", "count"), [(4, 6), (16, 2)])
@pytest.mark.parametrize("op", INTERFACES)
def test_configs_drawn_at_random_compile(op: str, d_state: int, count: int, gpu: str) -> None:
    for job in sample(jobs(op, gpu, [d_state]), count, seed=d_state):
        said = failure(job)
        assert said is None, f"{job.problem}, {job.config}: {said}"
