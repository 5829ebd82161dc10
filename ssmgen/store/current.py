"""Whether an entry still is what was measured."""

from __future__ import annotations

from ssmgen.errors import SsmgenError
from ssmgen.kernels import Space, variants
from ssmgen.store.entry import TunedConfig

__all__ = ["is_current"]


def is_current(entry: TunedConfig) -> bool:
    """Whether the space still holds an entry's config and the templates render what was tuned.

    What does not is passed over by dispatch, on every machine.
    """
    language = "c" if entry.device.kind == "cpu" else "triton"
    space = Space.of(entry.problem, entry.device, variants(entry.problem.op, language))
    try:
        variant = space.check(entry.config)
    except SsmgenError:
        return False
    return variant.source(entry.problem, entry.config).hash == entry.source_hash
