"""Modules that stand in for a package that is not there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from ssmgen.compat.offers import Offer

__all__ = ["StandIn"]


class StandIn(MetaPathFinder, Loader):
    """Finds and fills the modules of an offer, by Python's own machinery, so that they have all that modules have."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._ours = importlib.import_module(offer.source)
        # Left by a package that failed halfway through its import.
        self._hidden = self._remove()
        sys.meta_path.insert(0, self)
        for module in offer.modules:
            importlib.import_module(module)

    def undo(self) -> None:
        """Leave no trace but in the code that has imported from here."""
        sys.meta_path.remove(self)
        self._remove()
        sys.modules.update(self._hidden)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is offered.

        Raises:
            ModuleNotFoundError: The package's other modules; `importlib.util.find_spec` raises it too.
        """
        if not self._offer.holds(fullname):
            return None
        if fullname not in self._offer.modules:
            raise ModuleNotFoundError(f"No module named {fullname!r}: {self._explanation()}", name=fullname)
        is_package = any(other.startswith(f"{fullname}.") for other in self._offer.modules)
        return spec_from_loader(fullname, self, origin=self._ours.__file__, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        """Fill a module with the names it offers."""
        name = module.__name__
        module.__doc__ = f"ssmgen's stand-in for {name}."
        module.__file__ = self._ours.__file__
        if name == self._offer.package:
            module.__dict__["__version__"] = self._offer.version
        for offered in self._offer.modules[name]:
            setattr(module, offered, getattr(self._ours, offered))

        def missing(attribute: str) -> object:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}: {self._explanation()}")

        module.__dict__["__getattr__"] = missing

    def _explanation(self) -> str:
        offer = self._offer
        return (
            f"{offer.package} is ssmgen's stand-in, which offers {offer}. "
            f"For anything else, install {offer.distribution}."
        )

    def _remove(self) -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if self._offer.holds(name)}
