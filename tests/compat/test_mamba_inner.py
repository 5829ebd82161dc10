"""The block of mamba-ssm as one function: forward and all gradients, what it keeps for backward, and its layouts."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from ssmgen.compat.mamba_ssm import mamba_inner_fn, mamba_inner_ref
from ssmgen.errors import InvalidInputError
from ssmgen.kernels.oracle import relative_error
from ssmgen.ops.pieces import PieceSize
from tests.compat import formulas

pytestmark = [
    pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning"),
    pytest.mark.filterwarnings("error::ssmgen.errors.ReferenceWarning"),
]


def block(
    *,
    batch: int = 2,
    dim: int = 12,
    seqlen: int = 40,
    d_state: int = 4,
    rank: int = 3,
    width: int = 4,
    out: int = 5,
    dtype: torch.dtype = torch.float64,
    weights: torch.dtype | None = None,
    is_complex: bool = False,
    constant: str = "",
    biases: bool = True,
    norms: str = "",
) -> dict[str, Tensor]:
    """The tensors of a block whose numbers are of size 1; `constant` and `norms` name some of B, C and delta."""
    torch.manual_seed(0)
    weights = weights or dtype
    wide = torch.promote_types(dtype, torch.float32)
    kind = wide.to_complex() if is_complex else wide
    rows = d_state * (2 if is_complex else 1)
    given = {
        "xz": torch.randn(batch, 2 * dim, seqlen, dtype=dtype),
        "conv1d_weight": torch.randn(dim, 1, width, dtype=weights) / width**0.5,
        "x_proj_weight": torch.randn(rank + rows * (2 - len(constant)), dim, dtype=weights) / dim**0.5,
        "delta_proj_weight": torch.randn(dim, rank, dtype=weights) / rank**0.5,
        "out_proj_weight": torch.randn(out, dim, dtype=weights) / dim**0.5,
        "A": -torch.rand(dim, d_state, dtype=kind),
    }
    given |= {name: torch.randn(dim, d_state, dtype=kind) for name in constant}
    sizes = {"conv1d_bias": dim, "out_proj_bias": out}
    sizes |= {f"{name}_proj_bias": rows for name in "BC" if name not in constant}
    if biases:
        given |= {name: torch.randn(size, dtype=weights) for name, size in sizes.items()}
        given |= {"D": torch.randn(dim, dtype=wide), "delta_bias": torch.rand(dim, dtype=wide)}
    sizes = {"B": d_state, "C": d_state, "delta": dim}
    names = {"B": "b_rms_weight", "C": "c_rms_weight", "delta": "dt_rms_weight"}
    given |= {names[name]: torch.rand(sizes[name], dtype=weights) + 0.5 for name in norms.split()}
    return {name: x.requires_grad_() for name, x in given.items()}


def run(function: Callable[..., Tensor], given: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """The output, and the gradient of every tensor for one output gradient."""
    biases = {name: given.get(name) for name in ("conv1d_bias", "out_proj_bias")}
    out = function(**given | biases, **options)
    torch.manual_seed(1)
    gradients = torch.autograd.grad(
        out, list(given.values()), torch.randn(out.shape, dtype=torch.float64).to(out.dtype)
    )
    return {"out": out.detach()} | {f"d{name}": x for name, x in zip(given, gradients, strict=True)}


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no biases": {"biases": False},
    "constant B": {"constant": "B"},
    "constant C": {"constant": "C"},
    "constant B and C": {"constant": "BC"},
    "complex": {"is_complex": True},
    "complex, constant B": {"is_complex": True, "constant": "B"},
    "norms": {"norms": "B C delta"},
    "a norm of delta": {"norms": "delta"},
    "one sequence": {"batch": 1},
    "shorter than the convolution": {"seqlen": 2},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_features_side_by_side(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = PieceSize(1, 7)
    monkeypatch.setattr(PieceSize, "of", lambda x, cores: pieces)
    given = block(**KINDS[kind])
    given["xz"] = given["xz"].detach().mT.contiguous().mT.requires_grad_()
    wanted = run(formulas.block, given)
    with monkeypatch.context() as patched:
        patched.setattr("ssmgen.compat.mamba_inner._recomputing", None)  # which serves whole sequences
        found = run(mamba_inner_fn, given)
    for name, x in found.items():
        assert relative_error(x, wanted[name]) <= 1e-11, name


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_every_gradient(kind: str, level: int) -> None:
    given = block(**KINDS[kind])
    found, wanted = run(mamba_inner_fn, given, checkpoint_lvl=level), run(formulas.block, given)
    assert found.keys() == wanted.keys()
    for name, x in found.items():
        assert x.dtype == wanted[name].dtype
        assert relative_error(x, wanted[name]) <= 1e-11, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_computed_again_is_the_same_to_the_bit(dtype: torch.dtype, kind: str) -> None:
    given = block(**KINDS[kind], dtype=dtype)
    kept, again = (run(mamba_inner_fn, given, checkpoint_lvl=level) for level in (0, 1))
    for name, x in kept.items():
        assert torch.equal(again[name], x), name


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-5), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)]
)
def test_other_dtypes(dtype: torch.dtype, bound: float) -> None:
    given = block(dtype=dtype, dim=32, seqlen=100)
    found = run(mamba_inner_fn, given)
    wanted = run(formulas.block, {name: x.detach().double().requires_grad_() for name, x in given.items()})
    for name, x in found.items():
        assert x.dtype == (given[name[1:]].dtype if name != "out" else dtype)
        assert relative_error(x, wanted[name]) <= bound, name


@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
def test_at_the_sizes_of_mamba_ssm(constant: str) -> None:
    """Those of its tests, where rows are sums of 768 numbers, so that some outputs are in the thousands."""
    sizes = {"dim": 768, "seqlen": 128, "d_state": 8, "rank": 48, "width": 3, "out": 384}
    given = block(dtype=torch.float32, constant=constant, **sizes)
    found, same, wanted = (run(f, given)["out"] for f in (mamba_inner_fn, mamba_inner_ref, formulas.block))
    torch.testing.assert_close(found, same, rtol=6e-4, atol=2e-3)
    torch.testing.assert_close(found, wanted.float(), rtol=6e-4, atol=2e-3)


def test_without_softplus() -> None:
    given = block(constant="B")
    for function in (mamba_inner_fn, mamba_inner_ref):
        found, wanted = (run(f, given, delta_softplus=False) for f in (function, formulas.block))
        assert all(relative_error(x, wanted[name]) <= 1e-11 for name, x in found.items())


@pytest.mark.parametrize("is_complex", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("level", [0, 1])
def test_gradients_by_differences(level: int, is_complex: bool) -> None:
    given = block(dim=2, seqlen=5, d_state=2, rank=1, out=2, batch=1, is_complex=is_complex)
    names = list(given)

    def function(*tensors: Tensor) -> Tensor:
        return mamba_inner_fn(**dict(zip(names, tensors, strict=True)), checkpoint_lvl=level)

    assert torch.autograd.gradcheck(function, tuple(given.values()))
    assert torch.autograd.gradgradcheck(function, tuple(given.values()))


def test_backward_twice_and_in_parts() -> None:
    given = block()
    wanted = run(mamba_inner_fn, given, checkpoint_lvl=0)
    out = mamba_inner_fn(**given)
    torch.manual_seed(1)
    g = torch.randn(out.shape, dtype=out.dtype)
    # The first stops at the scan; later ones must find all that they need again.
    for names in (["D"], ["D", "x_proj_weight"], list(given), list(given)):
        found = torch.autograd.grad(out, [given[name] for name in names], g, retain_graph=True)
        for name, x in zip(names, found, strict=True):
            assert torch.equal(x, wanted[f"d{name}"]), name


def test_some_tensors_are_frozen() -> None:
    given = block()
    wanted = run(mamba_inner_fn, given)
    for name in ("xz", "delta_proj_weight", "A", "conv1d_weight"):
        alone = {other: x.detach() for other, x in given.items()}
        alone[name].requires_grad_()
        out = mamba_inner_fn(**alone)
        torch.manual_seed(1)
        out.backward(torch.randn(out.shape, dtype=out.dtype))
        assert alone[name].grad is not None
        assert torch.equal(alone[name].grad, wanted[f"d{name}"]), name


def test_torch_func_transforms() -> None:
    given = {name: x.detach() for name, x in block().items()}

    def loss(xz: Tensor, level: int) -> Tensor:
        return mamba_inner_fn(**given | {"xz": xz}, checkpoint_lvl=level).square().sum()

    found = torch.func.grad(lambda xz: loss(xz, 1))(given["xz"])
    xz = given["xz"].clone().requires_grad_()
    loss(xz, 0).backward()
    assert xz.grad is not None
    assert relative_error(found, xz.grad) <= 1e-11


@pytest.mark.parametrize("level", [0, 1])
def test_under_autocast(level: int) -> None:
    """Weights in float32, as trainers have them; backward runs outside, as PyTorch asks for."""
    given = block(dtype=torch.float32, dim=32, seqlen=64, norms="B C delta")
    exact = run(formulas.block, given)
    with torch.autocast("cpu", torch.bfloat16):
        out = mamba_inner_fn(**given, checkpoint_lvl=level)
    assert out.dtype == torch.bfloat16
    torch.manual_seed(1)
    gradient = torch.randn(out.shape, dtype=torch.float64).to(out.dtype)
    gradients = torch.autograd.grad(out, list(given.values()), gradient)
    assert relative_error(out.detach(), exact["out"]) <= 3e-2
    for (name, x), found in zip(given.items(), gradients, strict=True):
        assert found.dtype == x.dtype
        assert relative_error(found, exact[f"d{name}"]) <= 5e-2, name


class Watch(TorchDispatchMode):
    """Which storages of at least some size are made beside the inputs', by which op, and which of them live."""

    def __init__(self, inputs: Iterable[Tensor], least: int = 0) -> None:
        super().__init__()
        self._inputs = {StorageWeakRef(x.untyped_storage()).cdata for x in inputs}
        self._least = least
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}
        self.ops: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        for x in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(x, Tensor) and x.untyped_storage().nbytes() >= self._least:
                reference = StorageWeakRef(x.untyped_storage())
                known = self._made.get(reference.cdata)
                if reference.cdata not in self._inputs and (known is None or known[0].expired()):
                    self._made[reference.cdata] = reference, x.untyped_storage().nbytes()
                    self.ops.append(func.name())
        return result

    def living(self) -> int:
        """Bytes."""
        return sum(size for reference, size in self._made.values() if not reference.expired())


