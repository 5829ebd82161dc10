"""Exported kernels: what the manifest says is what the machine code takes, and C programs run with nothing else."""

from __future__ import annotations

import ast
import ctypes
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ssmgen.errors import CompileError
from ssmgen.export import export_kernel, launches
from ssmgen.kernels import INTERFACES, interface
from ssmgen.problem import Problem
from ssmgen.targets import target
from tests.helpers import make_problem
from tests.test_cli import run, the_error

EXAMPLES = Path(__file__).parent.parent / "examples" / "export"
WIDTHS = {"int32_t": 4, "int64_t": 8}
SIZES = {"batch": 2, "dim": 32, "seqlen": 96, "d_state": 8, "rows": 4, "poles": 16, "nodes": 65, "heads": 2}


def small(op: str, **options: Any) -> Problem:
    return make_problem(
        op, **{name: size for name, size in SIZES.items() if name in interface(op).dims}, **options
    )


def exported(problem: Problem, name: str, folder: Path, config: str | None = None) -> Any:
    """The manifest of an export, as it lies on disk beside the files that it names."""
    found = export_kernel(problem, target(name), folder, config)
    assert sorted(found.files) == sorted(folder.iterdir())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == found.manifest
    named = {"manifest.json", manifest["source"]["file"], *(kernel["file"] for kernel in manifest["kernels"])}
    assert {path.name for path in found.files} == named
    return manifest


def require_the_buffers(problem: Problem, manifest: Any) -> None:
    """Every operand is there, with the shape, strides and role that the interface gives it; so are workspaces."""
    entries = {x["name"]: x for kernel in manifest["kernels"] for x in kernel["parameters"] if "shape" in x}
    for operand in interface(problem.op).operands(problem):
        entry, layout = entries.pop(operand.name), operand.allocate("meta")
        assert entry["role"] == ("output" if operand.output else "updated" if operand.updated else "input")
        assert entry["c_type"].startswith("const ") == (entry["role"] == "input")
        assert (entry["shape"], entry["strides"]) == (list(layout.shape), list(layout.stride()))
        assert entry["bytes"] == layout.numel() * layout.element_size()
        assert entry["dtype"] == operand.dtype
    assert {x["name"]: x["bytes"] for x in manifest["workspaces"]} == {
        name: entry["bytes"] for name, entry in entries.items() if entry["role"] == "workspace"
    }
    assert len(entries) == len(manifest["workspaces"])


@pytest.mark.parametrize("op", INTERFACES)
def test_a_library_takes_the_struct_that_the_manifest_lists(op: str, tmp_path: Path) -> None:
    problem = small(op)
    manifest = exported(problem, "cpu", tmp_path)
    require_the_buffers(problem, manifest)
    (kernel,) = manifest["kernels"]
    assert getattr(ctypes.CDLL(str(tmp_path / kernel["file"])), kernel["symbol"])
    assert [(x["c_type"], x["name"]) for x in kernel["parameters"]] == members(
        (tmp_path / manifest["source"]["file"]).read_text(), kernel["struct"]
    )


def members(source: str, name: str) -> list[tuple[str, str]]:
    """The members of a struct in C, in order, as (type, name)."""
    body = re.search(rf"struct {name} {{(.*?)}};", source, re.DOTALL)
    assert body is not None
    found = []
    for declaration in body[1].split(";")[:-1]:
        kind, _, rest = declaration.strip().rpartition(" *")
        if kind:
            found.append((f"{kind} *", rest))
        else:
            kind, _, rest = declaration.strip().partition(" ")
            found += [(kind, each.strip()) for each in rest.split(",")]
    return found


@pytest.mark.parametrize("arch", ["sm_90", "gfx942"])
@pytest.mark.parametrize("op", INTERFACES)
def test_a_binary_takes_the_parameters_that_the_manifest_lists(op: str, arch: str, tmp_path: Path) -> None:
    problem = small(op)
    manifest = exported(problem, arch, tmp_path)
    require_the_machine_code(problem, manifest, tmp_path)


