"""The launches of a compiled kernel as entries of a manifest, each with the file that holds its machine code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssmgen.device import DeviceFacts
from ssmgen.errors import CompileError, TargetUnavailableError
from ssmgen.export.machine_code import entry_of
from ssmgen.export.parameters import Parameters
from ssmgen.kernels import Launch
from ssmgen.kernels.interface import SMALL_BYTES
from ssmgen.targets import Kernel
from ssmgen.targets.cpu import CpuKernel
from ssmgen.targets.triton_kernel import TritonKernel

__all__ = ["Launches", "launches_of"]

_BINARY = {"cuda": "cubin", "hip": "hsaco"}
_ASSEMBLY = {"cuda": "ptx", "hip": "amdgcn"}
_INTEGERS = {"i32": ("int32_t", 4), "i64": ("int64_t", 8)}
_ADDRESS_BYTES = 8
# Triton appends these to every kernel's parameters, whether or not the kernel uses them.
_APPENDED = ("global_scratch", "profile_scratch")

# (entries of the launches in order, content of the binaries by file name)
Launches = tuple[list[dict[str, Any]], dict[str, bytes]]


def launches_of(kernel: Kernel, facts: DeviceFacts, parameters: Parameters) -> Launches:
    """The entries of a kernel's launches, and their binaries.

    Raises:
        CompileError: The machine code takes other parameters than the manifest would say.
        TargetUnavailableError: The target has no machine code of its own.
    """
    if isinstance(kernel, CpuKernel):
        return _of_library(kernel, facts, parameters)
    if isinstance(kernel, TritonKernel):
        return _of_gpu(kernel, facts, parameters)
    raise TargetUnavailableError(
        f"target {facts.kind!r} makes no machine code to export; choose another with --target: cpu, sm_90, gfx942, ..."
    )


def _of_library(kernel: CpuKernel, facts: DeviceFacts, parameters: Parameters) -> Launches:
    """One library; each function takes the address of a struct, whose members are the parameters."""
    name = f"{kernel.source.name}{kernel.library.suffix}"
    # Any number of threads gives the same bits.
    threads = {"name": "threads", "c_type": "int64_t", "role": "threads", "value": facts.max_threads}
    entries = []
    for launch in kernel.program.launches:
        pointers = [parameters.pointer(x) for x in launch.arguments if parameters.is_pointer(x)]
        scalars = [parameters.scalar(x, "int64_t") for x in launch.arguments if not parameters.is_pointer(x)]
        entries.append(
            {
                "symbol": launch.function,
                "file": name,
                "struct": f"{launch.function}_args",
                "parameters": [*pointers, *scalars, threads],
            }
        )
    return entries, {name: kernel.library.read_bytes()}


def _of_gpu(kernel: TritonKernel, facts: DeviceFacts, parameters: Parameters) -> Launches:
    """One binary for each launch, since launches may share a function's name and differ in its constants."""
    entries, binaries = [], {}
    several = len(kernel.compiled) > 1
    launches = zip(kernel.program.launches, kernel.compiled, strict=True)
    for number, (launch, compiled) in enumerate(launches, start=1):
        stem = f"{number}_{launch.function}" if several else launch.function
        name = f"{stem}.{_BINARY[facts.kind]}"
        binaries[name] = bytes(compiled.asm[_BINARY[facts.kind]])
        metadata = compiled.metadata
        entry = {
            "symbol": str(metadata.name),
            "file": name,
            "grid": list(launch.grid),
            "num_warps": metadata.num_warps,
            "threads": metadata.num_warps * facts.lanes,
            "shared_bytes": metadata.shared,
            "constants": {**_compiled_in(launch, compiled.src, parameters), **dict(launch.constants)},
            "parameters": [
                *_compiled_parameters(launch, compiled.src, parameters),
                *_appended(launch, metadata),
            ],
        }
        _require_plain(entry, metadata)
        _require_agreement(entry, facts.kind, compiled.asm[_ASSEMBLY[facts.kind]])
        entries.append(entry)
    return entries, binaries


def _compiled_in(launch: Launch, source: Any, parameters: Parameters) -> dict[str, int]:
    """The arguments that are constants of this binary, with their values."""
    known = [name for name in launch.arguments if source.signature[name] == "constexpr"]
    return {name: parameters.scalar(name, "int64_t")["value"] for name in known}


def _compiled_parameters(launch: Launch, source: Any, parameters: Parameters) -> list[dict[str, Any]]:
    """The arguments, by types and by what else they were compiled with; constants are no parameters."""
    attributes = {position: dict(pairs) for (position,), pairs in source.attrs.items()}
    found = []
    for position, name in enumerate(launch.arguments):
        if source.signature[name] == "constexpr":
            continue
        told = attributes.get(position, {})
        multiple_of = told.get("tt.divisibility")
        if parameters.is_pointer(name):
            within = SMALL_BYTES if "tt.pointer_range" in told else None
            found.append(parameters.pointer(name, multiple_of, within))
        else:
            c_type, _ = _INTEGERS[source.signature[name]]
            found.append(parameters.scalar(name, c_type, multiple_of))
    return found


def _appended(launch: Launch, metadata: Any) -> list[dict[str, Any]]:
    """Triton's own scratch memory: null where a kernel needs none."""
    x, y, z = launch.grid
    return [
        {
            "name": name,
            "c_type": "void *",
            "role": "scratch",
            # Triton 3.6 says nothing of global scratch on AMD's GPUs, where it then passes null.
            "multiple_of": getattr(metadata, f"{name}_align", 1),
            "bytes": x * y * z * getattr(metadata, f"{name}_size", 0),
        }
        for name in _APPENDED
    ]


def _require_plain(entry: Mapping[str, Any], metadata: Any) -> None:
    """Refuse what a plain launch of a grid does not do; none of our kernels asks for it."""
    asked = [
        name
        for name, plain in (("num_ctas", 1), ("launch_cooperative_grid", False), ("launch_pdl", False))
        if getattr(metadata, name, plain) != plain
    ]
    if asked:
        raise CompileError(
            f"{entry['symbol']} needs a launch with {', '.join(asked)}, which no manifest tells."
        )


def _require_agreement(entry: Mapping[str, Any], kind: str, assembly: str) -> None:
    """Hold the entry against the machine code: versions of Triton differ in what they append."""
    said = entry_of(kind, assembly, entry["symbol"])
    widths = _widths(entry["parameters"])
    if said != (widths, entry["threads"]):
        raise CompileError(
            f"{entry['symbol']} takes parameters of {said.parameter_bytes} bytes and {said.threads} threads, but its "
            f"manifest would say {widths} and {entry['threads']}; export with another version of Triton."
        )


def _widths(parameters: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    integers = dict(_INTEGERS.values())
    return tuple(integers.get(parameter["c_type"], _ADDRESS_BYTES) for parameter in parameters)
