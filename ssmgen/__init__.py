"""Tuned kernels for state-space models: generated from templates, tuned on the machine at hand, used by these ops."""

from importlib.metadata import PackageNotFoundError, version

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
    VerificationError,
)
from ssmgen.ops import cauchy_mult, linear_scan, selective_scan

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
    "VerificationError",
    "__version__",
    "cauchy_mult",
    "linear_scan",
    "selective_scan",
]
