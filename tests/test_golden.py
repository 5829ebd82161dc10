"""Rendered kernels, as they were last accepted.

To accept a change: `pytest tests/test_golden.py --accept-golden`, then read the diff of tests/golden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ssmgen.device import DeviceFacts
from ssmgen.kernels import INTERFACES, Space, Variant, variants
from ssmgen.problem import Problem
from ssmgen.targets.architectures import architecture
from tests.helpers import make_problem

GOLDEN = Path(__file__).parent / "golden"
SUFFIX = {"c": ".c", "triton": ".py"}
# Fixed devices: the files must not depend on the machine that renders them.
FACTS = {
    "c": DeviceFacts(
        "cpu", "golden", "x86_64-avx512", lanes=16, max_threads=64, max_registers=32, present=True
    ),
    "triton": architecture("sm_90"),
}


def problems(variant: Variant) -> Iterator[tuple[str, Problem]]:
    """The op with nothing asked for, with every option away from its default that the variant takes, and by kinds."""
    options = variant.interface.options
    bare = make_problem(variant.interface.op, direction=variant.direction)
    if variant.direction == "backward" and "saved" in options:
        bare = next(filter(variant.supports, (bare.with_options(saved=steps) for steps in options["saved"])))
    yield "bare", bare
    full = replace(bare, dtype="bf16" if "bf16" in variant.interface.dtypes else bare.dtype)
    for name in [name for name in options if name not in ("B", "C", "complex")]:
        further = (full.with_options(**{name: value}) for value in reversed(options[name]))
        full = next(filter(variant.supports, further), full)
    if full.options != bare.options:
        yield "full", full
    if bare.op == "selective_scan":
        yield "constant", bare.with_options(B="constant", C="constant")
        yield "grouped", bare.with_dims(groups=4)
        yield "complex", bare.with_options(complex=True)
        if variant.direction == "forward":
            yield "saved", bare.with_options(saved=16)
    if bare.op == "selective_state_update":
        yield "untied", full.with_options(tied=False)
        yield "tokens", bare.with_dims(tokens=4, groups=2, heads=4, d_state=20)
    if bare.op == "linear_scan":
        yield "complex", replace(bare, dtype="c64")


def cases() -> Iterator[tuple[str, Variant, Problem]]:
    for op in INTERFACES:
        for language in FACTS:
            for variant in variants(op, language):
                kernel = op if variant.direction == "forward" else f"{op}_{variant.direction}"
                for name, problem in problems(variant):
                    if variant.supports(problem):
                        path = f"{language}/{kernel}_{variant.name}_{name}{SUFFIX[language]}"
                        yield path, variant, problem


CASES = list(cases())


@pytest.mark.parametrize(("path", "variant", "problem"), CASES, ids=[path for path, _, _ in CASES])
def test_rendered_kernels_are_those_accepted(
    path: str, variant: Variant, problem: Problem, request: pytest.FixtureRequest
) -> None:
    facts = FACTS[variant.language]
    config = variant.default(problem, facts)
    assert config in Space.of(problem, facts, [variant])
    text = variant.source(problem, config).text
    golden = GOLDEN / path
    if request.config.getoption("--accept-golden"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"{golden} is new; accept it with --accept-golden"
    assert text == golden.read_text()


def test_every_golden_file_is_rendered(request: pytest.FixtureRequest) -> None:
    files = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.*")}
    rendered = {path for path, _, _ in CASES}
    if request.config.getoption("--accept-golden"):
        for path in files - rendered:
            (GOLDEN / path).unlink()
        # Those that are missing are being written, perhaps by another process.
        return
    assert files == rendered


@pytest.mark.parametrize(("path", "variant", "problem"), CASES, ids=[path for path, _, _ in CASES])
def test_rendered_kernels_are_tidy(path: str, variant: Variant, problem: Problem) -> None:
    text = variant.source(problem, variant.default(problem, FACTS[variant.language])).text
    lines = text.splitlines()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not any(line != line.rstrip() for line in lines)
    assert "\n\n\n\n" not in text
    assert "{{" not in text
    assert "{%" not in text
