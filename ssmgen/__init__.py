"""Tuned kernels for state-space models: generated from templates, tuned on the machine at hand, used by these ops."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ssmgen.errors import (
    CompileError,
    ConfigFileError,
    ConfigFileWarning,
    InvalidInputError,
    ReferenceWarning,
    SsmgenError,
    TargetUnavailableError,
    UnknownNameError,
    UntunedWarning,
)

if TYPE_CHECKING:
    from ssmgen import compat, nn
    from ssmgen.ops import (
        cauchy_mult,
        dplr_kernel,
        fft_conv,
        linear_scan,
        log_vandermonde,
        log_vandermonde_transpose,
        selective_scan,
        selective_state_update,
    )

try:
    __version__ = version("ssmgen")
except PackageNotFoundError:  # used from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "CompileError",
    "ConfigFileError",
    "ConfigFileWarning",
    "InvalidInputError",
    "ReferenceWarning",
    "SsmgenError",
    "TargetUnavailableError",
    "UnknownNameError",
    "UntunedWarning",
    "__version__",
    "cauchy_mult",
    "compat",
    "dplr_kernel",
    "fft_conv",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "nn",
    "selective_scan",
    "selective_state_update",
]


_OPS = (
    "cauchy_mult",
    "dplr_kernel",
    "fft_conv",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "selective_scan",
    "selective_state_update",
)


def __getattr__(name: str) -> object:
    if name in ("compat", "nn"):
        return import_module(f"ssmgen.{name}")
    # The ops bring PyTorch, which takes seconds to import and which `ssmgen --help` does without.
    if name not in _OPS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module("ssmgen.ops"), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
