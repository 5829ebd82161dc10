"""Every C variant of the Cauchy products and of the DPLR kernel against float64, forward and backward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ssmgen.kernels.oracle import expected, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.covering import Tried
from tests.helpers import defaults, guarded_outputs, make_problem, outputs_of, parameters, run_config


def cauchy(dtype: str = "c64", /, **given: int) -> Problem:
    # Tasks of 1024 nodes, vectors of 16 or 8 of them: a multiple of neither.
    return make_problem("cauchy_mult", dtype, **{"rows": 3, "poles": 7, "nodes": 1061, **given})


def dplr(dtype: str = "c64", /, **given: int) -> Problem:
    return make_problem("dplr_kernel", dtype, **{"dim": 3, "poles": 7, "seqlen": 2200, **given})


def both(name: str, problem: Problem) -> dict[str, Problem]:
    return {name: problem, f"{name}, backward": replace(problem, direction="backward")}


PROBLEMS = {
    **both("pairs", cauchy()),
    **both("poles", cauchy(symmetric=False)),
    **both("one pole", cauchy(rows=1, poles=1, nodes=1)),
    **both("pairs c128", cauchy("c128", nodes=61)),
    **both("poles c128", cauchy("c128", nodes=61, symmetric=False)),
    **both("dplr", dplr()),
    **both("dplr of all poles", dplr(pairs=False)),
    **both("dplr of one step", dplr(dim=1, poles=1, seqlen=1)),
    **both("dplr of two steps", dplr(seqlen=2)),
    **both("dplr of odd length", dplr(seqlen=67)),
    **both("dplr of rank 2", dplr(rank=2, seqlen=300)),
    **both("dplr with channels", dplr(channels=3, seqlen=300)),
    **both("dplr c128", dplr("c128", channels=2, rank=3, seqlen=301)),
    **both("dplr c128 of all poles", dplr("c128", pairs=False, seqlen=300)),
}


for _name in ("pairs", "poles", "one pole", "poles c128"):
    PROBLEMS |= both(f"{_name}, imaginary", PROBLEMS[_name].with_options(imaginary=True))
for _name in [name for name in PROBLEMS if PROBLEMS[name].op == "cauchy_mult" and "backward" in name]:
    PROBLEMS[f"{_name}, dz"] = PROBLEMS[_name].with_options(dz=True)


# Most take a compilation of a second, and differ from these in little.
QUICK = {
    "pairs",
    "pairs, backward",
    "poles, imaginary",
    "poles, imaginary, backward, dz",
    "dplr",
    "dplr, backward",
    "dplr of odd length",
    "dplr of rank 2, backward",
    "dplr c128 of all poles",
}


@pytest.mark.parametrize("name", parameters(PROBLEMS, PROBLEMS.keys() - QUICK))
def test_defaults_agree_with_float64(name: str) -> None:
    problem = PROBLEMS[name]
    for config in defaults(problem):
        for harsh in (False, True):
            errors = run_config(target("cpu"), problem, config, harsh=harsh)
            assert max(errors.values()) <= tolerance(problem), (config, harsh, errors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["pairs", "poles, imaginary", "pairs, backward, dz", "dplr of odd length", "dplr of rank 2, backward"],
)
def test_every_choice_agrees_with_float64(name: str, tried: Tried) -> None:
    problem = PROBLEMS[name]
    for config in tried(target("cpu").space(problem)):
        errors = run_config(target("cpu"), problem, config)
        assert max(errors.values()) <= tolerance(problem), (config, errors)


@pytest.mark.parametrize(
    "name", ["pairs", "pairs, backward, dz", "dplr with channels", "dplr with channels, backward"]
)
def test_nothing_around_outputs_is_written(name: str) -> None:
    for config in defaults(PROBLEMS[name]):
        assert all(not bool(x.isnan().any()) for x in guarded_outputs(PROBLEMS[name], config))


@pytest.mark.parametrize("name", ["pairs", "pairs, backward", "dplr", "dplr, backward"])
def test_threads_do_not_change_a_bit(name: str) -> None:
    problem = PROBLEMS[name].with_dims(**{"nodes": 5000} if "pairs" in name else {"seqlen": 9000})
    before = torch.get_num_threads()
    try:
        for config in defaults(problem):
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(guarded_outputs(problem, config))
            for other in results[1:]:
                assert all(torch.equal(x, y) for x, y in zip(other, results[0], strict=True)), config
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "largest"), [("c64", 37), ("c128", 300)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_huge_nodes_are_finite_and_right(dtype: str, largest: int, symmetric: bool) -> None:
    y = torch.logspace(4, largest, 67, dtype=torch.float64)
    z = torch.cat([torch.complex(x * y, y) for x in (0.0, -0.7, 0.7)])[None]
    problem = make_problem("cauchy_mult", dtype, rows=1, poles=9, nodes=z.shape[1] + 1, symmetric=symmetric)
    inputs = sample(problem, seed=0)
    # A node's sum must not be small by cancellation; a NaN stays one, beside nodes that are none.
    v = torch.complex(inputs["v"].real.abs() + 0.1, inputs["v"].imag)
    z = torch.cat([z, torch.full((1, 1), complex("nan"))], dim=1).to(v.dtype)
    wanted = expected(problem, inputs | {"v": v, "z": z})["out"]
    for config in defaults(problem):
        out = outputs_of(problem, config, inputs | {"v": v, "z": z})["out"]
        assert bool(out[0, -1].isnan())
        error = ((out - wanted).abs() / wanted.abs())[:, :-1]
        assert float(error.max()) <= tolerance(problem), config
