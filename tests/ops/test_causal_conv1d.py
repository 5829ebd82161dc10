"""The causal convolution and its step: against PyTorch's convolution in float64, on every target."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import ssmgen
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from tests.helpers import GPU, ON_GPU

TARGETS = ["cpu", "interpret", "reference", ON_GPU]
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4, torch.float64: 1e-14}
pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("ignore::ssmgen.errors.ReferenceWarning"),
]


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, before: Tensor | None = None
) -> Tensor:
    """The same by PyTorch's own convolution, in float64."""
    width = weight.shape[1]
    steps = F.pad(x.double(), (width - 1, 0)) if before is None else torch.cat([before, x], -1).double()
    bias = None if bias is None else bias.double()
    out = F.conv1d(steps, weight.double()[:, None], bias, groups=x.shape[1])
    return F.silu(out) if silu else out


def draw(target: str, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(sum(map(sum, shapes)))
    return [torch.randn(shape).to(dtype).to("cuda" if target == GPU else "cpu") for shape in shapes]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("by_channel", [False, True])
def test_agrees_with_pytorch(target: str, dtype: torch.dtype, width: int, by_channel: bool) -> None:
    x, before = draw(target, (2, 7, 19), (2, 7, width - 1), dtype=dtype)
    weight, bias = draw(target, (7, width), (7,))
    if by_channel:
        x = x.mT.contiguous().mT
    for silu, given in ((False, None), (True, before)):
        out, last = ssmgen.causal_conv1d(
            x, weight, bias if silu else None, None, given, True, "silu" if silu else None, target=target
        )
        wanted = convolve(x, weight, bias if silu else None, silu, given)
        assert out.dtype == last.dtype == dtype
        assert relative_error(out, wanted) <= TOLERANCE[dtype]
        assert torch.equal(last, x[..., 19 - (width - 1) :])


@pytest.mark.parametrize("target", TARGETS)
def test_final_states_of_sequences_shorter_than_the_filter(target: str) -> None:
    x, before, weight = draw(target, (2, 5, 2), (2, 5, 3), (5, 4))
    for given, first in ((None, torch.zeros_like(before)), (before, before)):
        _, last = ssmgen.causal_conv1d(x, weight, None, None, given, True, target=target)
        assert torch.equal(last, torch.cat([first, x], -1)[..., 2:])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("by_channel", [False, True])
def test_packed_sequences_equal_the_sequences_one_by_one(target: str, by_channel: bool) -> None:
    ends = [0, 1, 1, 8, 21]
    x, weight, bias = draw(target, (1, 6, 21), (6, 4), (6,))
    if by_channel:
        x = x.mT.contiguous().mT
    pieces = [
        ssmgen.causal_conv1d(x[..., a:b], weight, bias, activation="silu", target="reference")
        for a, b in itertools.pairwise(ends)
        if a < b
    ]
    wanted = torch.cat(pieces, -1)
    offsets = torch.tensor(ends, device=x.device)
    numbers = torch.searchsorted(offsets[1:], torch.arange(21, device=x.device), right=True)[None]
    for given in ({"cu_seqlens": offsets}, {"seq_idx": numbers}):
        out = ssmgen.causal_conv1d(x, weight, bias, activation="silu", target=target, **given)
        assert relative_error(out, wanted) <= 1e-6
    # The fourth sequence as padding, whose numbers are no weaker than infinity.
    numbers[:, 8:] = -1
    x[..., 8:] = float("inf")
    out = ssmgen.causal_conv1d(x, weight, bias, seq_idx=numbers, activation="silu", target=target)
    assert relative_error(out[..., :8], wanted[..., :8]) <= 1e-6
    assert not out[..., 8:].any()


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("silu", [False, True])
def test_gradcheck(target: str, by_channel: bool, silu: bool) -> None:
    inputs = [
        x.requires_grad_() for x in draw(target, (2, 3, 7), (3, 4), (3,), (2, 3, 3), dtype=torch.float64)
    ]

    def states(x: Tensor, weight: Tensor, bias: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        x = x.mT.contiguous().mT if by_channel else x
        found = ssmgen.causal_conv1d(
            x, weight, bias, None, before, True, "silu" if silu else None, target=target
        )
        return found[0], found[1]

    def packed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        numbers = torch.tensor([[4, 4, 4, 0, 0, -1, 2], [0, 0, 0, 0, 0, 1, 1]])
        x = x.mT.contiguous().mT if by_channel else x
        found = ssmgen.causal_conv1d(
            x, weight, bias, numbers, activation="silu" if silu else None, target=target
        )
        assert isinstance(found, Tensor)
        return found

    assert torch.autograd.gradcheck(states, inputs)
    assert torch.autograd.gradcheck(packed, inputs[:3])
    assert torch.autograd.gradgradcheck(states, inputs, fast_mode=True)


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "reference"])
def test_backward_keeps_inputs_alone(target: str) -> None:
    inputs = [x.requires_grad_() for x in draw(target, (2, 3, 7), (3, 4), (3,))]
    kept: set[int] = set()

    def keep(x: Tensor) -> Tensor:
        kept.add(x.data_ptr())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        y = ssmgen.causal_conv1d(*inputs, activation="silu", target=target)
    assert isinstance(y, Tensor)
    assert y.data_ptr() not in kept
    assert inputs[0].data_ptr() in kept


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("ring", [False, True])
def test_steps_continue_a_sequence(target: str, dtype: torch.dtype, ring: bool) -> None:
    """One token, then three, one, and more than the state holds; the states lie in a cache, one row of it unused."""
    x, cache = draw(target, (2, 6, 19), (4, 6, 5), dtype=dtype)
    weight, bias = draw(target, (6, 4), (6,))
    rows, unused = torch.tensor([3, 1], device=x.device), cache[0].clone()
    cache[rows] = 0
    found, done = [], 0
    for tokens in (1, 3, 1, 7, 7):
        given = {"cache_seqlens": torch.tensor([done, done], device=x.device)} if ring else {}
        piece = x[..., done] if tokens == 1 else x[..., done : done + tokens]
        out = ssmgen.causal_conv1d_update(
            piece, cache, weight, bias, "silu", conv_state_indices=rows, target=target, **given
        )
        assert out.shape == piece.shape
        found.append(out[..., None] if tokens == 1 else out)
        done += tokens
    assert relative_error(torch.cat(found, -1), convolve(x, weight, bias, True)) <= TOLERANCE[dtype]
    kept = x[..., [15, 16, 17, 18, 14] if ring else [14, 15, 16, 17, 18]]
    assert torch.equal(cache[rows], kept)
    assert torch.equal(cache[0], unused)


