"""The formulas in plain PyTorch: the oracle of verification, the last resort, and the source of gradients."""

from ssmgen.reference.cauchy_mult import cauchy_mult
from ssmgen.reference.causal_conv1d import causal_conv1d, causal_conv1d_update
from ssmgen.reference.dplr_kernel import dplr_spectrum
from ssmgen.reference.linear_scan import linear_scan
from ssmgen.reference.log_vandermonde import log_vandermonde, log_vandermonde_transpose
from ssmgen.reference.selective_scan import selective_scan
from ssmgen.reference.selective_state_update import is_padding, replaced, selective_state_update
from ssmgen.reference.ssd import ssd, ssd_by_steps

__all__ = [
    "cauchy_mult",
    "causal_conv1d",
    "causal_conv1d_update",
    "dplr_spectrum",
    "is_padding",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "replaced",
    "selective_scan",
    "selective_state_update",
    "ssd",
    "ssd_by_steps",
]
