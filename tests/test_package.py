"""What an installation holds: templates, shipped configs, the command, and no module that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

# One process: the environment and the wheel are made once.
pytestmark = pytest.mark.xdist_group("package")
ROOT = Path(__file__).parent.parent

# Run in the installation, far from the repository; torch and the others come from the environment of the tests.
_PROBE = """
import importlib.util, pathlib, sys
import ssmgen, ssmgen.cli
from ssmgen import settings
from ssmgen.codegen import TEMPLATES
assert pathlib.Path(ssmgen.__file__).is_relative_to(sys.argv[1]), ssmgen.__file__
assert list(TEMPLATES.glob("c/*.j2")) and list(TEMPLATES.glob("triton/*.j2")), TEMPLATES
assert settings.shipped_config_dir().is_dir()
assert list(pathlib.Path(ssmgen.__file__).parent.glob("report/history/templates/*.j2"))
assert (pathlib.Path(ssmgen.__file__).parent / "py.typed").exists()
for name in ("cli", "templates", "tests", "docs"):
    assert importlib.util.find_spec(name) is None, name
assert ssmgen.__version__ != "0+unknown"
"""


def run(*command: str | Path, cwd: Path) -> str:
    # The path of whoever runs the tests must not stand in for what an installation lacks.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that sees the packages of this one, but not this one's ssmgen."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    site = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # Plain paths: a `.pth` in them, such as that of an editable ssmgen, is not read.
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "packages.pth").write_text("\n".join(packages) + "\n")
    # What builds need. The wheel's gets it anew, as `pip install .` does; for speed, the others take it from here.
    run(folder / "bin" / "pip", "install", "hatchling", "editables", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(environment / "bin" / "pip", "wheel", "--no-deps", "-w", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


def probe(environment: Path, installed_from: str | Path, *options: str, under: Path, cwd: Path) -> None:
    pip = environment / "bin" / "pip"
    run(pip, "install", "--no-deps", "--force-reinstall", *options, installed_from, cwd=cwd)
    run(environment / "bin" / "python", "-c", _PROBE, under, cwd=cwd)
    assert "ssmgen" in run(environment / "bin" / "ssmgen", "--version", cwd=cwd)
    assert "ssmgen" in run(environment / "bin" / "python", "-m", "ssmgen", "--version", cwd=cwd)


@pytest.mark.slow
def test_the_wheel(environment: Path, wheel: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("ssmgen/", "ssmgen-")) for name in names)
    assert "ssmgen/cli.py" in names
    probe(environment, wheel, under=environment, cwd=tmp_path)


@pytest.mark.slow
def test_the_source_distribution(environment: Path, tmp_path: Path) -> None:
    build = "import hatchling.build as b, sys; print(b.build_sdist(sys.argv[1]))"
    run(environment / "bin" / "python", "-c", build, tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"cli.py", "README.md", "tests/conftest.py", "ssmgen/cli.py"} <= names
    probe(environment, archive, "--no-build-isolation", under=environment, cwd=tmp_path)


@pytest.mark.slow
def test_an_editable_install(environment: Path, tmp_path: Path) -> None:
    probe(environment, ROOT, "--no-build-isolation", "-e", under=ROOT, cwd=tmp_path)
