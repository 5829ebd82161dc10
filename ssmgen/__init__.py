"""Tuned kernels for state-space models: generated from templates, tuned on the machine at hand, used by these ops."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ssmgen.errors import (
    CompileError,
    ConfigFileError,
    ConfigFileWarning,
    FrozenError,
    InvalidInputError,
    ReferenceWarning,
    SsmgenError,
    TargetUnavailableError,
    UnknownNameError,
    UntunedWarning,
)
from ssmgen.freezing import freeze, frozen, unfreeze

if TYPE_CHECKING:
    from ssmgen import compat, nn
    from ssmgen.agreement import digest
    from ssmgen.ops.cauchy_mult import cauchy_mult
    from ssmgen.ops.causal_conv1d import causal_conv1d
    from ssmgen.ops.causal_conv1d_update import causal_conv1d_update
    from ssmgen.ops.dplr_kernel import dplr_kernel
    from ssmgen.ops.fft_conv import fft_conv
    from ssmgen.ops.launcher import launcher
    from ssmgen.ops.linear_scan import linear_scan
    from ssmgen.ops.log_vandermonde import log_vandermonde
    from ssmgen.ops.log_vandermonde_transpose import log_vandermonde_transpose
    from ssmgen.ops.selective_scan import selective_scan
    from ssmgen.ops.selective_state_update import selective_state_update
    from ssmgen.ops.ssd import ssd
    from ssmgen.warming import warmup

try:
    __version__ = version("ssmgen")
except PackageNotFoundError:  # used from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "CompileError",
    "ConfigFileError",
    "ConfigFileWarning",
    "FrozenError",
    "InvalidInputError",
    "ReferenceWarning",
    "SsmgenError",
    "TargetUnavailableError",
    "UnknownNameError",
    "UntunedWarning",
    "__version__",
    "cauchy_mult",
    "causal_conv1d",
    "causal_conv1d_update",
    "compat",
    "digest",
    "dplr_kernel",
    "fft_conv",
    "freeze",
    "frozen",
    "launcher",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "nn",
    "selective_scan",
    "selective_state_update",
    "ssd",
    "unfreeze",
    "warmup",
]


_OPS = (
    "cauchy_mult",
    "causal_conv1d",
    "causal_conv1d_update",
    "dplr_kernel",
    "fft_conv",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "selective_scan",
    "selective_state_update",
    "ssd",
)
# They bring PyTorch, which takes seconds to import and which `ssmgen --help` does without.
_MODULES = {
    **dict.fromkeys(_OPS, "ssmgen.ops"),
    "digest": "ssmgen.agreement",
    "launcher": "ssmgen.ops.launcher",
    "warmup": "ssmgen.warming",
}


def __getattr__(name: str) -> object:
    if name in ("compat", "nn"):
        return import_module(f"ssmgen.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
