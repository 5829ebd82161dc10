"""Kernels in C, for the CPU."""

from __future__ import annotations

from ssmgen.kernels.c.selective_scan import SCANS
from ssmgen.kernels.variant import Variant

__all__ = ["VARIANTS"]

VARIANTS: tuple[Variant, ...] = SCANS
