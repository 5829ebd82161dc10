from __future__ import annotations

import copy
import json
import multiprocessing
import os
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmgen import store
from ssmgen.errors import ConfigFileError, ConfigFileWarning, InvalidInputError
from ssmgen.store import TunedConfig
from tests.helpers import make_problem
from tests.store.strategies import DEVICES, make_entry, tuned_configs


@given(tuned_configs())
def test_an_entry_survives_json(entry: TunedConfig) -> None:
    assert TunedConfig.from_data(json.loads(json.dumps(entry.to_data()))) == entry


@given(tuned_configs())
def test_the_order_of_keys_in_a_file_does_not_matter(entry: TunedConfig) -> None:
    assert TunedConfig.from_data(json.loads(json.dumps(entry.to_data(), sort_keys=True))) == entry


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("seconds",), 0),
        (("seconds",), 10**400),
        (("error", "out"), 10**400),
        (("created",), "\u001b[2J"),
        (("created",), "\ud800"),
        (("device", "name"), "a\nb"),
        (("versions",), {"\u0007": "1"}),
        (("seconds",), -1.0),
        (("seconds",), True),
        (("seconds",), float("inf")),
        (("seconds",), float("nan")),
        (("seconds",), "1e-3"),
        (("quartiles",), [1e-3]),
        (("evidence",), "guessed"),
        (("config",), "sequential(unroll={{ 7*7 }})"),
        (("error", "out"), -1e-7),
        (("versions", "torch"), 2.13),
        (("threads",), 0),
        (("created",), None),
        (("device", "arch"), ""),
        (("device", "lanes"), 32.5),
        (("problem", "op"), "quadratic_scan"),
        (("problem", "dtype"), "fp8"),
        (("problem", "dtype"), ["fp32"]),
        (("problem", "direction"), "sideways"),
        (("problem", "dims", "seqlen"), 2048.0),
        (("problem", "dims", "d_state"), 16),
        (("problem", "options", "layout"), "diagonal"),
        (("problem", "options", "reverse"), 1),
        (("problem", "options"), {"colour": True}),
    ],
)
def test_a_bad_value_is_refused_by_name(keys: tuple[str, ...], value: object) -> None:
    data = copy.deepcopy(make_entry().to_data())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with pytest.raises(InvalidInputError):
        TunedConfig.from_data(data)


@pytest.mark.parametrize("key", [key for key in make_entry().to_data() if key != "problem_class"])
def test_a_missing_value_is_refused_by_name(key: str) -> None:
    data = make_entry().to_data()
    del data[key]
    with pytest.raises(InvalidInputError, match=key):
        TunedConfig.from_data(data)


def _merge(into: dict[tuple[str, ...], TunedConfig], entry: TunedConfig) -> None:
    key = (entry.device.name, *entry.key)
    if not (key in into and into[key].evidence == "measured" and entry.evidence == "predicted"):
        into[key] = entry


@settings(max_examples=25)
@given(st.lists(st.lists(tuned_configs(), max_size=4), max_size=4))
def test_saving_is_a_merge_by_class_device_and_evidence(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[TunedConfig]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    wanted: dict[tuple[str, ...], TunedConfig] = {}
    for batch in batches:
        store.save(batch, folder)
        for entry in batch:
            _merge(wanted, entry)
    found = {(entry.device.name, *entry.key): entry for entry in store.load(folder)}
    assert found == wanted


@settings(max_examples=25)
@given(
    st.lists(tuned_configs(), max_size=5, unique_by=lambda entry: (entry.device.name, *entry.key)),
    st.randoms(),
)
def test_entries_of_different_classes_may_be_saved_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, found: list[TunedConfig], random: object
) -> None:
    folders = [tmp_path_factory.mktemp("store") for _ in range(2)]
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for folder, order in zip(folders, (found, shuffled), strict=True):
        for entry in order:
            store.save([entry], folder)
    texts = [[path.read_text() for path in sorted(folder.glob("*/*.json"))] for folder in folders]
    assert texts[0] == texts[1]


def _save_some(folder: Path, dtype: str, first: int) -> None:
    for power in range(first, first + 8):
        store.save([make_entry(make_problem("linear_scan", dtype, seqlen=1 << power))], folder)


def test_processes_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    savers = [context.Process(target=_save_some, args=(tmp_path, dtype, 3)) for dtype in ("fp32", "bf16")]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert len(store.load(tmp_path)) == 16


def _garbage() -> dict[str, bytes]:
    whole = json.dumps({"schema": 1, "entries": [make_entry().to_data()]}).encode()
    return {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "binary": bytes(range(256)),
        "a list": b"[]",
        "another file": b'{"name": "package", "version": 1}',
        "a newer schema": whole.replace(b'"schema": 1', b'"schema": 2'),
        "no entries": b'{"schema": 1}',
        "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("kind", _garbage())
def test_a_broken_file_is_named_skipped_and_kept(tmp_path: Path, kind: str) -> None:
    path = store.config_path(tmp_path, DEVICES[0], "linear_scan")
    path.parent.mkdir(parents=True)
    path.write_bytes(_garbage()[kind])
    with pytest.warns(ConfigFileWarning, match=r"linear_scan\.json"):
        assert store.load(tmp_path) == ()
    with pytest.raises(ConfigFileError, match=r"linear_scan\.json.*left as it is"):
        store.save([make_entry()], tmp_path)
    assert path.read_bytes() == _garbage()[kind]


def test_a_broken_entry_is_skipped_alone_and_survives_a_save(tmp_path: Path) -> None:
    path = store.config_path(tmp_path, DEVICES[0], "linear_scan")
    path.parent.mkdir(parents=True)
    good, broken = make_entry().to_data(), {**make_entry().to_data(), "seconds": "fast"}
    path.write_text(json.dumps({"schema": 1, "entries": [broken, good]}))
    with pytest.warns(ConfigFileWarning, match="entry 1 cannot be used: seconds is 'fast'"):
        assert store.read_file(path) == (make_entry(),)
    other = make_entry(make_problem("linear_scan", seqlen=64))
    store.save([other], tmp_path)
    assert broken in json.loads(path.read_text())["entries"]
    with pytest.warns(ConfigFileWarning):
        assert set(map(str, store.read_file(path))) == {str(make_entry()), str(other)}


def test_a_file_is_parsed_again_only_when_it_changes(tmp_path: Path) -> None:
    (path,) = store.save([make_entry()], tmp_path)
    first = store.read_file(path)
    assert store.read_file(path) is first
    store.save([make_entry(seconds=5e-4)], tmp_path)
    assert store.read_file(path)[0].seconds == 5e-4


def test_a_folder_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigFileError, match="set SSMGEN_CONFIG_DIR"):
        store.save([make_entry()], tmp_path / "file" / "configs")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="reverse is 1"):
        store.save([make_entry(make_problem("linear_scan", reverse=1))], tmp_path)
    with pytest.raises(InvalidInputError, match="seconds is nan"):
        store.save([make_entry(), make_entry(seconds=float("nan"))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_empty_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.load(tmp_path / "nowhere") == ()
        assert store.read_file(tmp_path / "nothing.json") == ()
        assert store.entries() == ()


def test_the_user_folder_is_where_configs_go(tmp_path: Path) -> None:
    (path,) = store.save([make_entry()])
    assert path == tmp_path / "tuned_configs" / "cuda-nvidia-h100" / "linear_scan.json"
    assert store.entries() == ((tmp_path / "tuned_configs", make_entry()),)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "linear_scan.json")
    with pytest.warns(ConfigFileWarning, match="no regular file"):
        assert store.read_file(tmp_path / "linear_scan.json") == ()
