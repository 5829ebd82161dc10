"""The decode step: mamba-ssm's own cases, and what speculative decoding and continuous batching ask for."""

from __future__ import annotations

import itertools

import pytest
import torch

import ssmgen
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from tests.helpers import GPU, ON_GPU, step

TARGETS = ["cpu", "interpret", "reference", ON_GPU]
ITYPES = [torch.float32, torch.float16, torch.bfloat16]
pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]
Call = dict[str, torch.Tensor | bool | None]


def inputs(
    batch: int,
    *channels: int,
    d_state: int = 16,
    dtype: torch.dtype = torch.float32,
    groups: int = 0,
    tied: bool = False,
    gate: bool = True,
    target: str = "cpu",
) -> Call:
    """A call as mamba-ssm's tests make it, B and C in the inputs' dtype."""
    torch.manual_seed(sum(channels) + d_state)
    per_head = (*channels[:-1], 1) if tied else channels
    rates = (*channels[:-1], 1, 1) if tied else (*channels, d_state)
    rows = (batch, groups, d_state) if groups else (batch, d_state)
    call: Call = {
        "x": torch.randn(batch, *channels).to(dtype),
        "dt": torch.randn(batch, *per_head).to(dtype).expand(batch, *channels),
        "A": (-torch.rand(rates) - 1.0).expand(*channels, d_state),
        "B": torch.randn(rows).to(dtype),
        "C": torch.randn(rows).to(dtype),
        "D": torch.randn(per_head).expand(channels),
        "z": torch.randn(batch, *channels).to(dtype) if gate else None,
        "dt_bias": (torch.rand(per_head) - 4.0).expand(channels),
        "dt_softplus": True,
    }
    device = "cuda" if target == GPU else "cpu"
    return {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in call.items()}


def states_of(
    call: Call, d_state: int = 16, dtype: torch.dtype | None = None, slots: int = 0
) -> torch.Tensor:
    x = call["x"]
    assert isinstance(x, torch.Tensor)
    shape = (slots or x.shape[0], *x.shape[1:], d_state)
    return torch.randn(shape).to(x.device, dtype or x.dtype)


# mamba-ssm's parametrisation; in the inner loop a corner of it.
SIZES = [
    pytest.param(dim, d_state, marks=[] if (dim, d_state) == (2064, 32) else [pytest.mark.slow])
    for dim, d_state in itertools.product([2048, 2064, 4096], [16, 32, 64])
]
HEADED = [
    pytest.param(dim, d_state, marks=[] if (dim, d_state) == (2048, 16) else [pytest.mark.slow])
    for dim, d_state in itertools.product([2048, 4096], [16, 32, 64])
]


