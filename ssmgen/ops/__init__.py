"""The public ops, one file each."""

from ssmgen.ops.cauchy_mult import cauchy_mult
from ssmgen.ops.dplr_kernel import dplr_kernel
from ssmgen.ops.fft_conv import fft_conv
from ssmgen.ops.linear_scan import linear_scan
from ssmgen.ops.log_vandermonde import log_vandermonde
from ssmgen.ops.log_vandermonde_transpose import log_vandermonde_transpose
from ssmgen.ops.selective_scan import selective_scan
from ssmgen.ops.selective_state_update import selective_state_update

__all__ = [
    "cauchy_mult",
    "dplr_kernel",
    "fft_conv",
    "linear_scan",
    "log_vandermonde",
    "log_vandermonde_transpose",
    "selective_scan",
    "selective_state_update",
]
