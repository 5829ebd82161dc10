"""What compiled code may rely on, as the operands of a call show it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssmgen.kernels import Assumptions, interface
from ssmgen.kernels.interface import SMALL_BYTES
from ssmgen.problem import Problem
from tests.helpers import make_problem


def assumed(problem: Problem, **given: Tensor) -> Assumptions:
    """What holds for fresh operands on no device, but for those that are given."""
    face = interface(problem.op)
    operands = [given.get(x.name, x.allocate("meta")) for x in face.operands(problem)]
    return face.assumptions(problem, operands)


PROBLEM = make_problem("selective_state_update", "bf16", batch=2, dim=32, d_state=16)
NAMES = {operand.name for operand in interface(PROBLEM.op).operands(PROBLEM)}


def test_fresh_operands_are_aligned_small_and_dense() -> None:
    found = assumed(PROBLEM)
    assert found.small == NAMES
    assert found.dense == set(interface(PROBLEM.op).scalars(PROBLEM))
    assert found.aligned == NAMES | {"dim", "d_state"} | {name for name in found.dense if "_stride_" in name}


@pytest.mark.parametrize(
    ("stride", "is_small"),
    [((SMALL_BYTES - 2048) // 4, True), ((SMALL_BYTES - 2048) // 4 + 1, False), (2**33, False), (0, True)],
)
def test_small_is_what_an_operand_spans_not_what_it_holds(stride: int, is_small: bool) -> None:
    # The second row starts at `stride`; 32 x 16 states of 4 bytes end 2048 bytes on.
    state = torch.empty(1, device="meta").as_strided((2, 1, 32, 16), (stride, 512, 16, 1))
    found = assumed(PROBLEM, state=state)
    assert found.small == (NAMES if is_small else NAMES - {"state"})
    assert "state_stride_slot" not in found.dense
    assert "state_stride_dim" in found.dense


def test_strides_of_axes_with_one_place_do_not_count() -> None:
    state = torch.empty(1, device="meta").as_strided((2, 1, 32, 16), (512, 2**40, 16, 1))
    assert assumed(PROBLEM, state=state).small == NAMES


def test_a_view_is_as_aligned_as_its_first_element() -> None:
    memory = torch.zeros(2 * 32 * 16 + 4)
    aligned, shifted = (memory[at:][: 2 * 32 * 16].view(2, 1, 32, 16) for at in (0, 1))
    assert "state" in assumed(PROBLEM, state=aligned).aligned
    assert "state" not in assumed(PROBLEM, state=shifted).aligned
