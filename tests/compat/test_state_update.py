"""One step of decoding by the names of mamba-ssm; the cases of its tests are in tests/ops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ssmgen.compat.mamba_ssm import selective_state_update, selective_state_update_ref
from tests.helpers import step

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")


@pytest.mark.parametrize("update", [selective_state_update, selective_state_update_ref])
@pytest.mark.parametrize("tied", [False, True])
def test_a_step_by_position(update: Callable[..., torch.Tensor], tied: bool) -> None:
    torch.manual_seed(0)
    batch, heads, dim, d_state, groups = 2, 4, 6, 5, 2
    state, x, z = torch.randn(7, heads, dim, d_state), *torch.randn(2, batch, heads, dim)
    width = 1 if tied else dim
    dt = torch.randn(batch, heads, width).expand(-1, -1, dim)
    dt_bias, D = (torch.rand(2, heads, width) - 4.0).expand(-1, -1, dim)
    A = (-torch.rand(heads, width, 1 if tied else d_state)).expand(-1, dim, d_state)
    B, C = torch.randn(2, batch, groups, d_state)
    rows = torch.tensor([5, 2], dtype=torch.int32)
    wanted, after = step(state[rows], x, dt, A, B, C, D, z, dt_bias, dt_softplus=True)
    given = (state, x, dt, A, B, C, D, z, dt_bias, True)
    if update is selective_state_update:
        out = update(*given, rows)
    else:
        state = state[rows].clone()
        out, rows = update(state, *given[1:]), torch.arange(2)
    torch.testing.assert_close(out, wanted.float())
    torch.testing.assert_close(state[rows], after.float())


def test_a_step_without_heads() -> None:
    torch.manual_seed(0)
    state, x, dt = torch.randn(3, 8, 4), torch.randn(2, 8), torch.rand(2, 8)
    A, (B, C) = -torch.rand(8, 4), torch.randn(2, 2, 4)
    before = state.clone()
    where = torch.tensor([-1, 2], dtype=torch.int32)
    wanted, after = step(before[2:], x[1:], dt[1:], A, B[1:], C[1:])
    out = selective_state_update(state, x, dt, A, B, C, state_batch_indices=where)
    assert not out[0].any()
    torch.testing.assert_close(out[1:], wanted.float())
    torch.testing.assert_close(state[2:], after.float())
    assert torch.equal(state[:2], before[:2])
