"""The formulas in plain PyTorch: the oracle of verification, the last resort, and the source of gradients."""

from ssmgen.reference.cauchy_mult import cauchy_mult
from ssmgen.reference.linear_scan import linear_scan
from ssmgen.reference.selective_scan import selective_scan
from ssmgen.reference.selective_state_update import selective_state_update

__all__ = ["cauchy_mult", "linear_scan", "selective_scan", "selective_state_update"]
