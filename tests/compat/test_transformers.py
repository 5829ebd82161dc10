"""Models of transformers on ssmgen, beside the PyTorch code that they run on without it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from ssmgen.compat import install, uninstall
from ssmgen.compat.offers import OFFERS
from ssmgen.errors import InvalidInputError

transformers = pytest.importorskip("transformers", reason="transformers is not installed", minversion="5.24")

VOCABULARY = 97
EPS = torch.finfo(torch.float32).eps


def mamba(**changes: Any) -> Any:
    sizes = {"hidden_size": 24, "state_size": 5, "num_hidden_layers": 2, "vocab_size": VOCABULARY} | changes
    return transformers.MambaForCausalLM(transformers.MambaConfig(**sizes))


def mamba2(**changes: Any) -> Any:
    sizes = {
        "hidden_size": 24,
        "state_size": 6,
        "num_hidden_layers": 2,
        "vocab_size": VOCABULARY,
        "num_heads": 6,
        "head_dim": 8,
        "n_groups": 2,
        "chunk_size": 8,
    } | changes
    return transformers.Mamba2ForCausalLM(transformers.Mamba2Config(**sizes))


def falcon_mamba(**changes: Any) -> Any:
    sizes = {"hidden_size": 24, "state_size": 5, "num_hidden_layers": 2, "vocab_size": VOCABULARY} | changes
    return transformers.FalconMambaForCausalLM(transformers.FalconMambaConfig(**sizes))


def jamba(**changes: Any) -> Any:
    sizes = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "vocab_size": VOCABULARY,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attn_layer_period": 4,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "num_experts": 2,
        "mamba_d_state": 5,
        "mamba_dt_rank": 3,
        # The others are for float32 at most.
        "experts_implementation": "eager",
    } | changes
    return transformers.JambaForCausalLM(transformers.JambaConfig(**sizes))


pytestmark = pytest.mark.filterwarnings("ignore::ssmgen.errors.UntunedWarning")
MODELS = [mamba, mamba2, falcon_mamba, jamba]
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _taken_back() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    uninstall("transformers")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of our ops that were called."""
    from ssmgen import ops

    called: list[str] = []

    def spied(name: str, op: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            return op(*args, **kwargs)

        return call

    for name in (
        "selective_scan",
        "ssd",
        "selective_state_update",
        "causal_conv1d",
        "causal_conv1d_update",
    ):
        monkeypatch.setattr(ops, name, spied(name, getattr(ops, name)))
    return called


def tokens(batch: int, length: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (batch, length))


def randomised(model: Any) -> Any:
    """Larger weights than at initialisation, and none that are zero or one: what is left out would show."""
    with torch.no_grad():
        for name, x in model.named_parameters():
            if name.endswith(("conv1d.bias", "D", "norm.weight", "layernorm.weight", "norm_f.weight")):
                x.add_(0.3 * torch.randn_like(x))
            elif name.endswith("weight") and x.ndim == 2:
                x.mul_(3)
    return model


def both(run: Callable[[], Any]) -> tuple[Any, Any]:
    """Run without ssmgen, then with it."""
    theirs = run()
    install("transformers")
    ours = run()
    uninstall("transformers")
    return theirs, ours


def require_as_exact(model: Any, run: Callable[[Any], torch.Tensor]) -> None:
    """In float32 ours must not be further from double precision than twice what theirs is, or a rounding or two."""
    wide = copy.deepcopy(model).double()
    theirs, ours = both(lambda: run(model).detach().double())
    _, exact = both(lambda: run(wide).detach())
    scale = exact.abs().max()
    assert (ours - exact).abs().max() <= 2 * (theirs - exact).abs().max() + 2 * EPS * scale
    assert (theirs - exact).abs().max() <= 1e-3 * scale, "the two do not compute the same"


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("length", [1, 3, 37])
def test_logits(make: Make, length: int) -> None:
    model = randomised(make()).eval()
    ids = tokens(2, length)
    with torch.no_grad():
        require_as_exact(model, lambda model: model(ids, use_cache=False).logits)
        require_as_exact(model, lambda model: model(ids, use_cache=True).logits)


@pytest.mark.parametrize("make", MODELS)
def test_in_double_precision(make: Make) -> None:
    """Theirs rounds to float32 in places, logits too, so that is how close the two are."""
    model = randomised(make()).double().eval()
    ids = tokens(2, 29)
    with torch.no_grad():
        theirs, ours = both(lambda: model(ids).logits)
    assert (ours - theirs).abs().max() <= 32 * EPS * theirs.abs().max()


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_greedy_tokens(make: Make, batch: int, calls: list[str]) -> None:
    model = randomised(make()).eval()
    ids = tokens(batch, 11)

    def generate(use_cache: bool = True) -> torch.Tensor:
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            min_new_tokens=20,
            do_sample=False,
            use_cache=use_cache,
        )

    theirs, ours = both(generate)
    assert torch.equal(theirs, ours)
    assert theirs.shape == (batch, 31)
    assert {"selective_state_update", "causal_conv1d_update", "causal_conv1d"} <= set(calls)
    install("transformers")
    assert torch.equal(generate(use_cache=False), ours)


