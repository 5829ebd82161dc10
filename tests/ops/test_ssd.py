"""Mamba-2's scan: against the recurrence in float64, and against Mamba's with all that a head shares repeated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ssmgen
from ssmgen import reference
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from tests.helpers import GPU, ON_GPU

TARGETS = ["cpu", "interpret", "reference", ON_GPU]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4, torch.float64: 1e-12}
pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]


def draw(
    target: str = "cpu",
    dtype: torch.dtype = torch.float32,
    batch: int = 2,
    seqlen: int = 21,
    heads: int = 4,
    groups: int = 2,
) -> dict[str, Tensor]:
    """Every tensor of a call but those that pack sequences."""
    torch.manual_seed(seqlen)
    dim, d_state = 6, 5
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    drawn = {
        "x": torch.randn(batch, seqlen, heads, dim).to(dtype),
        "dt": torch.randn(batch, seqlen, heads).to(dtype),
        "A": -4 * torch.rand(heads, dtype=wide),
        "B": torch.randn(batch, seqlen, groups, d_state).to(dtype),
        "C": torch.randn(batch, seqlen, groups, d_state).to(dtype),
        "D": torch.randn(heads, dtype=wide),
        "z": torch.randn(batch, seqlen, heads, dim).to(dtype),
        "dt_bias": torch.randn(heads, dtype=wide),
        "initial_states": torch.randn(batch, heads, dim, d_state, dtype=wide),
    }
    return {name: x.to("cuda" if target == GPU else "cpu") for name, x in drawn.items()}


def by_steps(
    inputs: dict[str, Tensor],
    softplus: bool = True,
    scan: Callable[..., tuple[Tensor, Tensor]] = reference.ssd_by_steps,
    **given: Tensor,
) -> tuple[Tensor, Tensor]:
    names = {"initial_states": "initial_state"}
    call = {names.get(name, name): x for name, x in inputs.items()}
    call["D"] = call["D"][:, None] if call["D"].ndim == 1 else call["D"]
    return scan(**call, softplus=softplus, **given)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("seqlen", [1, 21, 150])
def test_agrees_with_the_recurrence(target: str, dtype: torch.dtype, seqlen: int) -> None:
    inputs = draw(target, dtype, seqlen=seqlen)
    out, last = ssmgen.ssd(**inputs, dt_softplus=True, return_final_states=True, target=target)
    wanted, wanted_last = by_steps(inputs)
    assert out.dtype == dtype
    assert last.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert relative_error(out, wanted) <= TOLERANCE[dtype]
    # GPUs make products of what memory holds, so that what the state is made of is rounded to it.
    rounded = TOLERANCE[dtype] if target in (GPU, "interpret") else 2e-6
    assert relative_error(last, wanted_last) <= max(rounded, 2e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_is_mambas_scan_of_what_the_channels_of_a_head_share(target: str) -> None:
    inputs = draw(target, torch.float64)
    heads, dim = 4, 6
    first = {name: x.requires_grad_() for name, x in inputs.items()}
    out, last = ssmgen.ssd(**first, dt_softplus=True, return_final_states=True, target=target)
    second = {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}

    def channels(x: Tensor) -> Tensor:
        return x.flatten(2).mT

    each = {name: second[name].repeat_interleave(dim, dim=-1) for name in ("dt", "A", "D", "dt_bias")}
    y, state = ssmgen.selective_scan(
        channels(second["x"]),
        each["dt"].mT,
        each["A"][:, None].expand(-1, 5),
        second["B"].permute(0, 2, 3, 1),
        second["C"].permute(0, 2, 3, 1),
        each["D"],
        channels(second["z"]),
        each["dt_bias"],
        True,
        True,
        initial_state=second["initial_states"].flatten(1, 2),
        target="reference",
    )
    assert relative_error(out, y.mT.unflatten(2, (heads, dim))) <= 1e-12
    assert relative_error(last, state.unflatten(1, (heads, dim))) <= 1e-12
    weights = torch.randn_like(out), torch.randn_like(last)
    mine = torch.autograd.grad([out, last], list(first.values()), weights)
    theirs = torch.autograd.grad(
        [y.mT.unflatten(2, (heads, dim)), state.unflatten(1, (heads, dim))], list(second.values()), weights
    )
    for name, found, wanted in zip(first, mine, theirs, strict=True):
        assert relative_error(found, wanted) <= 1e-11, name


@pytest.mark.parametrize("target", TARGETS)
def test_packed_sequences_equal_the_sequences_one_by_one(target: str) -> None:
    ends = [0, 1, 1, 8, 21]
    inputs = draw(target, batch=1)
    states = torch.randn(4, 4, 6, 5).to(inputs["x"].device)
    outs, lasts = [], []
    for index, (start, end) in enumerate(itertools.pairwise(ends)):
        own = states[index : index + 1]
        if start == end:
            lasts.append(own.double())
            continue
        piece = {
            name: x[:, start:end] if name in ("x", "dt", "B", "C", "z") else x for name, x in inputs.items()
        }
        out, last = by_steps({**piece, "initial_states": own})
        outs.append(out)
        lasts.append(last)
    bounds = torch.tensor(ends, device=states.device)
    call = {**inputs, "initial_states": states, "cu_seqlens": bounds}
    out, last = ssmgen.ssd(**call, dt_softplus=True, return_final_states=True, target=target)
    assert relative_error(out, torch.cat(outs, 1)) <= 2e-6
    assert relative_error(last, torch.cat(lasts)) <= 2e-6
    # The same by numbers, from and to states of the whole row.
    numbers = torch.searchsorted(bounds[1:], torch.arange(21, device=bounds.device), right=True)[None]
    call = {**inputs, "initial_states": states[:1], "seq_idx": numbers}
    found, last = ssmgen.ssd(**call, dt_softplus=True, return_final_states=True, target=target)
    piece = {n: x[:, 1:] if n in ("x", "dt", "B", "C", "z") else x for n, x in inputs.items()}
    zero = torch.zeros_like(states[:1])
    later = ssmgen.ssd(
        **{**piece, "initial_states": torch.cat([zero, zero]), "cu_seqlens": bounds[2:] - 1},
        dt_softplus=True,
        return_final_states=True,
        target="reference",
    )
    assert relative_error(found[:, :1], torch.cat(outs, 1)[:, :1]) <= 2e-6
    assert relative_error(found[:, 1:], later[0]) <= 4e-6
    assert relative_error(last, later[1][1:]) <= 4e-6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("limit", [None, (0.1, 0.7)], ids=str)
def test_steps_stay_within_limits(target: str, softplus: bool, limit: tuple[float, float] | None) -> None:
    inputs = draw(target)
    inputs["D"] = torch.randn(4, 6, device=inputs["x"].device)
    given = {} if limit is None else {"dt_limit": limit}
    out = ssmgen.ssd(**inputs, dt_softplus=softplus, target=target, **given)
    wanted, _ = by_steps(inputs, softplus, limit=torch.tensor(limit or (0.0, float("inf"))))
    assert relative_error(out, wanted) <= 2e-6


@pytest.mark.parametrize("target", TARGETS)
def test_strided_inputs(target: str) -> None:
    """As a projection gives them: x, B and C from one tensor, dt from another; and with no unit stride at all."""
    inputs = draw(target, groups=1)
    wanted = ssmgen.ssd(**inputs, dt_softplus=True, target="reference")
    joint = torch.cat([inputs[name].flatten(2) for name in ("x", "B", "C", "dt")], dim=-1)
    x, B, C, dt = joint.split([24, 5, 5, 4], dim=-1)
    views = {**inputs, "x": x.unflatten(2, (4, 6)), "B": B[:, :, None], "C": C[:, :, None], "dt": dt}
    other = {name: x.repeat_interleave(2, dim=-1)[..., ::2] for name, x in inputs.items()}
    for given in (views, other):
        assert relative_error(ssmgen.ssd(**given, dt_softplus=True, target=target), wanted) <= 4e-6


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_offsets_beyond_32_bits(target: str, tmp_path: Path) -> None:
    """Steps so far apart that the last of them lies 2^32 elements behind the first; a sparse file holds them."""
    step, seqlen = 1 << 27, 33
    inputs = draw(dtype=torch.float16, batch=1, seqlen=seqlen)
    wanted = ssmgen.ssd(**inputs, dt_softplus=True, target=target)
    far = {}
    for name in ("x", "B"):
        file = str(tmp_path / name)
        memory = torch.from_file(file, shared=True, size=seqlen * step, dtype=torch.float16)
        size = inputs[name].shape
        far[name] = memory.as_strided(size, (seqlen * step, step, size[3], 1)).copy_(inputs[name])
    assert torch.equal(ssmgen.ssd(**{**inputs, **far}, dt_softplus=True, target=target), wanted)


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("packed", [False, True])
def test_gradcheck(target: str, packed: bool) -> None:
    inputs = draw(dtype=torch.float64, batch=1 if packed else 2, seqlen=7)
    if packed:
        inputs["initial_states"] = torch.randn(3, 4, 6, 5, dtype=torch.float64)

    def scan(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(inputs, tensors, strict=True))
        bounds = {"cu_seqlens": torch.tensor([0, 3, 3, 7])} if packed else {}
        found = ssmgen.ssd(**named, **bounds, dt_softplus=True, return_final_states=True, target=target)
        return found[0], found[1]

    leaves = [x.requires_grad_() for x in inputs.values()]
    assert torch.autograd.gradcheck(scan, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(scan, leaves, fast_mode=True)


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_in_float32_are_near_float64(target: str) -> None:
    inputs = draw(target, seqlen=150)
    leaves = {name: x.requires_grad_() for name, x in inputs.items()}
    out, last = ssmgen.ssd(**leaves, dt_softplus=True, return_final_states=True, target=target)
    weights = torch.randn_like(out), torch.randn_like(last)
    mine = torch.autograd.grad([out, last], list(leaves.values()), weights)
    exact = {name: x.detach().double().requires_grad_() for name, x in inputs.items()}
    wanted = torch.autograd.grad(by_steps(exact), list(exact.values()), [x.double() for x in weights])
    for name, x, y in zip(leaves, mine, wanted, strict=True):
        assert relative_error(x, y) <= 2e-5, name


@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_chunks_of_any_length_are_the_recurrence(chunk: int) -> None:
    inputs = draw(dtype=torch.float64, seqlen=37)
    numbers = (torch.rand(2, 37) < 0.2).cumsum(1)
    for given in ({}, {"seq_idx": numbers}):
        out, _ = by_steps(inputs, **given, scan=partial(reference.ssd, chunk=chunk, dtype=torch.float64))
        assert relative_error(out, by_steps(inputs, **given)[0]) <= 1e-14


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.zeros(2, 21, 4)}, "every size at least 1"),
        ({"dt": torch.zeros(2, 21, 4, 6)}, "dt has shape"),
        ({"B": torch.zeros(2, 21, 3, 5), "C": torch.zeros(2, 21, 3, 5)}, "must divide heads=4"),
        ({"D": torch.zeros(6)}, "heads=4"),
        ({"A": torch.zeros(4, dtype=torch.int64)}, "supported are"),
        ({"chunk_size": 0}, "at least 1"),
        ({"dt_limit": (1.0, 0.5)}, "the least and the largest"),
        ({"seq_idx": torch.zeros(2, 21)}, "int32 or int64"),
        ({"cu_seqlens": torch.tensor([0, 21])}, "batch of 1"),
        ({"initial_states": torch.zeros(2, 4, 5, 6)}, "d_state=5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_said(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ssmgen.ssd(**{**draw(), **given})  # type: ignore[call-overload]
