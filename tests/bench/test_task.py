from __future__ import annotations

import pytest
import torch

from ssmgen.bench import Task
from ssmgen.bench.task import draw, expected
from ssmgen.errors import InvalidInputError
from tests.helpers import make_problem


def test_the_bytes_are_those_of_the_operands() -> None:
    task = Task(make_problem("linear_scan", dim=8, seqlen=16), "forward", 1)
    assert task.bytes == 3 * 8 * 16 * 4
    # Backward reads a, h and dout, and writes da and db.
    assert Task(task.problem, "backward", 1).bytes == 5 * 8 * 16 * 4
    assert Task(task.problem, "training", 1).bytes == 8 * 8 * 16 * 4


def test_a_state_that_is_updated_is_read_and_written() -> None:
    problem = make_problem("selective_state_update", dim=8, d_state=4)
    without = Task(problem.with_options(update=False), "forward", 1)
    assert Task(problem, "forward", 1).bytes - without.bytes == 8 * 4 * 4


def test_what_is_checked_is_shortened_where_float64_would_take_minutes() -> None:
    long = Task(make_problem("selective_scan", dim=64, seqlen=1 << 20), "forward", 1)
    assert long.checked.problem["seqlen"] == 1 << 15
    assert long.checked.problem["dim"] == 64
    short = Task(make_problem("selective_scan"), "training", 1)
    assert short.checked is short


def test_the_same_inputs_every_time_and_gradients_of_all_that_is_trained() -> None:
    task = Task(make_problem("cauchy_mult", rows=2, poles=3, nodes=5), "training", 1)
    first, second = draw(task, "cpu"), draw(task, "cpu")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(expected(task, "cpu")) == {"out", "dv", "dw"}


def test_the_dplr_kernel_is_compared_in_time() -> None:
    task = Task(make_problem("dplr_kernel", dim=2, poles=3, seqlen=8), "forward", 1)
    assert expected(task, "cpu")["out"].shape == (1, 2, 8)


def test_decoding_has_no_gradients() -> None:
    with pytest.raises(InvalidInputError, match="no gradients"):
        Task(make_problem("selective_state_update"), "training", 1)


def test_rows_are_given_as_a_projection_gives_them() -> None:
    bf16 = draw(Task(make_problem("selective_scan", "bf16", dim=4, seqlen=8), "forward", 1), "cpu")
    assert {bf16[name].dtype for name in ("u", "delta", "B", "C")} == {torch.bfloat16}
    pairs = draw(
        Task(make_problem("selective_scan", "bf16", complex=True, dim=4, seqlen=8), "forward", 1), "cpu"
    )
    assert pairs["B"].is_complex()
