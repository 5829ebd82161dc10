"""Code that imports mamba_ssm, or is transformers, runs on ssmgen: where that is missing, there, or broken."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import ssmgen
from ssmgen.compat import install, uninstall
from ssmgen.compat.offers import OFFERS
from ssmgen.errors import InvalidInputError, UnknownNameError

PLAIN = {
    "mamba_ssm/__init__.py": (
        '__version__ = "2.3.2"\n'
        "from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, mamba_inner_fn\n"
        "from mamba_ssm.modules.mamba_simple import Mamba\n"
    ),
    "mamba_ssm/ops/__init__.py": "",
    "mamba_ssm/ops/selective_scan_interface.py": (
        'def selective_scan_fn(): return "theirs"\n'
        'def selective_scan_ref(): return "theirs"\n'
        'def mamba_inner_fn(): return "theirs"\n'
    ),
    "mamba_ssm/ops/triton/__init__.py": "",
    "mamba_ssm/ops/triton/selective_state_update.py": 'def selective_state_update(): return "theirs"\n',
    "mamba_ssm/modules/__init__.py": "",
    "mamba_ssm/modules/mamba_simple.py": (
        "from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, mamba_inner_fn\n"
        "from mamba_ssm.ops.triton.selective_state_update import selective_state_update\n"
        "class Mamba:\n"
        "    def forward(self): return mamba_inner_fn\n"
    ),
    "mamba_ssm/modules/late.py": "from mamba_ssm import selective_scan_fn\n",
}
BROKEN = PLAIN | {"mamba_ssm/ops/selective_scan_interface.py": "import a_library_of_another_cuda\n"}

# Modules that each have functions of their own by the names of ours.
MODELS = {
    f"{module.replace('.', '/')}.py": "".join(f'def {name}(): return "theirs"\n' for name in names)
    for module, names in OFFERS["transformers"].modules.items()
}
TRANSFORMERS = {f"{Path(path).parent}/__init__.py": "" for path in MODELS} | {
    "transformers/__init__.py": "",
    "transformers/models/__init__.py": "",
    **MODELS,
}


HEAD = """
import importlib, importlib.metadata, importlib.util, sys
import ssmgen
from ssmgen.compat import install, uninstall
def fails(kind, run):
    try: run()
    except kind as error: return str(error)
    raise AssertionError(f'no {kind.__name__}')
"""


def python(code: str, tmp_path: Path, package: dict[str, str] | None = None) -> None:
    """Run code in a process of its own, where `package` is what is installed of mamba-ssm.

    It is forked from one that has imported PyTorch, which takes longer than all of these.
    """
    for name, text in (package or {}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])
    said = tmp_path / "stderr.txt"
    process = context.Process(target=_run, args=(HEAD + code, tmp_path, said))
    process.start()
    process.join()
    assert process.exitcode == 0, said.read_text()


def _run(code: str, tmp_path: Path, said: Path) -> None:
    with said.open("w") as sys.stderr:
        try:
            sys.path.insert(0, str(tmp_path))
            exec(code, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None


def test_where_it_is_missing(tmp_path: Path) -> None:
    python(
        """
install("mamba_ssm")
from mamba_ssm.ops.selective_scan_interface import mamba_inner_fn, mamba_inner_ref
from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, selective_scan_ref
from mamba_ssm.ops.triton.selective_state_update import selective_state_update
import mamba_ssm
from ssmgen.compat import mamba_ssm as ours
assert selective_scan_fn is mamba_ssm.selective_scan_fn is ours.selective_scan_fn
assert mamba_inner_fn is mamba_ssm.mamba_inner_fn is ours.mamba_inner_fn
assert selective_scan_ref is ours.selective_scan_ref and mamba_inner_ref is ours.mamba_inner_ref
assert selective_state_update is ours.selective_state_update

import torch
u, rows = torch.randn(2, 4, 9), torch.randn(2, 3, 9)
out = selective_scan_fn(u, torch.rand(2, 4, 9), -torch.rand(4, 3), rows, rows)
assert out.shape == u.shape
""",
        tmp_path,
    )


def test_probes_of_what_stands_in(tmp_path: Path) -> None:
    """What `transformers` and others look at: the spec, the version from 2.0.4 on, the metadata."""
    python(
        """
