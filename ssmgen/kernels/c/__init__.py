"""Kernels in C, for the CPU."""

from __future__ import annotations

from ssmgen.kernels.c import (
    cauchy_mult,
    cauchy_mult_backward,
    dplr_kernel,
    linear_scan,
    selective_scan,
    selective_scan_backward,
    selective_state_update,
    vandermonde,
)
from ssmgen.kernels.variant import Variant

__all__ = ["VARIANTS"]

VARIANTS: tuple[Variant, ...] = (
    *selective_scan.SCANS,
    *selective_scan_backward.SCANS,
    *selective_state_update.UPDATES,
    *linear_scan.SCANS,
    *cauchy_mult.PRODUCTS,
    *cauchy_mult_backward.PRODUCTS,
    *dplr_kernel.KERNELS,
    *vandermonde.PRODUCTS,
)
