"""Kernels in Triton, for GPUs and the interpreter."""

from __future__ import annotations

from ssmgen.kernels.triton import (
    cauchy_mult,
    cauchy_mult_backward,
    causal_conv1d,
    dplr_kernel,
    dplr_kernel_backward,
    linear_scan,
    selective_scan,
    selective_scan_backward,
    selective_scan_segments,
    selective_scan_split,
    selective_scan_tiles,
    selective_state_update,
    ssd,
    vandermonde,
)
from ssmgen.kernels.variant import Variant

__all__ = ["VARIANTS"]

VARIANTS: tuple[Variant, ...] = (
    *selective_scan.SCANS,
    *selective_scan_split.SCANS,
    *selective_scan_tiles.SCANS,
    *selective_scan_backward.SCANS,
    *selective_scan_segments.SCANS,
    *selective_state_update.UPDATES,
    *ssd.SCANS,
    *linear_scan.SCANS,
    *causal_conv1d.CONVOLUTIONS,
    *cauchy_mult.PRODUCTS,
    *cauchy_mult_backward.GRADIENTS,
    *dplr_kernel.KERNELS,
    *dplr_kernel_backward.GRADIENTS,
    *vandermonde.PRODUCTS,
)