@pytest.mark.parametrize("norms", ["", "delta"])
def test_level_1_keeps_neither_the_convolution_nor_delta(norms: str) -> None:
    given = block(dtype=torch.float32, batch=2, dim=64, seqlen=256, d_state=4, norms=norms)
    with Watch(given.values()):  # under which PyTorch imports its compiler, once, whose frames live on
        mamba_inner_fn(**given)
    kept = []
    gc.disable()
    try:
        for level in (0, 1):
            with Watch(given.values()) as watch:
                out = mamba_inner_fn(**given, checkpoint_lvl=level)
            kept.append(watch.living())
            del out
            assert watch.living() == 0, "a cycle keeps the graph"
    finally:
        gc.enable()
    sequence = given["xz"].nbytes // 2
    # A normed delta lies beside the one before the norm.
    large = 3 if norms else 2
    assert kept[0] - kept[1] >= (large - 0.01) * sequence
    # What stays: what the output's projection reads, and what is small.
    assert kept[1] <= 1.75 * sequence


def test_backward_frees_what_it_has_computed_again() -> None:
    given = block(dtype=torch.float32, batch=2, dim=64, seqlen=256, d_state=4)
    with Watch(given.values()) as watch:
        out = mamba_inner_fn(**given)
        before = watch.living()
        gradients = torch.autograd.grad(out.sum(), list(given.values()), retain_graph=True)
        after = watch.living()
    assert after - before <= sum(x.nbytes for x in gradients)