@pytest.mark.parametrize("make", MODELS)
def test_padding(make: Make) -> None:
    """On the left, as generation has it: what is padding changes nothing."""
    model = randomised(make()).eval()
    ids = tokens(2, 13)
    mask = torch.ones_like(ids)
    mask[1, :5] = 0
    with torch.no_grad():
        require_as_exact(model, lambda model: model(ids, attention_mask=mask).logits[mask.bool()])
        install("transformers")
        for training in (False, True):
            model.train(training)
            padded = model(ids, attention_mask=mask, use_cache=False).logits[1, 5:]
            alone = model(ids[1:, 5:], use_cache=False).logits[0]
            assert (padded - alone).abs().max() <= 64 * EPS * alone.abs().max()
        model.eval()
    options = {"max_new_tokens": 9, "min_new_tokens": 9, "do_sample": False}
    theirs, ours = both(lambda: model.generate(ids, attention_mask=mask, **options))
    assert torch.equal(theirs, ours)


@pytest.mark.parametrize("make", MODELS)
def test_gradients(make: Make, calls: list[str]) -> None:
    model = randomised(make()).train()
    ids = tokens(2, 19)

    def gradients(model: Any) -> torch.Tensor:
        model.zero_grad()
        model(ids, labels=ids, use_cache=False).loss.backward()
        return torch.cat([x.grad.flatten() for x in model.parameters() if x.grad is not None])

    require_as_exact(model, gradients)
    assert set(calls) == {"causal_conv1d", "ssd" if make is mamba2 else "selective_scan"}
    theirs, ours = both(
        lambda: (
            model(ids, labels=ids).loss.backward(),
            {n for n, x in model.named_parameters() if x.grad is not None},
        )
    )
    assert theirs[1] == ours[1]


@pytest.mark.parametrize("make", MODELS)
def test_gradients_through_steps(make: Make) -> None:
    """Steps that gradients are asked for have those of the whole sequence, through the states in the cache too."""
    model = randomised(make()).double().eval()
    ids = tokens(2, 9)
    install("transformers")

    def gradients(run: Callable[[], torch.Tensor]) -> torch.Tensor:
        model.zero_grad()
        run().square().sum().backward()
        return torch.cat([x.grad.flatten() for x in model.parameters() if x.grad is not None])

    def stepped() -> torch.Tensor:
        cache = model(ids[:, :7], use_cache=True).cache
        return torch.stack([model(ids[:, k : k + 1], cache=cache).logits[:, 0] for k in (7, 8)])

    found = gradients(stepped)
    expected = gradients(lambda: model(ids, use_cache=False).logits[:, 7:].transpose(0, 1))
    assert (found - expected).norm() <= 64 * EPS * expected.norm()
    with torch.no_grad():
        assert (stepped() - model(ids, use_cache=False).logits[:, 7:].transpose(0, 1)).abs().max() < 1e-4


def test_pieces() -> None:
    """A second piece of several tokens goes on from the states in the cache, as theirs does."""
    model = randomised(mamba2()).eval()
    ids = tokens(2, 17)

    def logits(model: Any) -> torch.Tensor:
        cache = model(ids[:, :8], use_cache=True).cache
        return model(ids[:, 8:], cache=cache).logits

    with torch.no_grad():
        require_as_exact(model, logits)


