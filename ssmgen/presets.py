"""The problems that published models run, by the models' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ssmgen.device import DeviceFacts
from ssmgen.errors import InvalidInputError, unknown
from ssmgen.request import sizes_of
from ssmgen.shapes import Fields, Wanted, wanted

__all__ = ["MODELS", "Model", "model_problems"]


class Model(NamedTuple):
    """A published model.

    Attributes:
        problems: What it runs, as fields of `ssmgen.shapes.wanted`, without a dtype.
        source: Where its sizes were published.
    """

    problems: tuple[Fields, ...]
    source: str


# The block's scan reads views of one projection in which time lies side by side.
_SCAN = {
    "op": "selective_scan",
    "D": True,
    "z": True,
    "delta_bias": True,
    "softplus": True,
    "layout": "channel",
}
_STEP = {"op": "selective_state_update", "D": True, "dt_bias": True, "softplus": True}


def _mamba(width: int, length: int, source: str) -> Model:
    """Mamba, twice as wide inside as outside, with 16 states: training, prefill and decode."""
    scan = {**_SCAN, "dim": 2 * width, "d_state": 16, "seqlen": length}
    return Model(
        (
            {**scan, "training": True},
            {**scan, "last_state": True, "training": False},
            {**_STEP, "z": True, "dim": 2 * width, "d_state": 16, "training": False},
        ),
        source,
    )


def _mamba2(width: int) -> Model:
    """Mamba-2, with heads of 64 channels, 128 states and a gated norm after the scan: training, prefill and decode."""
    sizes = {"heads": 2 * width // 64, "dim": 64, "d_state": 128}
    scan = {"op": "ssd", "D": True, "dt_bias": True, "softplus": True, "seqlen": 2048, **sizes}
    return Model(
        (
            {**scan, "training": True},
            {**scan, "last_state": True, "training": False},
            {**_STEP, "tied": True, "training": False, **sizes},
        ),
        "huggingface.co/state-spaces, config.json of mamba2-*; Dao and Gu, 2024; trained on 2048 tokens",
    )


def _s4(width: int, states: int, length: int) -> Fields:
    """The kernels of a bidirectional S4 layer."""
    sizes = {"dim": width, "poles": states // 2, "channels": 2, "seqlen": length}
    return {"op": "dplr_kernel", **sizes, "training": True}


_MAMBA = (
    "Gu and Dao, Mamba, 2023; huggingface.co/state-spaces, config.json of mamba-*; trained on 2048 tokens"
)

MODELS: Mapping[str, Model] = {
    "mamba-130m": _mamba(768, 2048, _MAMBA),
    "mamba-370m": _mamba(1024, 2048, _MAMBA),
    "mamba-790m": _mamba(1536, 2048, _MAMBA),
    "mamba-1.4b": _mamba(2048, 2048, _MAMBA),
    "mamba-2.8b": _mamba(2560, 2048, _MAMBA),
    "falcon-mamba-7b": _mamba(
        4096, 8192, "huggingface.co/tiiuae/falcon-mamba-7b, config.json; trained on 8192 tokens"
    ),
    "mamba2-130m": _mamba2(768),
    "mamba2-370m": _mamba2(1024),
    "mamba2-780m": _mamba2(1536),
    "mamba2-1.3b": _mamba2(2048),
    "mamba2-2.7b": _mamba2(2560),
    # ListOps, IMDB, AAN, CIFAR, Pathfinder, Path-X.
    "s4-lra": Model(
        (
            _s4(256, 4, 2048),
            _s4(256, 4, 4096),
            _s4(256, 4, 4000),
            _s4(512, 64, 1024),
            _s4(256, 64, 1024),
            _s4(256, 64, 16384),
        ),
        "github.com/state-spaces/s4, configs/experiment/lra/s4-*.yaml",
    ),
}


def model_problems(
    name: str, facts: DeviceFacts, sizes: Mapping[str, int], dtype: str | None = None
) -> tuple[Wanted, ...]:
    """The problems that a model runs.

    Args:
        name: One of `MODELS`.
        facts: The device, on which the default dtype depends.
        sizes: A `batch` or a `seqlen` in the place of the model's own, for every op that takes it.
        dtype: The dtype; by default the device's.

    Raises:
        UnknownNameError: There is no such model or dtype.
        InvalidInputError: Another size is given.
    """
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    for size in sizes:
        if size not in ("batch", "seqlen"):
            raise InvalidInputError(
                f"{size} is a size of the model {name} itself; only batch and seqlen may be given."
            )
    found = []
    for fields in MODELS[name].problems:
        taken = sizes_of(str(fields["op"]))
        given = {size: value for size, value in sizes.items() if size in taken}
        found.append(wanted({**fields, **given, "dtype": dtype}, facts))
    return tuple(found)
