"""Kernels in C, for the CPU."""

from __future__ import annotations

from ssmgen.kernels.c import (
    cauchy_mult,
    cauchy_mult_backward,
    causal_conv1d,
    dplr_kernel,
    linear_scan,
    selective_scan,
    selective_scan_backward,
    selective_state_update,
    ssd,
    vandermonde,
)
from ssmgen.kernels.variant import Variant

__all__ = ["VARIANTS"]

VARIANTS: tuple[Variant, ...] = (
    *selective_scan.SCANS,
    *selective_scan_backward.SCANS,
    *selective_state_update.UPDATES,
    *ssd.SCANS,
    *linear_scan.SCANS,
    *causal_conv1d.CONVOLUTIONS,
    *cauchy_mult.PRODUCTS,
    *cauchy_mult_backward.PRODUCTS,
    *dplr_kernel.KERNELS,
    *vandermonde.PRODUCTS,
)