@pytest.mark.parametrize("make", [mamba, mamba2, falcon_mamba])
@pytest.mark.parametrize("changes", [{"hidden_act": "gelu"}, {"use_conv_bias": False}, {"conv_kernel": 5}])
def test_configurations(make: Make, changes: dict[str, Any]) -> None:
    model = randomised(make(**changes)).eval()
    ids = tokens(2, 12)

    def steps(model: Any) -> torch.Tensor:
        first = model(ids[:, :11], use_cache=True)
        return torch.cat([first.logits, model(ids[:, 11:], cache=first.cache).logits], dim=1)

    with torch.no_grad():
        require_as_exact(model, steps)


def test_limits_of_step_sizes() -> None:
    model = randomised(mamba2(time_step_limit=(0.2, 0.4))).eval()
    ids = tokens(2, 12)
    with torch.no_grad():
        require_as_exact(model, lambda model: model(ids).logits)


@pytest.mark.parametrize("make", MODELS)
def test_half_precision(make: Make) -> None:
    """No further from float32 than twice what theirs is, or half a unit in the last place."""
    model = randomised(make()).eval()
    ids = tokens(2, 23)
    with torch.no_grad():
        exact = model(ids).logits
        model = model.bfloat16()
        theirs, ours = both(lambda: model(ids).logits.float())
    eps = torch.finfo(torch.bfloat16).eps
    assert (ours - exact).abs().mean() <= 2 * (theirs - exact).abs().mean() + eps / 2 * exact.abs().max()


@pytest.mark.parametrize("make", MODELS)
def test_beams_and_samples(make: Make) -> None:
    model = randomised(make()).eval()
    ids = tokens(2, 6)
    common = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 8, "min_new_tokens": 8}

    def sample() -> torch.Tensor:
        torch.manual_seed(1)
        return model.generate(ids, do_sample=True, **common)

    for run in (sample, lambda: model.generate(ids, num_beams=3, do_sample=False, **common)):
        theirs, ours = both(run)
        assert torch.equal(theirs, ours)


def test_a_model_that_was_made_before_and_after(calls: list[str]) -> None:
    model, ids = mamba().eval(), tokens(1, 5)
    with torch.no_grad():
        model(ids)
        assert not calls
        install("transformers")
        install("transformers")
        model(ids)
        assert set(calls) == {"causal_conv1d", "selective_scan"}
        uninstall("transformers")
        uninstall("transformers")
        calls.clear()
        model(ids)
        assert not calls


def test_every_function_is_put_back() -> None:
    import importlib

    def functions() -> list[object]:
        return [
            getattr(importlib.import_module(module), name) for module, name in OFFERS["transformers"].names()
        ]

    before = functions()
    install("transformers")
    assert all(now.__module__ == "ssmgen.compat.transformers" for now in functions())  # type: ignore[attr-defined]
    uninstall("transformers")
    assert all(now is then for now, then in zip(functions(), before, strict=True))


def test_a_release_without_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced, and the error names what is missing."""
    from transformers.models.jamba import modeling_jamba
    from transformers.models.mamba import modeling_mamba

    theirs = modeling_mamba.mamba_selective_scan
    monkeypatch.delattr(modeling_jamba, "mamba_selective_scan")
    with pytest.raises(
        InvalidInputError, match=r"has no transformers\S+modeling_jamba\.mamba_selective_scan;"
    ):
        install("transformers")
    assert modeling_mamba.mamba_selective_scan is theirs


@pytest.mark.parametrize("training", [False, True])
def test_packed_sequences(training: bool) -> None:
    """Mamba-2 without its head, the one that hands seq_idx on: several sequences in a row, each as by itself."""
    model = randomised(mamba2()).double().train(training).backbone
    ids = tokens(1, 20)
    numbers = torch.tensor([[0] * 7 + [1] * 2 + [2] * 11], dtype=torch.int32)
    install("transformers")
    packed = model(ids, seq_idx=numbers, use_cache=False)[0]
    alone = [model(piece, use_cache=False)[0] for piece in ids.split([7, 2, 11], dim=1)]
    whole = model(ids, use_cache=False)[0]
    assert (packed - torch.cat(alone, dim=1)).abs().max() <= 32 * EPS * packed.abs().max()
    assert (packed - whole).abs().max() > 1e-3 * packed.abs().max()


def test_packed_sequences_without_seq_idx() -> None:
    model = mamba2().eval().backbone
    install("transformers")
    with pytest.raises(InvalidInputError, match="call it with seq_idx too"):
        model(tokens(1, 8), use_cache=False, cu_seqlens=torch.tensor([0, 3, 8]))
