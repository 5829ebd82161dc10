"""Makes code that imports another package run on ssmgen."""

from __future__ import annotations

from importlib.util import find_spec

from ssmgen.compat.offers import OFFERS, Offer
from ssmgen.compat.patched import Patched
from ssmgen.compat.stand_in import StandIn
from ssmgen.errors import InvalidInputError, unknown

__all__ = ["install", "uninstall"]

_installed: dict[str, StandIn | Patched] = {}


def install(name: str, *, replace: bool = False) -> None:
    """Make code that imports a package's functions run on ssmgen's; where it does already, this changes nothing.

    Where the package is not installed, modules that stand in for it hold the names that are offered, and importing
    another of its modules says which these are. It then has a version (`mamba_ssm.__version__`) and a spec, but no
    metadata: `importlib.metadata.version("mamba-ssm")` still finds nothing.

    Where the package is installed, its functions are replaced in all its modules, those that re-export them and those
    that it imports later included. What other code imported from it before stays as it was. A package that is there
    but does not import is stood in for.

    Nothing stands in for transformers, whose models are what runs: there it is always the functions that are replaced,
    those of Mamba, Mamba-2, FalconMamba and Jamba. Models that exist already run on ssmgen too.

    It holds for this process: one that is spawned must call it too.

    Args:
        name: The package, `mamba_ssm` or `transformers`; `ssmgen.compat.mamba_ssm` and `ssmgen.compat.transformers`
            have what is offered of it.
        replace: Whether to go ahead where the package is installed; of transformers that goes without saying.

    Raises:
        UnknownNameError: Nothing is offered of such a package.
        InvalidInputError: The package is installed, and `replace` is False; or it is transformers, and is not
            installed, or a release that has not all of the functions.
    """
    offer = _offer(name)
    if name in _installed:
        return
    place = _place(name)
    if offer.version is None:
        _installed[name] = _within(offer, place)
    elif place is None:
        _installed[name] = StandIn(offer)
    elif replace:
        _installed[name] = _replaced(offer)
    else:
        raise InvalidInputError(
            f"{offer.distribution} is installed here ({place}); to run its functions on ssmgen's kernels "
            f"nevertheless, call install({name!r}, replace=True)."
        )


def uninstall(name: str) -> None:
    """Take back what `install` did, if it did anything; other code keeps what it has imported since.

    Raises:
        UnknownNameError: Nothing is offered of such a package.
    """
    _offer(name)
    installed = _installed.pop(name, None)
    if installed is not None:
        installed.undo()


def _offer(name: str) -> Offer:
    if name not in OFFERS:
        raise unknown("package", name, OFFERS)
    return OFFERS[name]


def _place(package: str) -> str | None:
    """Where a package would be imported from; None where it is not installed."""
    try:
        spec = find_spec(package)
    except ValueError:  # a module without a spec, which somebody made and put there
        return "sys.modules"
    # A mere folder of that name has no origin.
    return None if spec is None else spec.origin


def _within(offer: Offer, place: str | None) -> Patched:
    """All functions of the offer replaced, or none: a model must not run half on what it was not asked to."""
    if place is None:
        raise InvalidInputError(
            f"{offer.distribution} is not installed here; install it, then call install({offer.package!r})."
        )
    patched = Patched(offer)
    if patched.missing:
        patched.undo()
        raise InvalidInputError(
            f"the {offer.distribution} installed here ({place}) has no {', '.join(patched.missing)}; install a "
            "release that has them, such as 5.24."
        )
    return patched


def _replaced(offer: Offer) -> Patched | StandIn:
    try:
        patched = Patched(offer)
    except Exception:  # a library that is missing, one of another CUDA: either way it cannot serve
        return StandIn(offer)
    # Something else of that name may have nothing of what is offered.
    return patched if len(patched.missing) < len(list(offer.names())) else StandIn(offer)
