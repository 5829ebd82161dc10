"""Problems from files and from the names of models."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ssmgen.cli import app
from ssmgen.errors import InvalidInputError, UnknownNameError
from ssmgen.presets import MODELS, model_problems
from ssmgen.shapes import read_shapes, wanted
from ssmgen.targets import target
from ssmgen.tuning import one_for_each_class, training_pairs
from tests.helpers import make_problem

CPU = target("cpu").facts


def written(folder: Path, text: str) -> Path:
    path = folder / "shapes.jsonl"
    path.write_text(text)
    return path


def test_a_file_has_a_problem_on_each_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '# a comment\n\n{"op": "selective_scan", "dim": 96, "z": true, "layout": "channel", "training": true}\n'
        '  {"op": "linear_scan", "seqlen": 7, "dtype": "c64"}\n',
    )
    scan, linear = read_shapes(path, CPU)
    assert (scan.training, linear.training) == (True, False)
    assert (scan.problem["dim"], scan.problem.option("layout"), scan.problem.has("z")) == (
        96,
        "channel",
        True,
    )
    assert (linear.problem["seqlen"], linear.problem.dtype) == (7, "c64")
    assert [item.training for item in read_shapes(path, CPU, training=True)] == [True, True]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"op": "linear_scan"', "no JSON"),
        ("[1]", "an object of fields"),
        ('{"dim": 3}', "needs its 'op'"),
        ('{"op": "linear_scam"}', "Did you mean 'linear_scan'"),
        ('{"op": "linear_scan", "dmi": 3}', "Did you mean 'dim'"),
        ('{"op": "linear_scan", "dim": 0}', "size of at least 1, not 0"),
        ('{"op": "linear_scan", "dim": true}', "size of at least 1, not True"),
        ('{"op": "linear_scan", "dim": 1.5}', "size of at least 1, not 1.5"),
        ('{"op": "linear_scan", "dtype": "int8"}', "int8"),
        ('{"op": "linear_scan", "layout": "sideways"}', "layout of linear_scan must be one of"),
        ("[" * 100_000, "no JSON"),
        ('{"op": "linear_scan", "dim": ' + "9" * 5000 + "}", "no JSON"),
    ],
)
def test_a_bad_line_is_one_error_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, f'{{"op": "linear_scan"}}\n\n{line}\n{{"op": "nonsense"}}\n')
    with pytest.raises(InvalidInputError, match=message) as caught:
        read_shapes(path, CPU)
    assert str(caught.value).startswith(f"{path}, line 3: ")


@given(
    text=st.text() | st.from_regex(r'\{"op": "(linear|selective)_scan"(, "\w+": [\w."]+)*\}', fullmatch=True)
)
def test_any_text_is_problems_or_one_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.mktemp("shapes"), text.encode(errors="replace").decode())
    with suppress(InvalidInputError):
        assert read_shapes(path, CPU)


def test_files_that_are_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            read_shapes(path, CPU)
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_shapes(path, CPU)
    with pytest.raises(InvalidInputError, match="has no problem"):
        read_shapes(written(tmp_path, "# none\n"), CPU)


PLACES = (("cpu", None), ("sm_90", None), ("sm_90", "fp32"), ("gfx942", None))


# In turns; the whole suite takes every model to every place.
@pytest.mark.parametrize(
    ("name", "place", "dtype"),
    [
        pytest.param(name, *place, marks=[] if row % len(PLACES) == column else [pytest.mark.slow])
        for row, name in enumerate(MODELS)
        for column, place in enumerate(PLACES)
    ],
)
def test_every_problem_of_a_model_has_kernels(name: str, place: str, dtype: str | None) -> None:
    if place != "cpu":
        pytest.importorskip("triton")
    chosen = target(place)
    for problem, trains in model_problems(name, chosen.facts, {}, dtype):
        if trains:
            assert training_pairs(problem, chosen, most_states=4.0)
        else:
            assert len(chosen.space(problem)), problem


def test_models_have_their_published_sizes_and_those_that_are_given() -> None:
    (trained, _), (prefill, _), (step, _) = model_problems("mamba-2.8b", CPU, {"batch": 3})
    assert dict(trained.dims) == {"batch": 3, "dim": 5120, "seqlen": 2048, "d_state": 16, "groups": 1}
    assert prefill.has("last_state")
    assert not trained.has("last_state")
    assert (step["batch"], step["dim"]) == (3, 5120)
    (long, _), _, _ = model_problems("mamba-130m", CPU, {"seqlen": 8192}, "bf16")
    assert (long["dim"], long["seqlen"], long.dtype) == (1536, 8192, "bf16")
    (scan, _), _, (heads, _) = model_problems("mamba2-1.3b", CPU, {})
    assert (scan.op, scan["heads"], scan["seqlen"]) == ("ssd", 64, 2048)
    assert (heads["heads"], heads["dim"], heads["d_state"]) == (64, 64, 128)
    assert [problem["seqlen"] for problem, _ in model_problems("s4-lra", CPU, {"batch": 2})][-1] == 16384
    with pytest.raises(InvalidInputError, match="dim is a size of the model"):
        model_problems("mamba-130m", CPU, {"dim": 3})
    with pytest.raises(UnknownNameError, match="Did you mean 'mamba-130m'"):
        model_problems("mamba-130", CPU, {})


def test_one_problem_stands_for_its_class() -> None:
    first, same, other = (make_problem("linear_scan", dim=32, seqlen=length) for length in (100, 128, 129))
    assert one_for_each_class([first, same, other]) == [first, other]
    with_gradients = training_pairs(first, target("cpu"), 4.0)
    assert one_for_each_class([first, with_gradients]) == [first, with_gradients]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--shapes", "FILE", "--model", "mamba-130m"), "give one of them"),
        (("--shapes", "FILE", "--dim", "3"), "leave the flags out"),
        (("--shapes", "FILE", "--option", "z"), "--option is not for"),
        (("cauchy_mult", "--shapes", "FILE"), "has no problem of cauchy_mult"),
        (("cauchy_mult", "--model", "mamba-130m"), "mamba-130m has no problem of cauchy_mult"),
        (("--model", "mamba-130m", "--d-state", "8"), "d_state is a size of the model"),
    ],
)
@pytest.mark.parametrize("command", ["tune", "warmup"])
def test_flags_that_contradict_each_other(
    tmp_path: Path, command: str, flags: tuple[str, ...], message: str
) -> None:
    path = written(tmp_path, '{"op": "linear_scan"}')
    given = [str(path) if flag == "FILE" else flag for flag in flags]
    result = CliRunner().invoke(app, [command, *given, "--target", "cpu", "--json"])
    assert result.exit_code == 1
    assert message in json.loads(result.stdout)["error"]


def test_warmup_compiles_the_problems_of_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"op": "linear_scan", "dim": 8, "seqlen": 16, "training": True}))
    result = CliRunner().invoke(app, ["warmup", "--shapes", str(path), "--target", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    prepared = json.loads(result.stdout)["prepared"]
    assert {item["direction"] for item in prepared} == {"forward", "backward"}


def test_fields_are_those_of_the_op() -> None:
    problem, trains = wanted({"op": "cauchy_mult", "dim": 3, "seqlen": 8}, CPU)
    assert dict(problem.dims) == {"rows": 3, "poles": 32, "nodes": 5}
    assert not trains