@pytest.mark.parametrize(
    ("problem", "config"),
    [
        (small("linear_scan"), "chunked(block_d=32,chunk=64,num_warps=1,unroll=4)"),
        (small("selective_scan", direction="backward", z=True, saved=32), None),
    ],
    ids=["linear_scan", "selective_scan backward"],
)
def test_several_launches_and_their_workspaces(problem: Problem, config: str | None, tmp_path: Path) -> None:
    manifest = exported(problem, "sm_90", tmp_path, config)
    assert len(manifest["kernels"]) > 1
    assert manifest["workspaces"]
    require_the_machine_code(problem, manifest, tmp_path)


def require_the_machine_code(problem: Problem, manifest: Any, folder: Path) -> None:
    """Names as in the source, widths as in the binaries, constants nowhere but in the source."""
    require_the_buffers(problem, manifest)
    source = ast.parse((folder / manifest["source"]["file"]).read_text())
    functions = {item.name: item.args.args for item in source.body if isinstance(item, ast.FunctionDef)}
    scalars = interface(problem.op).bindings(
        problem, [x.allocate("meta") for x in interface(problem.op).operands(problem)]
    )
    assert len({kernel["file"] for kernel in manifest["kernels"]}) == len(manifest["kernels"])
    for kernel in manifest["kernels"]:
        arguments = functions[kernel["symbol"]]
        given, scratch = kernel["parameters"][:-2], kernel["parameters"][-2:]
        constants = kernel["constants"]
        assert [x["name"] for x in given] == [x.arg for x in arguments if x.arg not in constants]
        assert {x.arg for x in arguments if x.annotation is not None} <= constants.keys()
        # Others are strides that are known.
        known = [x.arg for x in arguments if x.annotation is None and x.arg in constants]
        assert all("_stride_" in name and constants[name] == scalars[name] for name in known)
        if problem.op == "selective_state_update":
            assert known == ["state_stride_dim", "A_stride_dim"]
        # On AMD all of them are small.
        pointers = [x for x in given if "shape" in x]
        assert all(("within" in x) == (manifest["target"]["kind"] == "hip") for x in pointers)
        assert [(x["role"], x["bytes"]) for x in scratch] == [("scratch", 0)] * 2
        assert all(x["value"] == scalars[x["name"]] for x in given if "value" in x)
        assert all(x["value"] % x["multiple_of"] == 0 for x in given if "value" in x and "multiple_of" in x)
        binary = (folder / kernel["file"]).read_bytes()
        assert binary.startswith(b"\x7fELF")
        assert kernel["symbol"].encode() in binary
        assert [WIDTHS.get(x["c_type"], 8) for x in kernel["parameters"]] == widths(binary)
        assert kernel["threads"] == threads(binary) == kernel["num_warps"] * manifest["target"]["lanes"]


def widths(binary: bytes) -> list[int]:
    """Bytes of each parameter, as a cubin or an hsaco itself says."""
    # Cubins: attributes "KPARAM_INFO" of a format, 12 bytes: index, ordinal and offset, and the size from bit 18 on.
    found = [struct.unpack("<IHHI", x) for x in re.findall(rb"\x04\x17\x0c\x00(.{12})", binary, re.DOTALL)]
    if found:
        return [size >> 18 for _, _, _, size in sorted(found, key=lambda x: x[1])]
    # Hsacos: a note in MessagePack, with a map for each parameter.
    return [x[0] for x in re.findall(rb"\xa5\.size(.)\xab\.value_kind.(?!hidden_)", binary, re.DOTALL)]


def threads(binary: bytes) -> int:
    """Threads of a block, in the same places: the attribute REQNTID, or the largest work-group of the note."""
    found = re.search(rb"\x04\x10\x0c\x00(....)", binary, re.DOTALL)
    if found is not None:
        return int.from_bytes(found[1], "little")
    wide, narrow = rb"\xcd(..)", rb"\xcc(.)|([\x00-\x7f])"
    found = re.search(rb"\xb8\.max_flat_workgroup_size(?:" + wide + rb"|" + narrow + rb")", binary, re.DOTALL)
    assert found is not None
    return int.from_bytes(next(filter(None, found.groups())), "big")


