"""What every test gets: caches and config folders of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssmgen import dispatch, settings


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of compiled kernels for the whole run: named by their content, they can be shared."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(shared_cache / "ssmgen"))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(shared_cache / "triton"))
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(tmp_path / "tuned_configs"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SSMGEN_TARGET", raising=False)
    # What ships was tuned on some machine, perhaps this one: no test may depend on it.
    monkeypatch.setattr(settings, "shipped_config_dir", lambda: tmp_path / "shipped")
    dispatch.forget()
    dispatch._said.clear()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept-golden",
        action="store_true",
        help="write the rendered kernels to tests/golden as they are now",
    )
