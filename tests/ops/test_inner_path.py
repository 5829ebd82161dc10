"""Mamba's inner path in pieces: outputs and all gradients beside float64, when there are pieces, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ssmgen import reference
from ssmgen.kernels.oracle import relative_error
from ssmgen.ops.inner_path import InnerPath
from ssmgen.ops.pieces import PieceSize

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("error::ssmgen.errors.ReferenceWarning"),
]
States = tuple[Tensor, Tensor]
NAMES = ("taps", "conv_bias", "A", "D", "delta_bias", "x_proj", "delta_proj")


@pytest.fixture
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PieceSize]:
    """The size that every sequence's pieces are of."""
    wanted = PieceSize(*getattr(request, "param", (2, 7)))
    monkeypatch.setattr(PieceSize, "of", lambda x, cores: wanted)
    return wanted


def select(u: Tensor, x_proj: Tensor, delta_proj: Tensor) -> tuple[Tensor, ...]:
    rank = delta_proj.shape[1]
    states = (x_proj.shape[0] - rank) // 2
    low, B, C = (u.mT @ x_proj.T).split([rank, states, states], dim=-1)
    return (low @ delta_proj.T).mT, B.mT, C.mT


def tensors(
    batch: int = 3,
    dim: int = 12,
    seqlen: int = 40,
    width: int = 4,
    d_state: int = 5,
    rank: int = 3,
    dtype: torch.dtype = torch.float32,
    biases: bool = True,
    states: bool = True,
    slow: float = 1.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Of a call, by name; `slow` is the size of A."""
    torch.manual_seed(seed)
    wide = torch.promote_types(dtype, torch.float32)
    found = {
        "xz": torch.randn(batch, seqlen, 2 * dim, dtype=dtype).mT,
        "taps": torch.randn(dim, width, dtype=dtype) / 2,
        "A": -slow * torch.rand(dim, d_state, dtype=wide) - slow / 8,
        "x_proj": torch.randn(rank + 2 * d_state, dim, dtype=dtype) / dim**0.5,
        "delta_proj": torch.randn(dim, rank, dtype=dtype) / rank**0.5,
    }
    if biases:
        found["conv_bias"] = torch.randn(dim, dtype=dtype)
        found |= {name: torch.randn(dim, dtype=wide) for name in ("D", "delta_bias")}
    if states:
        found["conv"] = torch.randn(batch, dim, width - 1, dtype=dtype)
        found["ssm"] = torch.randn(batch, dim, d_state, dtype=wide)
    return {name: x.detach().requires_grad_() for name, x in found.items()}


def run(given: dict[str, Tensor], **changes: Any) -> tuple[Tensor, ...]:
    taps, conv_bias, A, D, delta_bias, *weights = (given.get(name) for name in NAMES)
    assert taps is not None
    assert A is not None
    path = InnerPath(taps, conv_bias, A, D, delta_bias, select, tuple(weights), recomputes=True)
    y, after = path._replace(**changes).run(
        given["xz"], (given["conv"], given["ssm"]) if "conv" in given else None
    )
    return (y, *(after or ()))


def formula(given: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """The same of PyTorch's ops, in the dtype of the tensors."""
    x, z = given["xz"].chunk(2, dim=1)
    width = given["taps"].shape[1]
    padded = torch.cat([given["conv"], x], -1) if "conv" in given else F.pad(x, (width - 1, 0))
    u = F.silu(F.conv1d(padded, given["taps"][:, None], given.get("conv_bias"), groups=x.shape[1]))
    delta, B, C = select(u, given["x_proj"], given["delta_proj"])
    y, ssm = reference.selective_scan(
        u,
        delta,
        given["A"],
        B,
        C,
        given.get("D"),
        z,
        given.get("delta_bias"),
        True,
        initial_state=given.get("ssm"),
        dtype=torch.float64,
    )
    return (y, padded[..., padded.shape[-1] - width + 1 :], ssm) if "conv" in given else (y,)


def gradients(outputs: tuple[Tensor, ...], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The outputs, and the gradients of all tensors for one gradient of each output."""
    torch.manual_seed(1)
    dys = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in outputs]
    found = torch.autograd.grad(outputs, list(given.values()), dys)
    named = {f"output {index}": y.detach() for index, y in enumerate(outputs)}
    return named | dict(zip(given, found, strict=True))


def doubled(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.detach().double().requires_grad_() for name, x in given.items()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no biases": {"biases": False},
    "no states": {"states": False},
    "one sequence": {"batch": 1},
    "three taps": {"width": 3},
    "memories that last": {"slow": 1e-5, "seqlen": 60},
    "memories that are lost at once": {"slow": 200.0},
    "one step after a whole piece": {"seqlen": 15},
    "many channels": {"dim": 40, "d_state": 16, "seqlen": 70},
}


@pytest.mark.parametrize("size", [(1, 16), (2, 7), (3, 2)], indirect=True, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_formula_and_its_gradients(case: str, size: PieceSize) -> None:
    given = tensors(**CASES[case], seed=sum(size))
    exact = doubled(given)
    found, wanted = gradients(run(given), given), gradients(formula(exact), exact)
    for name, x in found.items():
        assert relative_error(x, wanted[name]) <= 2e-5 if name in given else 2e-6, name


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.bfloat16, 3e-2)], ids=str)
def test_other_dtypes(size: PieceSize, dtype: torch.dtype, limit: float) -> None:
    given = tensors(dtype=dtype, dim=32, seqlen=100)
    exact = doubled(given)
    found, wanted = gradients(run(given), given), gradients(formula(exact), exact)
    for name, x in found.items():
        assert name not in given or x.dtype == given[name].dtype
        assert relative_error(x, wanted[name]) <= limit, name


def test_sums_over_many_pieces_keep_what_is_small_in_half_precision(
    size: PieceSize, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 pieces, whose gradients of one weight add up: rounded each time, the sum would lose a tenth."""
    given = tensors(dtype=torch.bfloat16, batch=1, seqlen=4200, states=False)
    found = gradients(run(given), given)
    whole = gradients(run(given, is_split=False), given)
    exact = doubled(given)
    wanted = gradients(run(exact, is_split=False), exact)
    for name in NAMES:
        assert relative_error(found[name], wanted[name]) <= 2 * relative_error(whole[name], wanted[name]), (
            name
        )


def test_inference_gives_the_bits_of_training(size: PieceSize) -> None:
    given = tensors()
    trained = run(given)
    with torch.no_grad():
        for x, y in zip(run(given), trained, strict=True):
            assert torch.equal(x, y)
            assert x.stride() == y.stride()


@pytest.mark.parametrize("needs_gradients", [True, False])
def test_what_it_gives_may_be_changed_in_place(size: PieceSize, needs_gradients: bool) -> None:
    """As what the whole path gives: autograd forbids it of views that a function of its own returns."""
    found = []
    for is_split in (True, False):
        given = {name: x.detach().requires_grad_(needs_gradients) for name, x in tensors().items()}
        before = [given[name].detach().clone() for name in ("conv", "ssm")]
        outputs = run(given, is_split=is_split)
        for y in outputs:
            y.mul_(2)
        assert all(torch.equal(given[name], x) for name, x in zip(("conv", "ssm"), before, strict=True))
        found.append(list(gradients(outputs, given).values()) if needs_gradients else list(outputs))
    for x, wanted in zip(*found, strict=True):
        assert relative_error(x, wanted.double()) <= 2e-6


def test_gradients_by_differences(size: PieceSize) -> None:
    given = tensors(batch=1, dim=2, seqlen=9, d_state=2, rank=1, width=3, dtype=torch.float64)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        return run(dict(zip(given, values, strict=True)))

    assert torch.autograd.gradcheck(function, tuple(given.values()))
    assert torch.autograd.gradgradcheck(function, tuple(given.values()), fast_mode=True)


def test_a_tensor_that_depends_on_another_gets_its_own_second_gradient(size: PieceSize) -> None:
    given = tensors(dtype=torch.float64)

    def second(**changes: Any) -> Tensor:
        linked = given | {"D": given["taps"].sum(1)}
        y = run(linked, **changes)[0]
        (first,) = torch.autograd.grad(y.square().sum(), given["taps"], create_graph=True)
        (found,) = torch.autograd.grad(first.square().sum(), given["taps"])
        return found

    assert relative_error(second(), second(is_split=False)) <= 1e-11


def test_gradients_of_some_tensors_and_of_some_outputs(size: PieceSize) -> None:
    given = tensors(dtype=torch.float64)
    for names in (["xz"], ["taps"], ["A", "conv"], ["ssm", "x_proj"]):
        some = {name: x.detach().requires_grad_(name in names) for name, x in given.items()}
        asked = [some[name] for name in names]
        for y, y_wanted in zip(run(some), run(some, is_split=False), strict=True):
            found = torch.autograd.grad(y.square().sum(), asked, allow_unused=True, retain_graph=True)
            if not y_wanted.requires_grad:
                assert all(x is None or not x.any() for x in found)
                continue
            wanted = torch.autograd.grad(
                y_wanted.square().sum(), asked, allow_unused=True, retain_graph=True, materialize_grads=True
            )
            for name, x, x_wanted in zip(names, found, wanted, strict=True):
                same = torch.zeros_like(x_wanted) if x is None else x
                torch.testing.assert_close(same, x_wanted, rtol=1e-10, atol=1e-12, msg=name)


def test_backward_twice(size: PieceSize) -> None:
    given = tensors()
    y = run(given)[0].sum()
    first, second = (torch.autograd.grad(y, list(given.values()), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_under_autocast_backward_computes_what_forward_did(size: PieceSize) -> None:
    given = tensors(dim=32, seqlen=64)
    given["xz"] = given["xz"].detach().bfloat16().requires_grad_()
    found = []
    for is_split in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = run(given, is_split=is_split)
        found.append(gradients(outputs, given))
    for name, x in found[0].items():
        assert relative_error(x, found[1][name].double()) <= 2e-2, name


@pytest.mark.parametrize("batch", [1, 5])
def test_is_split_where_one_piece_does_not_hold_it(batch: int) -> None:
    x = torch.empty(batch, 3000, 1536).mT
    size = PieceSize.of(x, 2)
    assert size is not None
    assert size == (1, 512)
    pieces = size.slices(batch, 3000)
    assert {(rows.start, step) for rows, steps in pieces for step in range(3000)[steps]} == {
        (row, step) for row in range(batch) for step in range(3000)
    }
    assert sum(steps.stop - steps.start for _, steps in pieces) == batch * 3000
    assert PieceSize.of(x[:1, :, :1024], 2) is None
    assert PieceSize.of(x, 1000) is None


def test_short_sequences_of_a_large_batch_share_a_piece() -> None:
    assert PieceSize.of(torch.empty(64, 128, 256).mT, 2) == (24, 128)


@pytest.mark.parametrize("layout", ["channel", "time"])
def test_what_is_split(layout: str) -> None:
    path = InnerPath(torch.empty(1536, 4), None, torch.empty(1536, 16), None, None, select)
    xz = torch.empty(1, 4096, 3072).mT
    if layout == "time":
        assert path.size_of_pieces(xz.contiguous()) is None
        return
    assert path.size_of_pieces(xz) is not None
    trains = xz.requires_grad_()
    assert path.size_of_pieces(trains[:, :, :4000]) is None
    assert path._replace(recomputes=True).size_of_pieces(trains[:, :, :4000]) is not None
    assert path.size_of_pieces(torch.empty(2, 4096, 3072).mT.requires_grad_()) is not None
    states = (torch.empty(1, 1536, 3), torch.empty(1, 1536, 16).requires_grad_())
    assert path.size_of_pieces(xz.detach()[:, :, :4000], states) is None
    assert path._replace(is_split=False).size_of_pieces(xz) is None
    assert path._replace(target="reference").size_of_pieces(xz) is None
    assert path.size_of_pieces(xz.to("meta")) is None


def test_keeps_states_alone(size: PieceSize) -> None:
    """Saved beside what was given: for 6 pieces of 7 steps, states of 3 + 5 numbers for each channel."""
    given = tensors(batch=1)
    ours = {x.untyped_storage().data_ptr() for x in given.values()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in ours:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        run(given)
    assert 0 < sum(kept.values()) <= 6 * (3 + 5) * 12 * 4