def test_a_manifest_that_the_machine_code_contradicts_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "_APPENDED", ("global_scratch",))
    with pytest.raises(CompileError, match="its manifest would say"):
        export_kernel(small("linear_scan"), target("sm_90"), tmp_path)
    assert not list(tmp_path.iterdir())


SMALL = ("linear_scan", "--batch", "1", "--dim", "32", "--seqlen", "64", "--dtype", "fp32")


def test_the_command_prints_a_table_or_data(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    printed = run("export", *SMALL, "--target", "cpu", "--out", str(out))
    assert printed.exit_code == 0
    assert str(out / "manifest.json") in printed.stdout
    assert "the default" in printed.stderr
    shown = run("show", *SMALL, "--target", "cpu").stdout
    assert (out / "linear_scan_forward_channels.c").read_text() == shown
    again = ("export", *SMALL, "--backward", "--target", "cpu", "--out", str(tmp_path / "back"), "--json")
    data = json.loads(run(*again).stdout)
    assert data["manifest"] == data["files"][-1] == str(tmp_path / "back" / "manifest.json")
    assert json.loads(Path(data["manifest"]).read_text())["direction"] == "backward"


def test_what_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "manifest.json").write_text("old")
    export = ("export", *SMALL, "--target", "cpu", "--out", str(tmp_path))
    assert "--force" in the_error(run(*export))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "notes.txt"]
    assert (tmp_path / "manifest.json").read_text() == "old"
    assert run(*export, "--force").exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "manifest.json").read_text())["op"] == "linear_scan"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear_scam",), "Did you mean 'linear_scan'?"),
        (("linear_scan", "--target", "sm_9"), "Did you mean 'sm_90'?"),
        (("linear_scan", "--target", "reference"), "no kernels to export"),
        (("linear_scan", "--target", "interpret"), "makes no machine code"),
        (("linear_scan", "--target", "cpu", "--config", "none(a=1)"), "unknown variant 'none'"),
        (("linear_scan", "--target", "cpu", "--out", __file__), "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    out = () if "--out" in arguments else ("--out", str(tmp_path / "out"))
    assert message in the_error(run("export", *arguments, *out))
    assert not (tmp_path / "out").exists()


def test_the_folder_must_be_named() -> None:
    assert run("export", "linear_scan").exit_code == 2
    assert "export" in run("--help").stdout


def command_of(example: str) -> list[str]:
    """The export that an example begins with."""
    text = (EXAMPLES / example).read_text()
    found = re.search(r"\* +ssmgen (export .*?) --out kernel\n", text.replace("\\\n *", ""), re.DOTALL)
    assert found is not None
    return [word.strip("'") for word in found[1].split()]


STRICT = ("-Wall", "-Wextra", "-Werror")


def built(source: Path, *options: str) -> Path:
    program = source.with_suffix("")
    command = ["gcc", source.name, *options, "-lm", "-o", str(program)]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_a_c_program_calls_a_library(tmp_path: Path) -> None:
    assert run(*command_of("call.c"), "--out", str(tmp_path / "kernel")).exit_code == 0
    manifest = json.loads((tmp_path / "kernel" / "manifest.json").read_text())
    (kernel,) = manifest["kernels"]
    source = shutil.copy(EXAMPLES / "call.c", tmp_path)
    assert members(Path(source).read_text(), kernel["struct"]) == [
        (x["c_type"], x["name"]) for x in kernel["parameters"]
    ]
    program = built(Path(source), *STRICT, "-ldl")
    # In an empty environment, and far from here: there is no Python, let alone ssmgen.
    done = subprocess.run(
        [program, f"kernel/{kernel['file']}"], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(done.stdout.removeprefix("relative error: ")) < 2e-6


# A driver without a GPU: it prints how it was called, by the types of the manifest, and does what the kernel would.
_DRIVER = """
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *memory[8];
static size_t sizes[8];
static int count;
CUresult cuInit(unsigned flags) { return 0; }
CUresult cuGetErrorString(CUresult result, const char **text) { return 1; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { *device = ordinal; return 0; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { *context = NULL; return 0; }
CUresult cuDevicePrimaryCtxRelease(CUdevice device) { return 0; }
CUresult cuCtxSetCurrent(CUcontext context) { return 0; }
CUresult cuCtxSynchronize(void) { return 0; }
CUresult cuModuleLoad(CUmodule *module, const char *path) { *module = NULL; return !fopen(path, "rb"); }
CUresult cuModuleUnload(CUmodule module) { return 0; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{ *function = NULL; puts(name); return 0; }
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) { return 1; }
CUresult cuMemAlloc(CUdeviceptr *address, size_t size)
{ *address = (uintptr_t)(memory[count] = malloc(size)); sizes[count++] = size; return 0; }
CUresult cuMemFree(CUdeviceptr address) { free((void *)address); return 0; }
CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t size) { memcpy((void *)to, from, size); return 0; }
CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t size) { memcpy(to, (void *)from, size); return 0; }
static void show(void *address)
{
    for (int i = 0; i < count; i++)
        if (memory[i] == address)
            { printf("%zu\\n", sizes[i]); return; }
    printf("%s\\n", address ? "stray" : "0");
}
CUresult cuLaunchKernel(CUfunction f, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned v, unsigned w,
                        unsigned shared, CUstream stream, void **p, void **extra)
{
    printf("%u %u %u %u %u\\n", x, y, z, threads, shared);
    if (f || v != 1 || w != 1 || stream || extra)
        return 1;
PARAMETERS
    const float *a = *(float **)p[0], *b = *(float **)p[1];
    float *out = *(float **)p[2];
    for (size_t i = 0; i < sizes[0] / sizeof *a; i++)
        out[i] = i % LENGTH ? a[i] * out[i - 1] + b[i] : b[i];
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_a_c_program_launches_a_cubin(tmp_path: Path) -> None:
    """On a stand-in for the driver, which shows what reaches cuLaunchKernel: what the manifest lists, in its order."""
    triton = pytest.importorskip("triton")
    headers = Path(triton.__file__).parent / "backends" / "nvidia" / "include"
    if not (headers / "cuda.h").exists():
        pytest.skip("this Triton brings no cuda.h")
    assert run(*command_of("launch.c"), "--out", str(tmp_path / "kernel")).exit_code == 0
    (kernel,) = json.loads((tmp_path / "kernel" / "manifest.json").read_text())["kernels"]
    shown = [
        f'    printf("%lld\\n", (long long)*({x["c_type"]} *)p[{index}]);'
        if "value" in x
        else f"    show(*(void **)p[{index}]);"
        for index, x in enumerate(kernel["parameters"])
    ]
    length = str(kernel["parameters"][0]["shape"][-1])
    driver = _DRIVER.replace("PARAMETERS", "\n".join(shown)).replace("LENGTH", length)
    (tmp_path / "driver.c").write_text(driver)
    built(tmp_path / "driver.c", f"-I{headers}", "-shared", "-fPIC").rename(tmp_path / "libcuda.so")
    source = Path(shutil.copy(EXAMPLES / "launch.c", tmp_path))
    program = built(source, *STRICT, f"-I{headers}", "-L.", "-lcuda", "-Wl,-rpath,$ORIGIN")
    done = subprocess.run([program, f"kernel/{kernel['file']}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    geometry = [*kernel["grid"], kernel["threads"], kernel["shared_bytes"]]
    values = [x.get("value", x.get("bytes")) for x in kernel["parameters"]]
    *said, error = done.stdout.splitlines()
    assert said == [kernel["symbol"], " ".join(map(str, geometry)), *map(str, values)]
    assert float(error.removeprefix("relative error: ")) < 2e-6