@pytest.mark.parametrize("level", [0, 1])
def test_a_checkpoint_around_it_keeps_nothing_either(level: int) -> None:
    """Hooks that save tensors do not nest by themselves; whoever is outside must see them all."""
    given = block(dtype=torch.float32, dim=64, seqlen=256)
    wanted = run(mamba_inner_fn, given, checkpoint_lvl=level)

    def layer(**tensors: Any) -> Tensor:
        result: Tensor = checkpoint(mamba_inner_fn, use_reentrant=False, checkpoint_lvl=level, **tensors)
        return result

    found = run(layer, given)
    assert all(torch.equal(x, wanted[name]) for name, x in found.items())
    with Watch(given.values()) as watch:
        out = layer(**given)
    assert watch.living() <= out.nbytes + 64


@pytest.mark.parametrize("level", [0, 1])
def test_no_long_tensor_is_copied(level: int) -> None:
    """From (batch, 2 dim, seqlen) with time side by side: x, z, u and delta are read where they are made."""
    given = block(dtype=torch.float32, batch=1, dim=64, seqlen=256, d_state=4)
    assert (given["xz"].stride(2), given["xz"].stride(1)) == (1, 256)
    mamba_inner_fn(**given)
    with Watch(given.values(), least=given["xz"].nbytes // 2) as watch:
        mamba_inner_fn(**given, checkpoint_lvl=level)
    # u, delta, and the scan's output.
    assert watch.ops == ["ssmgen::_causal_conv1d_forward", "aten::bmm", "ssmgen::_selective_scan_forward"]


def test_other_layouts_of_xz() -> None:
    given = block(dim=16)
    wanted = run(mamba_inner_fn, given)
    for xz in (
        given["xz"].detach().mT.contiguous().mT,
        given["xz"].detach().transpose(0, 1).contiguous().transpose(0, 1),
    ):
        found = run(mamba_inner_fn, given | {"xz": xz.requires_grad_()})
        assert all(relative_error(x, wanted[name]) <= 1e-12 for name, x in found.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint_lvl": 2}, "checkpoint_lvl must be 0 or 1, not 2"),
        ({"xz": torch.randn(2, 23, 40)}, r"xz has shape \(2, 23, 40\).*2 dim=24"),
        ({"xz": torch.randn(24, 40)}, "xz has shape.*3 dims"),
        ({"conv1d_weight": torch.randn(12, 4)}, "conv1d_weight has shape.*3 dims"),
        ({"conv1d_weight": torch.randn(11, 1, 4)}, "conv1d_weight has shape.*dim=12"),
        ({"conv1d_bias": torch.randn(11)}, "conv1d_bias has shape"),
        ({"x_proj_weight": torch.randn(12, 12)}, "x_proj_weight has shape.*rows of delta, B and C=11"),
        ({"delta_proj_weight": torch.randn(11, 3)}, "delta_proj_weight has shape"),
        ({"out_proj_weight": torch.randn(5, 11)}, "out_proj_weight has shape"),
        ({"out_proj_bias": torch.randn(4)}, "out_proj_bias has shape"),
        ({"out_proj_weight": torch.randn(5, 12).bfloat16()}, "out_proj_weight is torch.bfloat16.*autocast"),
        ({"B_proj_bias": torch.randn(3)}, "B_proj_bias has shape"),
        ({"c_rms_weight": torch.rand(5)}, "c_rms_weight has shape"),
        ({"A": None}, "A must be a torch.Tensor, not NoneType"),
        ({"D": torch.randn(11)}, "D has shape"),
        (
            {"C": torch.randn(12, 4), "x_proj_weight": torch.randn(7, 12), "c_rms_weight": torch.rand(4)},
            "c_rms_weight",
        ),
    ],
)
def test_a_bad_call_says_what_is_wrong(change: dict[str, Any], words: str) -> None:
    given = {name: x.detach() for name, x in block(dtype=torch.float32).items()}
    for context in (nullcontext(), torch.no_grad()):
        with context, pytest.raises(InvalidInputError, match=words):
            mamba_inner_fn(**given | change)