@pytest.mark.parametrize("target", TARGETS)
def test_padding_is_left_alone(target: str) -> None:
    x, state, weight = draw(target, (3, 6), (2, 6, 3), (6, 4))
    before = state.clone()
    rows = torch.tensor([-1, 1, -1], device=x.device)
    out = ssmgen.causal_conv1d_update(
        x, state.mT.contiguous().mT, weight, conv_state_indices=rows, target=target
    )
    other = ssmgen.causal_conv1d_update(x, state, weight, conv_state_indices=rows, target=target)
    assert torch.equal(out, other)
    assert not out[[0, 2]].any()
    assert torch.equal(state[0], before[0])
    assert torch.equal(state[1], torch.cat([before[1, :, 1:], x[1][:, None]], -1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": torch.zeros(2, 3)}, "batch, dim, seqlen"),
        ({"weight": torch.zeros(3, 1)}, "W at least 2"),
        ({"weight": torch.zeros(4, 4)}, "dim=3"),
        ({"bias": torch.zeros(4)}, "dim=3"),
        ({"activation": "relu"}, "'silu' or 'swish'"),
        ({"initial_states": torch.zeros(2, 3, 4)}, "W - 1=3"),
        ({"seq_idx": torch.zeros(2, 5)}, "int32 or int64"),
        ({"seq_idx": torch.zeros(2, 5, dtype=torch.int32), "return_final_states": True}, "share a row"),
        ({"cu_seqlens": torch.tensor([0, 5])}, "batch of 1"),
        ({"cu_seqlens": torch.tensor([0, 4]), "x": torch.zeros(1, 3, 5)}, "rise from 0 to seqlen=5"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said(given: dict[str, object], message: str) -> None:
    call = {"x": torch.zeros(2, 3, 5), "weight": torch.zeros(3, 4), **given}
    with pytest.raises(InvalidInputError, match=message):
        ssmgen.causal_conv1d(**call)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"conv_state": torch.zeros(2, 3, 2)}, "W - 1 = 3"),
        ({"conv_state": torch.zeros(2, 3, 4).double()}, "one dtype"),
        ({"conv_state": torch.zeros(1, 3, 4).expand(2, 3, 4)}, "clone it"),
        ({"conv_state": torch.zeros(5, 3, 4)}, "conv_state_indices would say"),
        ({"cache_seqlens": torch.zeros(3, dtype=torch.int32)}, "batch=2"),
        ({"conv_state_indices": torch.tensor([1, 1])}, "twice"),
    ],
    ids=str,
)
def test_what_does_not_fit_a_step_is_said(given: dict[str, Tensor], message: str) -> None:
    call = {"x": torch.zeros(2, 3), "conv_state": torch.zeros(2, 3, 4), "weight": torch.zeros(3, 4), **given}
    with pytest.raises(InvalidInputError, match=message):
        ssmgen.causal_conv1d_update(**call)