assert importlib.util.find_spec("mamba_ssm") is None
ssmgen.compat.install("mamba_ssm")
import mamba_ssm
for name, is_package in (("mamba_ssm", True), ("mamba_ssm.ops", True), ("mamba_ssm.ops.triton", True),
                         ("mamba_ssm.ops.selective_scan_interface", False)):
    spec = importlib.util.find_spec(name)
    module = importlib.import_module(name)
    assert spec is module.__spec__ and spec.name == name and spec.loader is not None
    assert spec.origin == module.__file__ and "ssmgen" in spec.origin
    assert (spec.submodule_search_locations is not None) == hasattr(module, "__path__") == is_package
    assert module.__package__ == (name if is_package else name.rpartition(".")[0])
from packaging import version
assert version.parse("1.2") < version.parse(mamba_ssm.__version__) < version.parse("2.0.4")
assert not hasattr(mamba_ssm, "Mamba")
fails(importlib.metadata.PackageNotFoundError, lambda: importlib.metadata.version("mamba-ssm"))
assert importlib.reload(mamba_ssm) is mamba_ssm
""",
        tmp_path,
    )


def test_what_is_not_offered_says_what_is(tmp_path: Path) -> None:
    python(
        """
install("mamba_ssm")
import mamba_ssm
for name in ("modules", "modules.mamba_simple", "ops.triton.layernorm"):
    error = fails(ModuleNotFoundError, lambda: importlib.import_module(f"mamba_ssm.{name}"))
    assert "mamba_ssm." + name.split(".mamba")[0] in error and "stand-in" in error, error
    assert "mamba_inner_ref in mamba_ssm.ops.selective_scan_interface" in error, error
    assert "install mamba-ssm" in error, error
def take():
    from mamba_ssm import Mamba
assert "cannot import name 'Mamba'" in fails(ImportError, take)
assert "stand-in" in fails(AttributeError, lambda: mamba_ssm.Mamba)
""",
        tmp_path,
    )


def test_twice_and_back(tmp_path: Path) -> None:
    python(
        """
uninstall("mamba_ssm")
before = list(sys.meta_path)
for _ in range(2):
    install("mamba_ssm")
    import mamba_ssm
    install("mamba_ssm", replace=True)
    assert sys.modules["mamba_ssm"] is mamba_ssm and len(sys.meta_path) == len(before) + 1
    uninstall("mamba_ssm")
    uninstall("mamba_ssm")
    assert sys.meta_path == before and not [name for name in sys.modules if name.startswith("mamba_ssm")]
    assert importlib.util.find_spec("mamba_ssm") is None
""",
        tmp_path,
    )


def test_a_mere_folder_of_that_name_is_no_package(tmp_path: Path) -> None:
    code = 'install("mamba_ssm")\nfrom mamba_ssm import selective_scan_fn\n'
    python(code, tmp_path, {"mamba_ssm/weights.txt": ""})


def test_where_it_is_there_it_takes_replace(tmp_path: Path) -> None:
    python(
        """
error = fails(ssmgen.InvalidInputError, lambda: install("mamba_ssm"))
assert "replace=True" in error and "mamba_ssm" in error and "__init__.py" in error, error
from mamba_ssm import selective_scan_fn
assert selective_scan_fn() == "theirs"
""",
        tmp_path,
        PLAIN,
    )


@pytest.mark.parametrize("imported_before", [True, False])
def test_replaced_in_place_and_restored(tmp_path: Path, imported_before: bool) -> None:
    python(
        ("import mamba_ssm\n" if imported_before else "")
        + """
install("mamba_ssm", replace=True)
install("mamba_ssm")
import mamba_ssm, mamba_ssm.modules.late
from mamba_ssm.ops import selective_scan_interface as scans
from mamba_ssm.ops.triton import selective_state_update as update
from ssmgen.compat import mamba_ssm as ours
holders = (mamba_ssm, scans, update, mamba_ssm.modules.mamba_simple, mamba_ssm.modules.late)
found = [(holder, name) for holder in holders for name in ours.__all__ if hasattr(holder, name)]
assert len(found) == 2 + 3 + 1 + 3 + 1, found
assert all(getattr(holder, name) is getattr(ours, name) for holder, name in found)
assert mamba_ssm.Mamba().forward() is ours.mamba_inner_fn
assert mamba_ssm.__version__ == "2.3.2"
assert not hasattr(scans, "mamba_inner_ref"), "what their release lacks, it lacks still"
uninstall("mamba_ssm")
assert all(getattr(holder, name)() == "theirs" for holder, name in found)
fails(ssmgen.InvalidInputError, lambda: install("mamba_ssm"))
""",
        tmp_path,
        PLAIN,
    )


def test_one_that_does_not_import_is_stood_in_for(tmp_path: Path) -> None:
    python(
        """
