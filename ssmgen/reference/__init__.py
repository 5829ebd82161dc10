"""The formulas in plain PyTorch: the oracle of verification, the last resort, and the source of gradients."""

from ssmgen.reference.cauchy_mult import cauchy_mult
from ssmgen.reference.linear_scan import linear_scan
from ssmgen.reference.selective_scan import selective_scan
from ssmgen.reference.selective_state_update import is_padding, replaced, selective_state_update

__all__ = ["cauchy_mult", "is_padding", "linear_scan", "replaced", "selective_scan", "selective_state_update"]
