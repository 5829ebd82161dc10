"""A package that is there, with some of its functions replaced."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ssmgen.compat.offers import Offer

__all__ = ["Patched"]


class Patched:
    """Replaces the functions of an offer in every module of the package that has them, re-exports included."""

    def __init__(self, offer: Offer) -> None:
        """Replace them.

        Raises:
            Exception: Whatever importing the package raises; then nothing is replaced.
        """
        self._offer = offer
        ours = importlib.import_module(offer.source)
        modules = {name: _imported(name) for name in offer.modules}
        # An older release may lack some, or whole modules.
        pairs = [
            (getattr(modules[module], name, None), getattr(ours, name)) for module, name in offer.names()
        ]
        self._pairs = [(theirs, own) for theirs, own in pairs if theirs is not None]
        self._swap(self._pairs)

    def undo(self) -> None:
        """Put theirs back, also in modules of the package that were imported since."""
        self._swap([(own, theirs) for theirs, own in self._pairs])

    def _swap(self, pairs: list[tuple[object, object]]) -> None:
        for module in [module for name, module in sys.modules.items() if self._offer.holds(name)]:
            for name, value in list(vars(module).items()):
                for old, new in pairs:
                    if value is old:
                        setattr(module, name, new)


def _imported(name: str) -> ModuleType | None:
    """The module; None where the package has none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