fails(ssmgen.InvalidInputError, lambda: install("mamba_ssm"))
install("mamba_ssm", replace=True)
from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
from ssmgen.compat import mamba_ssm as ours
assert selective_scan_fn is ours.selective_scan_fn
uninstall("mamba_ssm")
fails(ModuleNotFoundError, lambda: importlib.import_module("mamba_ssm.ops.selective_scan_interface"))
""",
        tmp_path,
        BROKEN,
    )


def test_a_module_that_somebody_put_there_counts_as_installed(tmp_path: Path) -> None:
    python(
        """
import types
theirs = sys.modules["mamba_ssm"] = types.ModuleType("mamba_ssm")
assert "sys.modules" in fails(ssmgen.InvalidInputError, lambda: install("mamba_ssm"))
install("mamba_ssm", replace=True)
from mamba_ssm import selective_scan_fn
uninstall("mamba_ssm")
assert sys.modules["mamba_ssm"] is theirs
""",
        tmp_path,
    )


def test_torch_waits_for_an_installation() -> None:
    code = HEAD + 'assert ssmgen.compat.install is install and "torch" not in sys.modules'
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_packages_are_unknown() -> None:
    for change in (install, uninstall):
        with pytest.raises(UnknownNameError, match=r"unknown package 'mamba'.*Did you mean 'mamba_ssm'"):
            change("mamba")
    assert "compat" in dir(ssmgen)


def test_transformers_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InvalidInputError, match=r"not installed here; .* install\('transformers'\)"):
        install("transformers")


def test_transformers_is_there(tmp_path: Path) -> None:
    """Four modules have a function of the same name: each gets its own back."""
    python(
        """
from ssmgen.compat.offers import OFFERS
def functions():
    return {(module, name): getattr(importlib.import_module(module), name)
            for module, name in OFFERS["transformers"].names()}
theirs = functions()
assert len(set(theirs.values())) == len(theirs) == 20
for replace in (False, True):
    install("transformers", replace=replace)
    install("transformers")
    assert {f.__module__ for f in functions().values()} == {"ssmgen.compat.transformers"}
    uninstall("transformers")
    assert functions() == theirs
    uninstall("transformers")
""",
        tmp_path,
        TRANSFORMERS,
    )


def test_a_name_that_was_set_since_is_left_alone(tmp_path: Path) -> None:
    python(
        """
install("transformers")
from transformers.models.mamba import modeling_mamba
modeling_mamba.mamba_selective_scan = somebodys = lambda: "somebody's"
uninstall("transformers")
assert modeling_mamba.mamba_selective_scan is somebodys
assert modeling_mamba.causal_conv1d_fn() == "theirs"
""",
        tmp_path,
        TRANSFORMERS,
    )


def test_a_release_of_transformers_that_lacks_some(tmp_path: Path) -> None:
    """One function, or a whole model: nothing is replaced, and the error says what is not there."""
    path = "transformers/models/jamba/modeling_jamba.py"
    python(
        """
message = fails(ssmgen.errors.InvalidInputError, lambda: install("transformers"))
assert "transformers.models.jamba.modeling_jamba.mamba_selective_scan" in message, message
assert "transformers.models.mamba2.modeling_mamba2.mamba2_chunk_scan" in message, message
assert "modeling_falcon_mamba" not in message and "such as 5.24" in message, message
from transformers.models.mamba.modeling_mamba import mamba_selective_scan
assert mamba_selective_scan() == "theirs"
""",
        tmp_path,
        {name: text for name, text in TRANSFORMERS.items() if "mamba2" not in name}
        | {path: TRANSFORMERS[path].replace("def mamba_selective_scan", "def another")},
    )
