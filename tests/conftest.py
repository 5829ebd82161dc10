"""What every test gets: config folders of its own, and a cache that is not the user's."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from ssmgen import advice, dispatch, settings
from tests.covering import Tried, covering
from tests.interpreter import quickened

# Tests run in several processes: a thread that waits for another must not spin on a core that they share, and how long
# an example takes says nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Inductor would start a process with PyTorch in it for each core, beside each of these.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
hypothesis.settings.register_profile("shared cores", deadline=None)
hypothesis.settings.load_profile("shared cores")

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def shared_cache(pytestconfig: pytest.Config) -> Path:
    """Compiled kernels, for every process and kept for the next run: they are named by all that they are made from."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("kernels")


@pytest.fixture(autouse=True, scope="session")
def _quick_interpreter() -> Iterator[None]:
    with quickened():
        yield


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As of pytest, which lists the folders of all tests before this one to number it: 10 ms after thousands."""
    return tmp_path_factory.mktemp(f"test-{next(_NUMBERS)}", numbered=False)


@pytest.fixture(scope="session")
def tried(pytestconfig: pytest.Config) -> Tried:
    """The configs of a space that a test over all of them tries."""
    of = list if pytestconfig.getoption("--every-config") else covering
    return lambda space: [config for configs in space.configs.values() for config in of(configs)]


@pytest.fixture(autouse=True)
def _own_folders(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tuner's journals lie beside the kernels: what another test or another run has tried is not for this one.
    cache = tmp_path_factory.mktemp(f"cache-{next(_NUMBERS)}", numbered=False)
    for name in ("kernels", "sources", "costs"):
        (shared_cache / "ssmgen" / name).mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(shared_cache / "ssmgen" / name)
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(cache))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(shared_cache / "triton"))
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(tmp_path / "tuned_configs"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SSMGEN_TARGET", raising=False)
    # What ships was tuned on some machine, perhaps this one: no test may depend on it.
    monkeypatch.setattr(settings, "shipped_config_dir", lambda: tmp_path / "shipped")
    dispatch.forget()
    advice._said.clear()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept-golden",
        action="store_true",
        help="write the rendered kernels to tests/golden as they are now",
    )
    parser.addoption(
        "--every-config",
        action="store_true",
        help="try every config of the spaces of which a covering part is tried, in some minutes",
    )
    parser.addoption(
        "--mutated-files",
        default="200",
        metavar="N",
        help="how many mutated config files tests/store/test_mutated.py reads (10000 takes some minutes)",
    )
