"""Mamba of transformers on its own PyTorch code and on ssmgen, in one run, in turns.

    python benchmarks/transformers_models.py

A model of the sizes of mamba-130m with random weights, float32. A prefill is timed three times over: by transformers'
code, by ssmgen's, and by functions in the place of scan and convolution that return what they are given. The last is
the ceiling: all else a model does is the same. Then decoding, one token at a time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from torch import Tensor
from transformers import MambaConfig, MambaForCausalLM
from transformers.models.mamba import modeling_mamba

from ssmgen.compat import install, uninstall
from ssmgen.compat.offers import OFFERS

Functions = Mapping[str, Callable[..., Any]]
NAMES = OFFERS["transformers"].modules[modeling_mamba.__name__]


@dataclass(frozen=True)
class Prefill:
    """Seconds of a prefill, and of the scans and convolutions in it."""

    all: float
    part: float


def free_convolution(hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
    return hidden_states


def free_scan(
    hidden_states: Tensor, dt: Tensor, A: Tensor, *args: object, return_last_state: bool, **kwargs: object
) -> Any:
    if not return_last_state:
        return hidden_states
    return hidden_states, hidden_states.new_zeros(*hidden_states.shape[:2], A.shape[1])


def free_step(state: Tensor, hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
    return hidden_states


def providers() -> dict[str, Functions]:
    """Transformers' functions, ssmgen's, and those that do nothing."""
    theirs = {name: getattr(modeling_mamba, name) for name in NAMES}
    install("transformers")
    ours = {name: getattr(modeling_mamba, name) for name in NAMES}
    uninstall("transformers")
    free = theirs | {
        "causal_conv1d_fn": free_convolution,
        "causal_conv1d_update": free_convolution,
        "mamba_selective_scan": free_scan,
        "mamba_selective_state_update": free_step,
    }
    return {"transformers": theirs, "ssmgen": ours, "free": free}


@contextmanager
def running(functions: Functions) -> Iterator[list[float]]:
    """The model's functions are these; the seconds of each call are in the list."""
    spent: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            spent.append(time.perf_counter() - start)
            return result

        return call

    with mock.patch.multiple(modeling_mamba, **{name: timed(f) for name, f in functions.items()}):
        yield spent


def prefill(model: MambaForCausalLM, ids: Tensor, functions: Functions) -> Prefill:
    with running(functions) as spent:
        start = time.perf_counter()
        model(ids, use_cache=True, logits_to_keep=1)
        return Prefill(time.perf_counter() - start, sum(spent))


def decoding(
    model: MambaForCausalLM, prompt: Tensor, kinds: Mapping[str, Functions], count: int
) -> tuple[dict[str, list[int]], dict[str, float]]:
    """The greedy tokens of each kind, and the median seconds of a step; the kinds take steps in turns."""
    caches, tokens, times = {}, {}, {}
    for kind, functions in kinds.items():
        with running(functions):
            first = model(prompt, use_cache=True, logits_to_keep=1)
        caches[kind], tokens[kind], times[kind] = first.cache, [int(first.logits[0, -1].argmax())], []
    for _ in range(count - 1):
        for kind, functions in kinds.items():
            latest = torch.tensor([[tokens[kind][-1]]])
            with running(functions):
                start = time.perf_counter()
                found = model(latest, cache=caches[kind], use_cache=True)
                times[kind].append(time.perf_counter() - start)
            tokens[kind].append(int(found.logits[0, -1].argmax()))
    # The first step compiles and fills caches.
    return tokens, {kind: median(samples[1:]) for kind, samples in times.items()}


def main(
    seqlen: Annotated[int, typer.Option(help="tokens of the prefill")] = 1024,
    layers: Annotated[int, typer.Option(help="layers of the model; mamba-130m has 24")] = 24,
    tokens: Annotated[int, typer.Option(help="tokens to decode, at least 3")] = 32,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    rounds: Annotated[int, typer.Option(help="prefills of each")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare a prefill and decoding; exit with 1 where greedy tokens differ."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    model = MambaForCausalLM(MambaConfig(hidden_size=768, num_hidden_layers=layers, state_size=16)).eval()
    ids = torch.randint(0, model.config.vocab_size, (1, seqlen))
    kinds = providers()
    samples: dict[str, list[Prefill]] = {kind: [] for kind in kinds}
    for _ in range(rounds + 1):
        for kind, functions in kinds.items():
            samples[kind].append(prefill(model, ids, functions))
    prefills = {
        kind: Prefill(median(x.all for x in found[1:]), median(x.part for x in found[1:]))
        for kind, found in samples.items()
    }
    greedy, steps = decoding(model, ids, kinds, tokens)
    theirs, ours, free = (prefills[kind] for kind in kinds)
    equal = greedy["transformers"] == greedy["ssmgen"]
    ratios = {
        "part": theirs.part / ours.part,
        "prefill": theirs.all / ours.all,
        "ceiling": theirs.all / free.all,
        "of_ceiling": free.all / ours.all,
        "decoding": steps["transformers"] / steps["ssmgen"],
        "decoding_ceiling": steps["transformers"] / steps["free"],
    }
    if as_json:
        found = {
            "seqlen": seqlen,
            "layers": layers,
            "threads": threads,
            "rounds": rounds,
            "torch": torch.__version__,
            "prefill_seconds": {kind: asdict(x) for kind, x in prefills.items()},
            "step_seconds": steps,
            "ratios": ratios,
            "tokens": tokens,
            "same_tokens": equal,
        }
        print(json.dumps(found, indent=2))
    else:
        print(f"{'ms':<28}{'transformers':>14}{'ssmgen':>10}{'free':>10}{'times':>8}{'ceiling':>9}")
        rows = (
            ("scan and convolution", [x.part for x in prefills.values()], ratios["part"], None),
            (
                f"prefill of {seqlen} tokens",
                [x.all for x in prefills.values()],
                ratios["prefill"],
                ratios["ceiling"],
            ),
            ("a token", list(steps.values()), ratios["decoding"], ratios["decoding_ceiling"]),
        )
        for name, (a, b, c), ratio, ceiling in rows:
            last = "" if ceiling is None else f"{ceiling:9.2f}"
            print(f"{name:<28}{1e3 * a:14.2f}{1e3 * b:10.2f}{1e3 * c:10.2f}{ratio:8.2f}{last}")
        print(
            f"the prefill is {ratios['of_ceiling']:.2f} of the ceiling; {tokens} greedy tokens are "
            + ("the same" if equal else "NOT the same")
        )
    if not equal:
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
