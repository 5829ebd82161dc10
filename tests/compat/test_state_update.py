"""One step of decoding: mamba-ssm's own tests' parameters and tolerances, against float64."""

from __future__ import annotations

import pytest
import torch

import ssmgen
from ssmgen.compat.mamba_ssm import selective_state_update
from tests.compat import formulas

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.skipif(
        not hasattr(ssmgen, "selective_state_update"), reason="ssmgen has no selective_state_update yet"
    ),
]

TOLERANCES = {
    torch.float32: (3e-4, 1e-3),
    torch.float16: (5e-3, 1e-2),
    torch.bfloat16: (1e-2, 5e-2),
}
DIMS = [2048 + 16, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (2048, 4096))]


@pytest.mark.parametrize("itype", TOLERANCES)
@pytest.mark.parametrize("has_z", [False, True])
@pytest.mark.parametrize("d_state", [16, 32, 64])
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_step(indexed: bool, dim: int, d_state: int, has_z: bool, itype: torch.dtype) -> None:
    torch.manual_seed(0)
    rtol, atol = TOLERANCES[itype]
    batch = 4 if indexed else 2
    state = torch.randn(10 * batch if indexed else batch, dim, d_state, dtype=itype)
    x, dt = (torch.randn(batch, dim, dtype=itype) for _ in range(2))
    z = torch.randn_like(x) if has_z else None
    dt_bias, D = torch.rand(dim) - 4.0, torch.randn(dim)
    A = -torch.rand(dim, d_state) - 1.0
    B, C = torch.randn(2, batch, d_state)
    where = torch.randperm(len(state))[:batch].to(torch.int32) if indexed else None
    rows = slice(None) if where is None else where
    others = torch.ones(len(state), dtype=torch.bool)
    others[rows] = False
    before = state.clone()
    wanted, after = formulas.step(
        *(x[:, None] for x in (before[rows], x, dt)),
        A[None],
        B[:, None],
        C[:, None],
        D[None],
        None if z is None else z[:, None],
        dt_bias[None],
        dt_softplus=True,
    )
    options = {} if where is None else {"state_batch_indices": where}
    out = selective_state_update(
        state, x, dt, A, B, C, D=D, z=z, dt_bias=dt_bias, dt_softplus=True, **options
    )
    assert out.dtype == itype
    torch.testing.assert_close(out, wanted[:, 0].to(itype), rtol=rtol, atol=atol)
    torch.testing.assert_close(state[rows], after[:, 0].to(itype), rtol=rtol, atol=atol)
    assert torch.equal(state[others], before[others])


@pytest.mark.parametrize("itype", TOLERANCES)
@pytest.mark.parametrize("has_z", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("d_state", [16, pytest.param(64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_step_with_heads(
    indexed: bool, d_state: int, groups: int, tied: bool, has_z: bool, itype: torch.dtype
) -> None:
    torch.manual_seed(0)
    rtol, atol = TOLERANCES[itype][0], max(TOLERANCES[itype][1], 3e-2 if itype.itemsize == 2 else 0.0)
    batch, heads, dim = 2, 32, 64
    state = torch.randn(10 * batch if indexed else batch, heads, dim, d_state, dtype=itype)
    x = torch.randn(batch, heads, dim, dtype=itype)
    if tied:
        dt = torch.randn(batch, heads, 1, dtype=itype).expand(-1, -1, dim)
        dt_bias = (torch.rand(heads, 1) - 4.0).expand(-1, dim)
        A = (-torch.rand(heads, 1, 1) - 1.0).expand(-1, dim, d_state)
        D = torch.randn(heads, 1).expand(-1, dim)
    else:
        dt = torch.randn(batch, heads, dim, dtype=itype)
        dt_bias, D = torch.rand(heads, dim) - 4.0, torch.randn(heads, dim)
        A = -torch.rand(heads, dim, d_state) - 1.0
    z = torch.randn_like(x) if has_z else None
    B, C = torch.randn(2, batch, groups, d_state)
    where = torch.randperm(len(state))[:batch].to(torch.int32) if indexed else None
    rows = slice(None) if where is None else where
    wanted, after = formulas.step(state[rows], x, dt, A, B, C, D, z, dt_bias, dt_softplus=True)
    out = selective_state_update(state, x, dt, A, B, C, D, z, dt_bias, True, where)
    assert out.dtype == itype
    torch.testing.assert_close(out, wanted.to(itype), rtol=rtol, atol=atol)
    torch.testing.assert_close(state[rows], after.to(itype), rtol=rtol, atol=atol)


def test_a_negative_index_is_padding() -> None:
    torch.manual_seed(0)
    state, x, dt = torch.randn(3, 8, 4), torch.randn(2, 8), torch.rand(2, 8)
    A, (B, C) = -torch.rand(8, 4), torch.randn(2, 2, 4)
    before = state.clone()
    where = torch.tensor([-1, 2], dtype=torch.int32)
    out = selective_state_update(state, x, dt, A, B, C, state_batch_indices=where)
    assert not out[0].any()
    assert out[1].any()
    assert torch.equal(state[:2], before[:2])
    assert not torch.equal(state[2], before[2])
