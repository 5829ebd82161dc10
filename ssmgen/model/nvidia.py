"""Machine code of NVIDIA GPUs: what nvdisasm prints of a cubin, as a `Listing`.

The control bits of an instruction, which compilers fill in since Maxwell, say how long a warp waits after it and on
which of six scoreboards it marks or awaits a result. Their place in the 128 bits was found by measurement (Jia et al.,
Dissecting the NVIDIA Volta GPU Architecture via Microbenchmarking, 2018, section 2).
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from pathlib import Path

from ssmgen.errors import CompileError
from ssmgen.model.listing import Instruction, Jump, Listing

__all__ = ["disassemble", "parse", "registers"]

_TIMEOUT_SECONDS = 120
_LINE = re.compile(
    r'^\s*//## File "(?P<file>[^"]*)", line (?P<line>\d+)(?: inlined at .*?"[^"]*", line (?P<at>\d+))?'
)
_INSTRUCTION = re.compile(
    r"^\s+/\*[0-9a-f]{4,}\*/\s+(?P<guard>@!?U?P\w+\s+)?(?P<name>[A-Z][\w.]*)(?P<operands>[^;]*);\s*/\* 0x[0-9a-f]+ \*/"
)
_ENCODING = re.compile(r"^\s+/\* 0x(?P<high>[0-9a-f]+) \*/")
_LABEL = re.compile(r"^(\.L_\w+):")
_REGISTER = re.compile(r"\bR(\d+)\b")
_GUARD = re.compile(r"\s*!?U?P\d")
_BRANCH = re.compile(r"\.L_\w+")
_OUTSTANDING = re.compile(r"SB(\d), 0x([0-9a-f]+)")
# Ways out for warps that have diverged, which the generated kernels never take.
_DIVERGED = ("BRA.DIV", "BRA.CONV")
_NONE = 7  # the scoreboard that stands for none
_REGISTERS = (4, 0x2F)  # EIFMT_SVAL, EIATTR_REGCOUNT
_SIZED = 4  # EIFMT_SVAL: what follows is as long as the value says; of others the value is all

_PIPES = {
    "fma": "FFMA FMUL FADD FFMA2 FMUL2 FADD2 FFMA32I FSWZADD HFMA2 HADD2 HMUL2 IMAD",
    "double": "DFMA DMUL DADD DSETP DMNMX",
    # Conversions between kinds of numbers go where special functions go.
    "mufu": "MUFU F2I I2F F2F FRND FLO POPC",
    "tensor": "HMMA IMMA DMMA BMMA QGMMA HGMMA UTCHMMA",
    "global": "LDG STG LDL STL LD ST ATOM ATOMG RED REDG LDGSTS LDGDEPBAR CCTL UBLKCP",
    "shared": "LDS STS LDSM STSM SHFL ATOMS BAR LDC S2R REDUX MATCH VOTE CREDUX",
    "control": "BRA EXIT BSSY BSYNC WARPSYNC NOP RET CALL DEPBAR BREAK YIELD MEMBAR ERRBAR",
}
_PIPE_OF = {name: pipe for pipe, names in _PIPES.items() for name in names.split()}
_KINDS = {
    "load": ("LDG", "LD", "LDGSTS"),
    "store": ("STG", "ST"),
    "spill": ("LDL", "STL"),
    "atomic": ("ATOM", "ATOMG", "ATOMS", "RED", "REDG"),
    "barrier": ("BAR",),
    "shuffle": ("SHFL",),
    "branch": ("BRA",),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}


def disassemble(cubin: bytes, nvdisasm: str) -> str:
    """What nvdisasm prints of a cubin: instructions with their encodings and source lines.

    Raises:
        CompileError: nvdisasm is not there, or cannot read the cubin.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [
            nvdisasm,
            "--print-code",
            "--print-instruction-encoding",
            "--print-line-info-inline",
            str(path),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CompileError(
                f"machine code cannot be read ({error}); Triton's wheel brings nvdisasm: reinstall it, or set "
                "TRITON_NVDISASM_PATH."
            ) from error
    return done.stdout


def registers(cubin: bytes) -> int:
    """Registers of a lane that the assembler asks for: more than instructions name, since it keeps some for itself.

    Raises:
        CompileError: The cubin does not say.
    """
    # An ELF file: its section headers, and in `.nv.info` attributes of a format, a kind, and a size or a value.
    (start,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<HHH", cubin, 58)
    headers = [struct.unpack_from("<IIQQQQ", cubin, start + number * size) for number in range(count)]
    for name, _, _, _, offset, length in headers:
        if not cubin.startswith(b".nv.info\0", headers[names][4] + name):
            continue
        place = offset
        while place + 4 <= offset + length:
            form, kind, value = struct.unpack_from("<BBH", cubin, place)
            if (form, kind) == _REGISTERS:
                return int(struct.unpack_from("<I", cubin, place + 8)[0])
            place += 4 + (value if form == _SIZED else 0)
    raise CompileError("the machine code does not say how many registers it takes; report this.")


def parse(text: str, registers: int = 0) -> Listing:
    """The listing of what `disassemble` gives.

    Args:
        text: The text.
        registers: See `registers`; by default as many as the instructions name.
    """
    found: list[Instruction] = []
    labels: dict[str, int] = {}
    branches: dict[int, tuple[str | None, bool]] = {}
    named, line = 0, 0
    lines = iter(text.splitlines())
    for row in lines:
        mark, label, match = _LINE.match(row), _LABEL.match(row), _INSTRUCTION.match(row)
        if mark is not None:
            # Of a helper that was inlined, the line that calls it.
            line = int(mark["at"] or mark["line"])
        elif label is not None:
            labels[label[1]] = len(found)
        elif match is not None:
            encoding = _ENCODING.match(next(lines, ""))
            control = (int(encoding["high"], 16) if encoding else 0) >> 41
            name, operands = match["name"], match["operands"]
            named = max([named, *(int(number) + 1 for number in _REGISTER.findall(operands))])
            target = _BRANCH.search(operands)
            # For sm_80 to sm_89 the assembler also jumps by a call, to a label of the function's own.
            jumps_away = name.startswith(("BRA", "EXIT", "RET")) or (name.startswith("CALL.REL") and target)
            if jumps_away and not name.startswith(_DIVERGED):
                # Guarded by a predicate in front, or among the operands (`BRA.U !UP0, ...`).
                guarded = bool(match["guard"]) or bool(_GUARD.match(operands))
                branches[len(found)] = (target[0] if target else None, guarded)
            if not name.startswith("NOP"):
                # What no predicate lets run, as stands before copies to shared memory, is issued and no more.
                never = (match["guard"] or "").strip() == "@!PT"
                found.append(_instruction("NOP" if never else name, operands, line, control))
    jumps = {index: Jump(labels.get(target or ""), passes) for index, (target, passes) in branches.items()}
    spills = sum(item.kind == "spill" for item in found)
    return Listing.of(found, jumps, registers or named, spills)


def _instruction(name: str, operands: str, line: int, control: int) -> Instruction:
    base = name.split(".")[0]
    scoreboards = [(control >> shift & 7, what) for shift, what in ((5, "result"), (8, "operands"))]
    awaited = control >> 11 & 63
    waits = [(number, 0) for number in range(6) if awaited >> number & 1]
    if base == "DEPBAR" and (said := _OUTSTANDING.search(operands)):
        waits.append((int(said[1]), int(said[2], 16)))
    return Instruction(
        name,
        _pipe(base),
        line,
        control & 15,
        tuple((number, what) for number, what in scoreboards if number != _NONE),
        tuple(waits),
        _bytes(name) if base in _KIND_OF and _pipe(base) in ("global", "shared") else 0,
        _KIND_OF.get(base, ""),
    )


def _pipe(base: str) -> str:
    if base in _PIPE_OF:
        return _PIPE_OF[base]
    # The uniform datapath: one value for the warp. What is left is integer, logic, conversions and moves.
    return "scalar" if base.startswith("U") or base in ("R2UR", "S2UR") else "alu"


def _bytes(name: str) -> int:
    for modifier, size in (("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if f".{modifier}" in name:
            return size
    return 4
