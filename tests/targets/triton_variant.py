"""A Triton variant small enough to read: the linear scan with one program per row, and a second launch that scales."""

from __future__ import annotations

from collections.abc import Mapping

from ssmgen.codegen import Source
from ssmgen.config import Config, Value
from ssmgen.device import DeviceFacts
from ssmgen.dtypes import accumulate
from ssmgen.kernels import Launch, Program, Variant, Workspace
from ssmgen.kernels.interfaces import INTERFACES
from ssmgen.problem import Problem

__all__ = ["CONFIG", "RowScan"]

CONFIG = Config.of("rows", {"num_warps": 1})

_BODY = """
import triton
import triton.language as tl


@triton.jit
def scan(a, b, states, a_stride_batch, a_stride_dim, b_stride_batch, b_stride_dim, dim, seqlen, STEP: tl.constexpr):
    batch = tl.program_id(0)
    channel = tl.program_id(1)
    a += batch * a_stride_batch + channel * a_stride_dim
    b += batch * b_stride_batch + channel * b_stride_dim
    states += (batch * dim + channel) * seqlen
    h = 0.0
    for t in range(0, seqlen, STEP):
        h = tl.load(a + t).to(tl.float32) * h + tl.load(b + t).to(tl.float32)
        tl.store(states + t, h)


@triton.jit
def write(states, out, out_stride_batch, out_stride_dim, dim, seqlen, BLOCK: tl.constexpr):
    batch = tl.program_id(0)
    channel = tl.program_id(1)
    time = tl.arange(0, BLOCK)
    h = tl.load(states + (batch * dim + channel) * seqlen + time, mask=time < seqlen)
    out += batch * out_stride_batch + channel * out_stride_dim
    tl.store(out + time, h.to(out.dtype.element_ty), mask=time < seqlen)
"""


class RowScan(Variant):
    """One program per row; the states pass through a workspace."""

    interface = INTERFACES["linear_scan"]
    name = "rows"
    language = "triton"
    template = "none"
    summary = "for tests"

    def __init__(self, body: str = _BODY) -> None:
        self.body = body

    def supports(self, problem: Problem) -> bool:
        return problem.option("layout") == "time"

    def choices(self, problem: Problem, facts: DeviceFacts) -> Mapping[str, tuple[Value, ...]]:
        return {"num_warps": (1,)}

    def default(self, problem: Problem, facts: DeviceFacts) -> Config:
        return CONFIG

    def context(self, problem: Problem, config: Config) -> Mapping[str, object]:
        return {}

    def source(self, problem: Problem, config: Config) -> Source:
        return Source("triton", "row_scan", self.body, Source.digest(self.body))

    def program(self, problem: Problem, config: Config) -> Program:
        sizes = (problem["batch"], problem["dim"], problem["seqlen"])
        grid = (sizes[0], sizes[1], 1)
        strides = ("a_stride_batch", "a_stride_dim", "b_stride_batch", "b_stride_dim")
        block = 1 << (sizes[2] - 1).bit_length()
        return Program(
            (
                Launch(
                    "scan",
                    ("a", "b", "states", *strides, "dim", "seqlen"),
                    grid,
                    (("STEP", 1),),
                    (("num_warps", 1),),
                ),
                Launch(
                    "write",
                    ("states", "out", "out_stride_batch", "out_stride_dim", "dim", "seqlen"),
                    grid,
                    (("BLOCK", block),),
                    (("num_warps", 1),),
                ),
            ),
            (Workspace("states", accumulate(problem.dtype), sizes),),
        )
