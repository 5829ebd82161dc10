"""The public ops, one file each."""

from ssmgen.ops.cauchy_mult import cauchy_mult
from ssmgen.ops.linear_scan import linear_scan
from ssmgen.ops.selective_scan import selective_scan
from ssmgen.ops.selective_state_update import selective_state_update

__all__ = ["cauchy_mult", "linear_scan", "selective_scan", "selective_state_update"]
