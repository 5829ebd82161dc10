"""A package that is there, with some of its functions replaced."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ssmgen.compat.offers import Offer

__all__ = ["Patched"]


class Patched:
    """Replaces the functions of an offer in every module of the package that has them, re-exports included.

    Attributes:
        missing: Which functions the package lacks, with their modules; another release may lack some.
    """

    def __init__(self, offer: Offer) -> None:
        """Replace them.

        Raises:
            Exception: Whatever importing the package raises; then nothing is replaced.
        """
        self._offer = offer
        ours = importlib.import_module(offer.source)
        modules = {name: _imported(name) for name in offer.modules}
        pairs = [
            (getattr(modules[module], name, None), getattr(ours, name)) for module, name in offer.names()
        ]
        self.missing = [
            f"{module}.{name}"
            for (module, name), (theirs, _) in zip(offer.names(), pairs, strict=True)
            if theirs is None
        ]
        self._pairs = [(theirs, own) for theirs, own in pairs if theirs is not None]
        self._replaced = self._swap(self._pairs)

    def undo(self) -> None:
        """Put theirs back, also in modules of the package that were imported since."""
        # One of ours may have taken the place of several of theirs, one in each module.
        for module, name, theirs, own in self._replaced:
            if vars(module).get(name) is own:
                setattr(module, name, theirs)
        self._swap([(own, theirs) for theirs, own in self._pairs])

    def _swap(self, pairs: list[tuple[object, object]]) -> list[tuple[ModuleType, str, object, object]]:
        """What was replaced: the module, the name there, what it was and what it is now."""
        replaced = []
        for module in [module for name, module in sys.modules.items() if self._offer.holds(name)]:
            for name, value in list(vars(module).items()):
                for old, new in pairs:
                    if value is old:
                        setattr(module, name, new)
                        replaced.append((module, name, old, new))
                        break
        return replaced


def _imported(name: str) -> ModuleType | None:
    """The module; None where the package has none of that name, or none that it would be in."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None
