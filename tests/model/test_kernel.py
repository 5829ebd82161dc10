"""Costs of kernels that Triton compiles here, for GPUs that are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ssmgen import settings
from ssmgen.config import Config
from ssmgen.kernels import INTERFACES, Program
from ssmgen.model import KernelCost, kernel, kernel_cost
from ssmgen.problem import Problem
from ssmgen.targets import Target, target
from ssmgen.targets.devices import device_of
from ssmgen.targets.gpu import GpuTarget
from tests.helpers import is_left_to_the_reference, make_problem
from tests.targets.triton_variant import CONFIG, RowScan

pytest.importorskip("triton")

SLOW = ("selective_scan", "dplr_kernel", "log_vandermonde_transpose")
SMALL = make_problem("linear_scan", batch=2, dim=3, seqlen=100)


def require_no_spills_or_atomics(cost: KernelCost) -> None:
    for launch in cost.launches:
        assert (launch.spills, launch.atomics) == (0, 0), launch.function


def gpu(name: str) -> GpuTarget:
    found = target(name)
    assert isinstance(found, GpuTarget)
    return found


def _defaults() -> Iterator[object]:
    for op in INTERFACES:
        for direction in ("forward", "backward"):
            problem = make_problem(op, direction=direction)
            if not is_left_to_the_reference(problem, "triton"):
                marks = [pytest.mark.slow] if op in SLOW else []
                yield pytest.param(problem, marks=marks, id=f"{op}-{direction}")


@pytest.mark.parametrize("problem", list(_defaults()))
def test_defaults_have_no_spills_or_atomics_and_are_accounted_for(problem: Problem) -> None:
    sm_90 = gpu("sm_90")
    cost = kernel_cost(sm_90, problem, sm_90.space(problem).default())
    require_no_spills_or_atomics(cost)
    assert cost.is_accounted_for
    assert cost.seconds(device_of("", "sm_90")) > 0


class Limited(RowScan):
    """The row scan with options of the compiler's."""

    def __init__(self, body: str, **options: int) -> None:
        super().__init__(body)
        self._options = options

    def program(self, problem: Problem, config: Config) -> Program:
        program = super().program(problem, config)
        launches = tuple(
            replace(launch, options=launch.options + tuple(self._options.items()))
            for launch in program.launches
        )
        return replace(program, launches=launches)


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_a_template_with_an_atomic_fails(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = RowScan().body.replace("tl.store(states + t, h)", "tl.atomic_add(states + t, h)")
    monkeypatch.setattr(Target, "variants", lambda self, op: (RowScan(body),))
    cost = kernel_cost(gpu(arch), SMALL, CONFIG)
    assert [launch.atomics > 0 for launch in cost.launches] == [True, False]
    with pytest.raises(AssertionError, match="scan"):
        require_no_spills_or_atomics(cost)


def test_a_template_that_spills_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    # All of a row's 1024 values, 32 for each lane, until their sum is known: too many for 24 registers.
    body = RowScan().body.replace("h.to(out", "(h - tl.sum(h)).to(out")
    problem = make_problem("linear_scan", batch=2, dim=3, seqlen=1024)
    monkeypatch.setattr(Target, "variants", lambda self, op: (Limited(body),))
    require_no_spills_or_atomics(kernel_cost(gpu("sm_90"), problem, CONFIG))
    monkeypatch.setattr(Target, "variants", lambda self, op: (Limited(body, maxnreg=24),))
    cost = kernel_cost(gpu("sm_90"), problem, CONFIG)
    assert cost.launches[1].registers <= 24
    assert [launch.spills > 0 for launch in cost.launches] == [False, True]
    with pytest.raises(AssertionError, match="write"):
        require_no_spills_or_atomics(cost)


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_a_scan_takes_what_its_formula_says(arch: str) -> None:
    problem = make_problem("linear_scan", batch=1, dim=128, seqlen=4000)
    there = gpu(arch)
    cost = kernel_cost(there, problem, there.space(problem).default())
    core = device_of("", arch).core
    assert cost.elements == 128 * 4000
    # Of four steps, a and b are read and the states written, 16 bytes at once; a little stands outside of the loops.
    assert 3 / 4 <= cost.per_element(core, "global") < 0.76
    # A multiply-add for each; besides, some for addresses.
    assert 1 <= cost.per_element(core, "fma") < 1.5
    assert cost.per_element(core, "mufu") == 0
    assert cost.bytes_per_element == 12
    require_no_spills_or_atomics(cost)
    (launch,) = cost.launches
    assert launch.main_share > 0.95
    assert launch.unexplained == ()


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_a_decode_step_takes_an_exponential_for_each_state(arch: str) -> None:
    problem = make_problem("selective_state_update")
    there = gpu(arch)
    cost = kernel_cost(there, problem, there.space(problem).default())
    # The last block is only partly full.
    (launch,) = cost.launches
    core = device_of("", arch).core
    lanes = launch.blocks * launch.warps * core.lanes
    assert lanes * launch.pipes["mufu"] / cost.elements == pytest.approx(1, rel=0.35)
    assert cost.per_element(core, "mufu") >= 1


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
def test_a_loop_that_is_unrolled_without_a_rest_is_counted_once(arch: str) -> None:
    # The chunk's length is a constant: LLVM unrolls by eight, and nothing is left over.
    problem = make_problem("linear_scan", batch=1, dim=128, seqlen=1024)
    there = gpu(arch)
    (chosen,) = [
        variant.default(problem, there.facts)
        for variant in there.space(problem).variants
        if variant.name == "chunked"
    ]
    cost = kernel_cost(there, problem, chosen)
    summary = cost.launches[0]
    lanes = summary.blocks * summary.warps * device_of("", arch).core.lanes
    chunk = int(chosen["chunk"])
    # All chunks but the last are summarised: two 16-byte loads of four steps, and two stores at the end.
    assert lanes * summary.pipes["global"] == pytest.approx(
        (1024 - chunk) * 128 * 2 / 4 + lanes * 2, rel=0.01
    )


def test_costs_are_kept_until_what_counts_them_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "cache"))
    there = gpu("sm_90")
    config = there.space(SMALL).default()
    first = kernel_cost(there, SMALL, config)
    (path,) = (settings.cache_dir() / "costs").iterdir()

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("compiled")

    with monkeypatch.context() as patch:
        patch.setattr(GpuTarget, "compile", refuse)
        assert kernel_cost(there, SMALL, config) == first
        patch.setattr(kernel, "_digest", lambda: "of other code")
        with pytest.raises(RuntimeError, match="compiled"):
            kernel_cost(there, SMALL, config)
    for text in (
        "",
        "[]",
        '{"launches": [1], "elements": 1, "source_hash": ""}',
        path.read_text().replace("blocks", "b"),
    ):
        path.write_text(text)
        assert kernel_cost(there, SMALL, config) == first
