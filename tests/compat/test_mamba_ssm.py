"""mamba-ssm's scan: its own tests' parameters and tolerances, against the reference and float64, on every target."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from ssmgen import settings
from ssmgen.compat import mamba_ssm
from ssmgen.compat.mamba_ssm import selective_scan_fn, selective_scan_ref
from ssmgen.errors import InvalidInputError
from tests.compat import formulas

pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")

TOLERANCES = {
    torch.float32: (6e-4, 2e-3),
    torch.float16: (3e-3, 5e-3),
    torch.bfloat16: (3e-2, 5e-2),
}
LENGTHS = [128, 256, *(pytest.param(length, marks=pytest.mark.slow) for length in (512, 1024, 2048, 4096))]


def inputs(
    seqlen: int,
    itype: torch.dtype = torch.float32,
    wtype: torch.dtype = torch.float32,
    *,
    groups: int = 1,
    variable_B: bool = True,
    variable_C: bool = True,
) -> dict[str, Any]:
    """What mamba-ssm's tests draw."""
    torch.manual_seed(0)
    batch, dim, d_state = 2, 4, 8
    length = 2 * seqlen if wtype.is_complex else seqlen
    shape = (batch, d_state, length) if groups == 1 else (batch, groups, d_state, length)
    tensors = {
        "A": -0.5 * torch.rand(dim, d_state, dtype=wtype),
        "B": torch.randn(shape, dtype=itype) if variable_B else torch.randn(dim, d_state, dtype=wtype),
        "C": torch.randn(shape, dtype=itype) if variable_C else torch.randn(dim, d_state, dtype=wtype),
        "D": torch.randn(dim),
        "z": torch.randn(batch, dim, seqlen, dtype=itype),
        "delta_bias": 0.5 * torch.rand(dim),
        "u": torch.randn(batch, dim, seqlen, dtype=itype),
        "delta": 0.5 * torch.rand(batch, dim, seqlen, dtype=itype),
    }
    return {name: x.requires_grad_() for name, x in tensors.items()} | {"delta_softplus": True}


def copies(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: x.detach().clone().requires_grad_() if isinstance(x, Tensor) else x for name, x in given.items()
    }


def check(given: dict[str, Any], itype: torch.dtype) -> None:
    rtol, atol = TOLERANCES[itype]
    again, exact = copies(given), copies(given)
    out, state = selective_scan_fn(**given, return_last_state=True)
    wanted, wanted_state = selective_scan_ref(**again, return_last_state=True)
    true, true_state = formulas.scan(**exact)
    assert out.dtype == wanted.dtype == itype
    assert state.dtype == wanted_state.dtype == given["A"].dtype
    for found, other in ((out, wanted), (out, true), (state, wanted_state), (state, true_state)):
        torch.testing.assert_close(found, other.to(found.dtype), rtol=rtol, atol=atol)
    g = torch.randn_like(out)
    out.backward(g)
    wanted.backward(g)
    true.backward(g.double())
    for name, x in given.items():
        if not isinstance(x, Tensor):
            continue
        # The factors with which mamba-ssm's tests widen the tolerances of gradients; sums over time widen dA's more.
        more = {"delta": (5, 10), "A": (5, 10)}.get(name, (2, 2))
        for other in (again[name].grad, exact[name].grad):
            assert x.grad is not None
            assert other is not None
            torch.testing.assert_close(
                x.grad,
                other.to(x.dtype),
                rtol=more[0] * rtol,
                atol=more[1] * atol,
                msg=lambda m, n=name: f"d{n}: {m}",
            )


@pytest.mark.parametrize("itype", TOLERANCES)
@pytest.mark.parametrize("seqlen", LENGTHS)
@pytest.mark.parametrize("groups", [1, 2])
def test_selective_scan(groups: int, seqlen: int, itype: torch.dtype) -> None:
    check(inputs(seqlen, itype, groups=groups), itype)


@pytest.mark.parametrize("wtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("variable_C", [False, True])
@pytest.mark.parametrize("variable_B", [False, True])
def test_constant_rows_and_complex_numbers(variable_B: bool, variable_C: bool, wtype: torch.dtype) -> None:
    check(inputs(100, wtype=wtype, variable_B=variable_B, variable_C=variable_C), torch.float32)


def test_complex_rows_in_groups_are_interleaved() -> None:
    given = inputs(64, wtype=torch.complex64, groups=2)
    assert given["B"].shape[-1] == 128
    check(given, torch.float32)


@pytest.mark.parametrize("target", ["interpret", "reference"])
def test_the_target_is_that_of_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_TARGET", target)
    assert settings.get("SSMGEN_TARGET") == target
    given = {name: x.detach() if isinstance(x, Tensor) else x for name, x in inputs(20).items()}
    out = selective_scan_fn(**given)
    assert isinstance(out, Tensor)
    torch.testing.assert_close(out, formulas.scan(**given)[0].float(), rtol=6e-4, atol=2e-3)


def test_float64_stays_float64() -> None:
    given = {name: x.detach().double() if isinstance(x, Tensor) else x for name, x in inputs(50).items()}
    wanted, wanted_state = formulas.scan(**given)
    for scan in (selective_scan_fn, selective_scan_ref):
        out, state = scan(**given, return_last_state=True)
        torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state, wanted_state, rtol=1e-12, atol=1e-12)


