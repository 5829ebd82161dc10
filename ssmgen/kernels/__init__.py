"""Kernel families: spaces, rules, launch geometry, and which template serves which problem."""

from __future__ import annotations

import functools

from ssmgen.kernels.interface import Assumptions, Interface, Operand
from ssmgen.kernels.interfaces import INTERFACES, interface
from ssmgen.kernels.program import Launch, Program, Workspace
from ssmgen.kernels.space import Space
from ssmgen.kernels.variant import Rule, Variant

__all__ = [
    "INTERFACES",
    "Assumptions",
    "Interface",
    "Launch",
    "Operand",
    "Program",
    "Rule",
    "Space",
    "Variant",
    "Workspace",
    "interface",
    "variants",
]


@functools.cache
def variants(op: str, language: str) -> tuple[Variant, ...]:
    """The variants of an op in a language, the one that is used untuned first; none for the reference."""
    if language == "triton":
        from ssmgen.kernels.triton import VARIANTS
    elif language == "c":
        from ssmgen.kernels.c import VARIANTS
    else:
        return ()
    return tuple(variant for variant in VARIANTS if variant.interface.op == interface(op).op)