def check_upstream(
    call: Call, itype: torch.dtype, d_state: int, limits: tuple[float, float], slots: int
) -> None:
    """As mamba-ssm's tests check it, B and C in float32 beside inputs in half precision."""
    for name in ("B", "C"):
        row = call[name]
        assert isinstance(row, torch.Tensor)
        call[name] = row.float()
    x = call["x"]
    assert isinstance(x, torch.Tensor)
    state = states_of(call, d_state, itype, slots)
    given: dict[str, torch.Tensor] = {}
    rows = torch.arange(x.shape[0])
    if slots:
        rows = torch.randperm(slots)[: x.shape[0]].int()
        given["state_batch_indices"] = rows
    wanted, last = step(state[rows], **call)  # type: ignore[arg-type]
    out = ssmgen.selective_state_update(state, **call, **given)  # type: ignore[arg-type]
    rtol, atol = limits
    assert out.dtype == itype
    assert torch.allclose(state[rows].double(), last.to(itype).double(), rtol=rtol, atol=atol)
    assert torch.allclose(out.double(), wanted.to(itype).double(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("itype", ITYPES, ids=str)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize(("dim", "d_state"), SIZES)
def test_upstream(dim: int, d_state: int, gate: bool, itype: torch.dtype) -> None:
    limits = {torch.float32: (3e-4, 1e-3), torch.float16: (5e-3, 1e-2), torch.bfloat16: (1e-2, 5e-2)}
    check_upstream(inputs(2, dim, d_state=d_state, dtype=itype, gate=gate), itype, d_state, limits[itype], 0)


@pytest.mark.parametrize("itype", ITYPES, ids=str)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize(("dim", "d_state"), SIZES)
def test_upstream_with_indices(dim: int, d_state: int, gate: bool, itype: torch.dtype) -> None:
    limits = {torch.float32: (3e-4, 1e-3), torch.float16: (5e-3, 1e-2), torch.bfloat16: (6e-2, 6e-2)}
    check_upstream(
        inputs(16, dim, d_state=d_state, dtype=itype, gate=gate), itype, d_state, limits[itype], 160
    )


@pytest.mark.parametrize("itype", ITYPES, ids=str)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("dim", "d_state"), HEADED)
def test_upstream_with_heads(
    dim: int, d_state: int, groups: int, tied: bool, gate: bool, itype: torch.dtype
) -> None:
    call = inputs(2, dim // 64, 64, d_state=d_state, dtype=itype, groups=groups, tied=tied, gate=gate)
    limits = {torch.float32: (3e-4, 1e-3), torch.float16: (5e-3, 3e-2), torch.bfloat16: (1e-2, 1e-1)}
    check_upstream(call, itype, d_state, limits[itype], 0)


@pytest.mark.slow
@pytest.mark.parametrize("itype", ITYPES, ids=str)
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("dim", "d_state"), HEADED)
def test_upstream_with_heads_and_indices(
    dim: int, d_state: int, groups: int, tied: bool, gate: bool, itype: torch.dtype
) -> None:
    call = inputs(16, dim // 64, 64, d_state=d_state, dtype=itype, groups=groups, tied=tied, gate=gate)
    limits = {torch.float32: (3e-4, 1e-3), torch.float16: (5e-3, 3e-2), torch.bfloat16: (1e-1, 1e-1)}
    check_upstream(call, itype, d_state, limits[itype], 160)


OMISSIONS = [(), ("D",), ("dt_bias",), ("D", "dt_bias", "z", "dt_softplus")]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("left_out", OMISSIONS, ids=str)
@pytest.mark.parametrize("tied", [False, True])
def test_what_is_left_out(target: str, left_out: tuple[str, ...], tied: bool) -> None:
    """D=None and dt_bias=None: wrong in a peer."""
    call = inputs(3, 4, 10, d_state=7, groups=2, tied=tied, target=target)
    if "dt_softplus" in left_out:
        call["dt"] = call["dt"].abs()  # type: ignore[union-attr]
    call = {name: x for name, x in call.items() if name not in left_out}
    state = states_of(call, 7)
    wanted, last = step(state, **call)  # type: ignore[arg-type]
    out = ssmgen.selective_state_update(state, **call, target=target)  # type: ignore[arg-type]
    assert relative_error(out, wanted) <= 2e-6
    assert relative_error(state, last) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtypes", [(torch.float16, torch.float32), (torch.float32, torch.float16)], ids=str)
@pytest.mark.parametrize("channels", [(12,), (2, 6)], ids=str)
def test_state_has_a_dtype_of_its_own(
    target: str, dtypes: tuple[torch.dtype, torch.dtype], channels: tuple[int, ...]
) -> None:
    call = inputs(2, *channels, dtype=dtypes[0], target=target)
    state = states_of(call, dtype=dtypes[1])
    wanted, last = step(state, **call)  # type: ignore[arg-type]
    out = ssmgen.selective_state_update(state, **call, target=target)  # type: ignore[arg-type]
    assert (out.dtype, state.dtype) == dtypes
    assert relative_error(out, wanted) <= (2e-6 if dtypes[0] == torch.float32 else 5e-4)
    assert relative_error(state, last) <= (2e-6 if dtypes[1] == torch.float32 else 5e-4)


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("inputs_dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("state_dtype", [torch.float64, torch.float32], ids=str)
def test_double_precision(target: str, inputs_dtype: torch.dtype, state_dtype: torch.dtype) -> None:
    if inputs_dtype == state_dtype == torch.float32:
        pytest.skip("no double precision in it")
    call = inputs(2, 6, dtype=inputs_dtype)
    state = states_of(call, dtype=state_dtype)
    wanted, last = step(state, **call)  # type: ignore[arg-type]
    out = ssmgen.selective_state_update(state, **call, target=target)  # type: ignore[arg-type]
    assert relative_error(out, wanted) <= (1e-13 if inputs_dtype == torch.float64 else 1e-7)
    assert relative_error(state, last) <= (1e-13 if state_dtype == torch.float64 else 1e-7)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64], ids=str)
def test_padding_and_rows_that_are_not_named_stay_as_they_are(target: str, index_dtype: torch.dtype) -> None:
    call = inputs(4, 10, d_state=5, target=target)
    state = states_of(call, 5, slots=7)
    state[0] = float("nan")
    before = state.clone()
    rows = torch.tensor([5, -1, 2, -7], dtype=index_dtype, device=state.device)
    wanted, last = step(state[rows.clamp(min=1)], **call)  # type: ignore[arg-type]
    out = ssmgen.selective_state_update(state, **call, state_batch_indices=rows, target=target)  # type: ignore[arg-type]
    assert out[[1, 3]].eq(0).all()
    assert relative_error(out[[0, 2]], wanted[[0, 2]]) <= 2e-6
    assert relative_error(state[[5, 2]], last[[0, 2]]) <= 2e-6
    others = [0, 1, 3, 4, 6]
    assert torch.equal(state[others].nan_to_num(7.0), before[others].nan_to_num(7.0))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", [(10,), (2, 5)], ids=str)
@pytest.mark.parametrize("tied", [False, True])
def test_several_tokens_are_one_after_another(target: str, channels: tuple[int, ...], tied: bool) -> None:
    tokens = 5
    calls = [inputs(3, *channels, d_state=6, groups=1, tied=tied, target=target) for _ in range(tokens)]
    for seed, call in enumerate(calls):
        torch.manual_seed(seed)
        for name in ("x", "B", "C", "z"):
            call[name] = torch.randn_like(call[name])  # type: ignore[arg-type]
    together: Call = {
        name: torch.stack([call[name] for call in calls], dim=1) if name in ("x", "B", "C", "z") else x  # type: ignore[misc]
        for name, x in calls[0].items()
    }
    dt = calls[0]["dt"]
    assert isinstance(dt, torch.Tensor)
    together["dt"] = dt[:, None].expand(-1, tokens, *channels)
    state = states_of(calls[0], 6, slots=5)
    rows = torch.tensor([4, -1, 0], device=state.device)
    one_by_one, before = state.clone(), state.clone()
    wanted = [
        ssmgen.selective_state_update(one_by_one, **call, state_batch_indices=rows, target=target)  # type: ignore[arg-type]
        for call in calls
    ]
    kept = torch.full((3, tokens, *state.shape[1:]), 7.0, device=state.device)
    options = {"state_batch_indices": rows, "intermediate_states": kept, "target": target}
    tried = ssmgen.selective_state_update(state, **together, **options, update_state=False)  # type: ignore[arg-type]
    assert torch.equal(state, before)
    out = ssmgen.selective_state_update(state, **together, **options)  # type: ignore[arg-type]
    assert torch.equal(out, tried)
    assert relative_error(out, torch.stack(wanted, dim=1)) <= 2e-6
    assert relative_error(state, one_by_one) <= 2e-6
    assert torch.equal(kept[[0, 2], -1], state[[4, 0]])
    assert kept[1].eq(7.0).all()
    # Two tokens of the first sequence are accepted: the third goes on from there.
    resumed = kept[:1, 1].clone()
    third = {name: x[:1] if name in ("x", "dt", "B", "C", "z") else x for name, x in calls[2].items()}  # type: ignore[index]
    again = ssmgen.selective_state_update(resumed, **third, target=target)  # type: ignore[arg-type]
    assert relative_error(again, wanted[2][:1]) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("groups", [1, 3])
def test_steps_continue_a_scan(target: str, groups: int) -> None:
    torch.manual_seed(0)
    device = "cuda" if target == GPU else "cpu"
    batch, dim, length, d_state = 2, 6, 9, 5
    u, delta, z = (torch.randn(batch, dim, length, device=device) for _ in range(3))
    A = -torch.rand(dim, d_state, device=device)
    B, C = (torch.randn(batch, groups, d_state, length, device=device) for _ in range(2))
    D, bias = torch.randn(dim, device=device), torch.rand(dim, device=device)
    wanted, last = ssmgen.selective_scan(u, delta, A, B, C, D, z, bias, True, True, target="reference")
    _, state = ssmgen.selective_scan(
        u[..., :4],
        delta[..., :4],
        A,
        B[..., :4],
        C[..., :4],
        D,
        z[..., :4],
        bias,
        True,
        True,
        target="reference",
    )
    for t in range(4, length):
        steps = (x[..., t] for x in (u, delta))
        out = ssmgen.selective_state_update(
            state, *steps, A, B[..., t], C[..., t], D, z[..., t], bias, True, target=target
        )
        assert relative_error(out, wanted[..., t]) <= 2e-6
    assert relative_error(state, last) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
def test_strides(target: str) -> None:
    """Parts of wider tensors, every other channel, and states that do not lie side by side."""
    call = inputs(2, 4, 6, d_state=8, groups=2, target=target)
    wide: Call = {}
    for name, x in call.items():
        if isinstance(x, torch.Tensor) and name in ("x", "dt", "B", "C", "z"):
            wide[name] = torch.cat([torch.full_like(x, torch.nan), x], dim=-1)[..., x.shape[-1] :]
        else:
            wide[name] = x
    wide["x"] = wide["x"].repeat_interleave(2, dim=-1)[..., ::2]  # type: ignore[union-attr]
    first = states_of(call, 8)
    wanted, last = step(first, **call)  # type: ignore[arg-type]
    for state in (
        first.clone(),
        torch.cat([first, first], dim=2)[:, :, :6],
        first.transpose(0, 1).contiguous().transpose(0, 1),
        first.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        out = ssmgen.selective_state_update(state, **wide, target=target)  # type: ignore[arg-type]
        assert out.is_contiguous()
        assert relative_error(out, wanted) <= 2e-6
        assert relative_error(state, last) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("groups", [0, 1, 2])
def test_states_without_heads_that_do_not_lie_side_by_side(target: str, groups: int) -> None:
    call = inputs(2, 6, d_state=5, groups=groups, target=target)
    first = states_of(call, 5)
    wanted, last = step(first, **call)  # type: ignore[arg-type]
    state = first.transpose(1, 2).contiguous().transpose(1, 2)
    out = ssmgen.selective_state_update(state, **call, target=target)  # type: ignore[arg-type]
    assert relative_error(out, wanted) <= 2e-6
    assert relative_error(state, last) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
def test_indices_that_32_bits_do_not_hold_are_padding(target: str) -> None:
    call = inputs(3, 6, d_state=5, target=target)
    state = states_of(call, 5)
    before = state.clone()
    rows = torch.tensor([2, torch.iinfo(torch.int64).min, -(2**33) + 1], device=state.device)
    out = ssmgen.selective_state_update(state, **call, state_batch_indices=rows, target=target)  # type: ignore[arg-type]
    assert out[1:].eq(0).all()
    assert torch.equal(state[:2], before[:2])
    assert not torch.equal(state[2], before[2])


@pytest.mark.parametrize("tied", [False, True])
def test_a_nan_with_a_payload_stays_one(tied: bool) -> None:
    """Some bits of one are an exponent to those who add integers to it."""
    call = inputs(1, 2, 4, d_state=3, groups=1, tied=tied)
    rates = call["A"].clone() if tied else call["A"]  # type: ignore[union-attr]
    assert isinstance(rates, torch.Tensor)
    bits = rates.view(torch.int32)
    bits[0] = -1
    call["A"] = rates[:, :1, :1].expand(2, 4, 3) if tied else rates
    state = states_of(call, 3)
    out = ssmgen.selective_state_update(state, **call)  # type: ignore[arg-type]
    assert state[0, 0].isnan().all()
    assert out[0, 0].isnan().all()
    assert state[0, 1].isfinite().all()


@pytest.mark.parametrize("target", TARGETS)
def test_out_is_written_and_returned(target: str) -> None:
    call = inputs(2, 3, 4, d_state=5, groups=1, target=target)
    state = states_of(call, 5)
    wanted, _ = step(state, **call)  # type: ignore[arg-type]
    out = torch.full((2, 6, 4), torch.nan, device=state.device)[:, ::2]
    found = ssmgen.selective_state_update(state, **call, out=out, target=target)  # type: ignore[arg-type]
    assert found is out
    assert relative_error(out, wanted) <= 2e-6


def test_autograd_sees_that_the_state_has_changed() -> None:
    call = inputs(2, 6)
    state = states_of(call)
    weight = torch.ones((), requires_grad=True)
    loss = (weight * state).sum()
    ssmgen.selective_state_update(state, **call)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_no_transform_takes_silence_for_a_gradient() -> None:
    call = inputs(2, 6)
    state = states_of(call)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return ssmgen.selective_state_update(state, **{**call, "x": x}).sum()  # type: ignore[arg-type]

    with pytest.raises(InvalidInputError, match="no gradients"):
        torch.func.grad(loss)(call["x"])
    compiled = torch.compile(
        lambda state: ssmgen.selective_state_update(state * 1.0, **call),  # type: ignore[arg-type]
        backend="aot_eager",
    )
    with pytest.raises(Exception, match="have no gradients"):
        compiled(state.clone().requires_grad_())


def test_parameters_of_a_model_may_require_gradients() -> None:
    call = inputs(2, 6)
    call["A"] = call["A"].clone().requires_grad_()  # type: ignore[union-attr]
    state = states_of(call)
    assert not ssmgen.selective_state_update(state, **call).requires_grad  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="selective_scan"):
        ssmgen.selective_state_update(state.requires_grad_(), **call)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 5)}, r"dim=6"),
        ({"state": torch.zeros(2, 16)}, "state must be"),
        ({"state": torch.zeros(3, 6, 16)}, "state holds 3 sequences and x 2"),
        ({"state": torch.zeros(2, 6, 16, dtype=torch.complex64)}, "real"),
        ({"B": torch.zeros(2, 16, 1, 1)}, r"\[groups,\] d_state"),
        ({"B": torch.zeros(2, 4, 16), "C": torch.zeros(2, 4, 16)}, "4 groups"),
        ({"C": torch.zeros(2, 15)}, "d_state=16"),
        ({"D": torch.zeros(1)}, "D has shape"),
        ({"A": [1.0]}, "must be a torch.Tensor, not list"),
        ({"x": torch.zeros(0, 6), "dt": torch.zeros(0, 6), "z": torch.zeros(0, 6)}, "at least 1"),
        ({"state_batch_indices": torch.tensor([0, 2])}, "row 2, but state has 2 rows"),
        ({"state_batch_indices": torch.tensor([0.0, 1.0])}, "int32 or int64"),
        ({"state_batch_indices": torch.tensor([1, 1])}, "a row twice"),
        ({"state": torch.zeros(1, 6, 16).expand(2, 6, 16)}, "state is written in place, but was expanded"),
        ({"state": torch.zeros(2, 6, 16, dtype=torch.complex64).conj().imag}, "resolve_neg"),
        ({"out": torch.zeros(1, 6).expand(2, 6)}, "out is written in place, but was expanded"),
        ({"out": torch.zeros(2, 6, dtype=torch.complex64).conj().imag}, "resolve_neg"),
        ({"target": ["cpu"]}, "target must be the name"),
        ({"out": torch.zeros(2, 6, dtype=torch.float64)}, "out must be torch.float32"),
        ({"intermediate_states": torch.zeros(2, 6, 8)}, "intermediate_states"),
        ({"intermediate_states": torch.zeros(2, 6, 16).half()}, "state's dtype"),
    ],
    ids=lambda given: given if isinstance(given, str) else ",".join(given),
)
def test_bad_input_is_explained_and_nothing_is_written(change: Call, message: str) -> None:
    call = inputs(2, 6)
    state = states_of(call)
    before = state.clone()
    with pytest.raises(InvalidInputError, match=message):
        ssmgen.selective_state_update(**{"state": state, **call, **change})  # type: ignore[arg-type]
    assert torch.equal(state, before)
