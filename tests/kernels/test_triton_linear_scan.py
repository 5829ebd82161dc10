"""The linear scan in Triton beyond what every variant is held to: dtypes, edges of blocks, strides, what it writes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssmgen.config import Config
from ssmgen.kernels import interface
from ssmgen.kernels.oracle import expected, relative_error, sample, tolerance
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.covering import Tried
from tests.helpers import make_problem

pytest.importorskip("triton")

SEQUENTIAL = Config.parse("sequential(block_d=32,num_warps=1,stages=1,unroll=4)")
ASSOCIATIVE = Config.parse("associative(block_d=1,block_l=64,num_warps=1)")
CHUNKED = Config.parse("chunked(block_d=32,chunk=64,num_warps=1,unroll=4)")
CONFIGS = [SEQUENTIAL, ASSOCIATIVE, CHUNKED]


def padded(x: Tensor, layout: str, fill: float) -> tuple[Tensor, Tensor]:
    """The same values inside a larger tensor, so that no stride follows from the shape; and that tensor."""
    batch, dim, seqlen = x.shape
    along_time = layout == "time"
    rows, columns = (dim, seqlen) if along_time else (seqlen, dim)
    memory = torch.full((batch + 1, rows + 2, columns + 5), fill, dtype=x.dtype)
    view = memory[:-1, 1:-1, 2:-3]
    view = view if along_time else view.transpose(1, 2)
    return view.copy_(x), memory


def error(problem: Problem, config: Config, *, seed: int = 0, harsh: bool = False) -> float:
    """Relative error of a config on padded operands, whose padding must not matter, nor be written to."""
    layout = str(problem.option("layout"))
    interpreter = target("interpret")
    kernel = interpreter.compile(interpreter.space(problem).check(config), problem, config)
    inputs = sample(problem, seed, harsh=harsh)
    wanted = expected(problem, inputs)["out"]
    tensors = []
    for operand in interface("linear_scan").operands(problem):
        if operand.name == "initial_state":
            tensors.append(inputs[operand.name])
        elif operand.output:
            out, memory = padded(torch.zeros_like(inputs["a"]).fill_(math.nan), layout, 7.0)
            tensors.append(out)
        else:
            tensors.append(padded(inputs[operand.name], layout, math.nan)[0])
    kernel.bind(interface("linear_scan").bindings(problem, tensors))(tensors)
    found = relative_error(out.clone(), wanted)
    out.fill_(7.0)
    assert bool((memory == 7.0).all())
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.variant)
@pytest.mark.parametrize("layout", ["time", "channel"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_narrow_inputs_keep_a_wide_state(config: Config, dtype: str, layout: str, reverse: bool) -> None:
    problem = make_problem(
        "linear_scan", dtype, dim=2, seqlen=70, layout=layout, reverse=reverse, initial_state=True
    )
    assert error(problem, config) <= tolerance(problem)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.variant)
@pytest.mark.parametrize("seqlen", [65, 128, *(pytest.param(n, marks=pytest.mark.slow) for n in (127, 129))])
@pytest.mark.parametrize("reverse", [False, True])
def test_carries_pass_the_edges_of_blocks(config: Config, seqlen: int, reverse: bool) -> None:
    problem = make_problem("linear_scan", dim=1, seqlen=seqlen, reverse=reverse, initial_state=True)
    assert error(problem, config) <= tolerance(problem)
    assert error(problem, config, seed=1, harsh=True) <= tolerance(problem)


@pytest.mark.parametrize("config", [SEQUENTIAL, CHUNKED], ids=lambda config: config.variant)
@pytest.mark.parametrize("layout", ["time", "channel"])
@pytest.mark.parametrize("dim", [32, 33])
def test_whole_blocks_of_channels_need_no_mask(config: Config, layout: str, dim: int) -> None:
    problem = make_problem("linear_scan", batch=2, dim=dim, seqlen=69, layout=layout, initial_state=True)
    (variant,) = (item for item in target("interpret").space(problem).variants if item.name == config.variant)
    assert ("mask=inside" in variant.source(problem, config).text) == (dim == 33)
    assert error(problem, config) <= tolerance(problem)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["time", "channel"])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_choice_agrees_on_hard_operands(layout: str, reverse: bool, tried: Tried) -> None:
    problem = make_problem("linear_scan", dim=34, seqlen=131, layout=layout, reverse=reverse)
    space = target("interpret").space(problem)
    # A custom combine costs the interpreter one Python call per element.
    few = space.configs["associative"][::19]
    for config in (*few, *tried(space.where(lambda config: config.variant != "associative"))):
        assert error(problem, config, harsh=True) <= tolerance(problem), config
