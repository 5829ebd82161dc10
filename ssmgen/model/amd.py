"""Machine code of AMD GPUs: the assembly that LLVM writes for Triton, as a `Listing`."""

from __future__ import annotations

import re

from ssmgen.model.listing import Instruction, Jump, Listing

__all__ = ["parse"]

_LINE = re.compile(r"^\s+\.loc\s+\d+\s+(\d+)(?:[^;]*;.*@\[ .*?:(\d+):\d+ [\] ]+$)?")
_LABEL = re.compile(r"^(\.LBB\w+):")
_INSTRUCTION = re.compile(
    r"^\s+(?P<name>(?:v|s|ds|global|buffer|flat|scratch|tbuffer)_\w+)(?P<operands>[^;]*)"
)
_TARGET = re.compile(r"\.LBB\w+")  # far ones are an address, which s_setpc takes
_COUNT = re.compile(r"(vmcnt|lgkmcnt|vscnt)(?:\((\d+)\)|\s+null, 0x([0-9a-f]+))")
_METADATA = re.compile(r"^\s+(?:- )?\.(vgpr_count|vgpr_spill_count):\s+(\d+)", re.MULTILINE)
# Counters: vmcnt of memory, lgkmcnt of the block's memory and of scalar loads, and since gfx10 vscnt of stores, which
# until then count as vector memory. A store counts until it has reached the cache of all blocks.
_VECTOR, _LOCAL, _STORED = 0, 1, 2
_COUNTER = {"vmcnt": _VECTOR, "lgkmcnt": _LOCAL, "vscnt": _STORED}
_STORES_APART = re.compile(r"amdhsa--gfx1\d")

_SPECIAL = re.compile(r"v_(?:exp|log|rcp|rsq|sqrt|sin|cos|rcp_iflag)_f(?:16|32)")
_MULTIPLY = re.compile(
    r"v_(?:pk_)?(?:dual_)?(?:fma|fmac|fmamk|fmaak|mul|add|sub|subrev|mac|mad)\w*_(?:f32|f16|legacy)"
)
_SCALAR_LOADS = ("s_load", "s_buffer_load")
_CONTROL = (
    "s_waitcnt",
    "s_nop",
    "s_branch",
    "s_cbranch",
    "s_barrier",
    "s_endpgm",
    "s_delay_alu",
    "s_clause",
    "s_sleep",
)
_SIZES: tuple[tuple[str, int], ...] = (
    *((name, 64) for name in ("dwordx16", "b512")),
    *((name, 32) for name in ("dwordx8", "b256")),
    *((name, 16) for name in ("dwordx4", "b128", "x4")),
    *((name, 12) for name in ("dwordx3", "b96")),
    *((name, 8) for name in ("dwordx2", "b64")),
    *((name, 4) for name in ("dword", "b32")),
    *((name, 2) for name in ("short", "b16", "u16", "i16", "d16")),
    *((name, 1) for name in ("byte", "b8", "u8", "i8")),
)


def parse(text: str) -> Listing:
    """The listing of Triton's `amdgcn` stage of one launch."""
    found: list[Instruction] = []
    labels: dict[str, int] = {}
    branches: dict[int, tuple[str | None, bool]] = {}
    line, far = 0, ""
    stores = _STORED if _STORES_APART.search(text) else _VECTOR
    for row in text.splitlines():
        mark, label, match = _LINE.match(row), _LABEL.match(row), _INSTRUCTION.match(row)
        if mark is not None:
            # Of a helper that was inlined, the line that calls it; 0 marks what no line stands for.
            line = int(mark[2] or mark[1]) or line
        elif label is not None:
            labels[label[1]] = len(found)
        elif match is not None:
            name, operands = match["name"], match["operands"]
            if name == "s_endpgm":
                branches[len(found)] = (None, False)
            elif name.startswith(("s_branch", "s_cbranch")):
                branches[len(found)] = (operands.strip(), name.startswith("s_cbranch"))
            elif name.startswith("s_setpc"):
                branches[len(found)] = (far, False)
            far = target[0] if (target := _TARGET.search(operands)) else far
            found.append(_instruction(name, operands, line, stores))
    jumps = {index: Jump(labels.get(target or ""), passes) for index, (target, passes) in branches.items()}
    facts = {name: int(value) for name, value in _METADATA.findall(text)}
    # Accumulation registers are among them: since gfx90a they share one file.
    return Listing.of(found, jumps, facts.get("vgpr_count", 0), facts.get("vgpr_spill_count", 0))


def _instruction(name: str, operands: str, line: int, stores: int) -> Instruction:
    pipe, kind = _pipe_and_kind(name)
    said = _COUNT.findall(f"{name} {operands}")
    waits = tuple((_COUNTER[which], int(count or high, 10 if count else 16)) for which, count, high in said)
    marks: tuple[tuple[int, str], ...] = ()
    if pipe == "global":
        marks = ((stores if "_store" in name else _VECTOR, "result"),)
        # Until its address is known, a flat access may be to the block's memory.
        marks += ((_LOCAL, "result"),) if name.startswith("flat_") else ()
    elif pipe == "shared" or name.startswith(_SCALAR_LOADS):
        marks = ((_LOCAL, "result"),)
    # How long a wave is kept by an instruction depends on the pipe's width alone: see `devices`.
    return Instruction(name, pipe, line, 0, marks, waits, _bytes(name) if marks else 0, kind)


def _pipe_and_kind(name: str) -> tuple[str, str]:
    if name.startswith("scratch_"):
        return "global", "spill"
    if name.startswith(("global_", "buffer_", "flat_", "tbuffer_")):
        kind = "atomic" if "atomic" in name else "store" if "store" in name else "load"
        return "global", kind if "wbl2" not in name and "inv" not in name else ""
    if name.startswith("ds_"):
        kind = "atomic" if "_add" in name else "shuffle" if "permute" in name or "swizzle" in name else ""
        return "shared", kind
    if name.startswith(_CONTROL):
        return "control", "barrier" if name == "s_barrier" else "branch" if "branch" in name else ""
    if name.startswith("s_"):
        return "scalar", "load" if name.startswith(_SCALAR_LOADS) else ""
    if name.startswith(("v_mfma", "v_wmma", "v_smfmac")):
        return "tensor", ""
    if _SPECIAL.match(name):
        return "mufu", ""
    if "_f64" in name:
        return "double", ""
    return ("fma" if _MULTIPLY.match(name) else "alu"), ""


def _bytes(name: str) -> int:
    pair = (
        2
        if name.startswith(("ds_read2", "ds_write2", "ds_load_2", "ds_store_2", "ds_load2", "ds_store2"))
        else 1
    )
    return pair * next((size for text, size in _SIZES if text in name), 4)
