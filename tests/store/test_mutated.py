"""Mutated files of tuned configs: never a crash, never an execution, always the file's name in what is said."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssmgen import dispatch, store
from ssmgen.errors import ConfigFileError
from ssmgen.kernels import INTERFACES, variants
from ssmgen.store import TunedConfig
from ssmgen.targets import target
from tests.helpers import make_problem
from tests.store.mutations import mutated
from tests.store.strategies import make_entry

# What Python tells of, when it happens, on the way to code that is not ours.
_EXECUTIONS = ("compile", "exec", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_EXECUTIONS += ("subprocess.Popen", "ctypes.dlopen", "pickle.find_class", "marshal.loads", "socket.connect")
_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _seen is not None and event in _EXECUTIONS:
        _seen.append(f"{event} {arguments!r:.200}")


@pytest.fixture(scope="module")
def _watched() -> None:
    for language in ("c", "triton"):
        variants(
            "linear_scan", language
        )  # imports all kernels of the language, which is an execution of ours
    sys.addaudithook(_watch)  # for the life of the process; it listens only inside `executions`


@contextmanager
def executions() -> Iterator[list[str]]:
    global _seen
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


def original(op: str) -> TunedConfig:
    """An entry that dispatch takes, source hash and all."""
    cpu, problem = target("cpu"), make_problem(op)
    space = cpu.space(problem)
    config = space.default()
    source = space.variant(config).source(problem, config)
    return make_entry(problem, cpu.facts, config=config, source_hash=source.hash, threads=2)


@pytest.mark.usefixtures("_watched")
@pytest.mark.timeout(3600)
def test_mutated_files(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    cpu, count = target("cpu"), int(pytestconfig.getoption("--mutated-files"))
    ops = [op for op in INTERFACES if len(cpu.space(make_problem(op)))]
    folder = tmp_path / "tuned_configs"  # what SSMGEN_CONFIG_DIR names
    texts: dict[Path, str] = {}
    for op in ops:
        first = original(op)
        dims = {name: size for name, size in first.problem.dims if name in ("batch", "nodes")}
        second = make_entry(
            first.problem.with_dims(**{name: 2 * size for name, size in dims.items()}), cpu.facts
        )
        (path,) = store.save([first, second], folder)
        texts[path] = path.read_text()
        assert dispatch.resolve(first.problem, cpu) is not None
    survivors = broken = 0
    for number in range(count):
        chance = random.Random(number)
        path = chance.choice(list(texts))
        content = mutated(texts[path], chance)
        path.write_bytes(content)
        store.files._cache.clear()
        dispatch.forget()
        with warnings.catch_warnings(record=True) as said, executions() as executed:
            warnings.simplefilter("always")
            entries = store.read_file(path)
            found = dispatch.resolve(make_problem(path.stem), cpu)
        assert executed == [], (number, content)
        assert all(str(path) in str(warning.message) for warning in said), (number, content)
        assert found is not None
        assert found.config in cpu.space(make_problem(path.stem)), (number, content)
        # What is not whole is said to be so, and what is left of it is as good as what ssmgen writes.
        for entry in entries:
            assert TunedConfig.from_data(entry.to_data()) == entry
        survivors, broken = survivors + bool(entries), broken + bool(said)
        refusal = ""
        try:
            store.save([original(path.stem)], folder)
        except ConfigFileError as error:
            refusal = str(error)
        assert not refusal or (str(path) in refusal and path.read_bytes() == content), (number, content)
        path.write_text(texts[path])
    # The mutations reach both what can be read and what cannot.
    assert survivors > count // 10
    assert broken > count // 10
