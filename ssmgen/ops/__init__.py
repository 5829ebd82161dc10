"""The public ops, one file each."""

from ssmgen.ops.cauchy_mult import cauchy_mult
from ssmgen.ops.causal_conv1d import causal_conv1d
from ssmgen.ops.causal_conv1d_update import causal_conv1d_update
from ssmgen.ops.dplr_kernel import dplr_kernel
from ssmgen.ops.fft_conv import fft_conv
from ssmgen.ops.linear_scan import linear_scan
from ssmgen.ops.log_vandermonde import log_vandermonde
from ssmgen.ops.log_vandermonde_transpose import log_vandermonde_transpose
from ssmgen.ops.selective_scan import selective_scan
from ssmgen.ops.selective_state_update import selective_state_update
from ssmgen.ops.ssd import ssd

__all__ = [
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
]