def test_without_options_and_with_positional_arguments() -> None:
    given = inputs(30)
    u, delta, A, B, C, D = (given[name].detach() for name in ("u", "delta", "A", "B", "C", "D"))
    out = selective_scan_fn(u, delta, A, B, C)
    assert isinstance(out, Tensor)
    torch.testing.assert_close(out, formulas.scan(u, delta, A, B, C)[0].float(), rtol=6e-4, atol=2e-3)
    out, state = selective_scan_fn(u, delta, A, B, C, D, None, None, False, True)
    assert state.shape == (2, 4, 8)


def test_autocast_leaves_a_scan_as_it_is() -> None:
    given = {name: x.detach() if isinstance(x, Tensor) else x for name, x in inputs(40).items()}
    plain = selective_scan_fn(**given, return_last_state=True)
    with torch.autocast("cpu", torch.bfloat16):
        cast = selective_scan_fn(**given, return_last_state=True)
    for found, wanted in zip(cast, plain, strict=True):
        assert torch.equal(found, wanted)


SCAN = "u delta A B C D=None z=None delta_bias=None delta_softplus=False return_last_state=False"
INNER = (
    "xz conv1d_weight conv1d_bias x_proj_weight delta_proj_weight out_proj_weight out_proj_bias A B=None C=None "
    "D=None delta_bias=None B_proj_bias=None C_proj_bias=None delta_softplus=True"
)
NORMS = "checkpoint_lvl=1 b_rms_weight=None c_rms_weight=None dt_rms_weight=None b_c_dt_rms_eps=1e-06"
SIGNATURES = {
    "selective_scan_fn": SCAN,
    "selective_scan_ref": SCAN,
    "mamba_inner_fn": f"{INNER} {NORMS}",
    "mamba_inner_ref": INNER,
    "selective_state_update": (
        "state x dt A B C D=None z=None dt_bias=None dt_softplus=False state_batch_indices=None"
    ),
    "mamba_chunk_scan_combined": (
        "x dt A B C chunk_size D=None z=None dt_bias=None initial_states=None seq_idx=None cu_seqlens=None "
        "dt_softplus=False dt_limit=(0.0, inf) return_final_states=False return_varlen_states=False"
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_mamba_ssm(name: str) -> None:
    parameters = inspect.signature(getattr(mamba_ssm, name)).parameters.values()
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    found = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert " ".join(found) == SIGNATURES[name]
    assert name in mamba_ssm.__all__


def test_the_scan_of_mamba_2_returns_the_states_of_packed_sequences() -> None:
    torch.manual_seed(0)
    x, dt, A = torch.randn(1, 9, 2, 3), torch.rand(1, 9, 2), -torch.rand(2)
    B, C, first = torch.randn(1, 9, 1, 4), torch.randn(1, 9, 1, 4), torch.randn(1, 2, 3, 4)
    numbers, bounds = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]]), torch.tensor([0, 4, 9])
    out, final, states = mamba_ssm.mamba_chunk_scan_combined(
        x,
        dt,
        A,
        B,
        C,
        256,
        initial_states=first,
        seq_idx=numbers,
        cu_seqlens=bounds,
        return_final_states=True,
        return_varlen_states=True,
    )
    plain, last = mamba_ssm.mamba_chunk_scan_combined(
        x, dt, A, B, C, 256, initial_states=first, seq_idx=numbers, return_final_states=True
    )
    _, middle = mamba_ssm.mamba_chunk_scan_combined(
        x[:, :4], dt[:, :4], A, B[:, :4], C[:, :4], 256, initial_states=first, return_final_states=True
    )
    assert torch.allclose(out, plain, atol=1e-6)
    assert torch.allclose(final, last, atol=1e-6)
    assert torch.allclose(states, torch.cat([middle, last]), atol=1e-6)
    with pytest.raises(InvalidInputError, match="by cu_seqlens"):
        mamba_ssm.mamba_chunk_scan_combined(x, dt, A, B, C, 256, return_varlen_states=True)
