"""The command line from within: every command, what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ssmgen import settings, store, targets
from ssmgen.advice import tune_command
from ssmgen.cli import app
from ssmgen.dispatch import resolve
from ssmgen.kernels import INTERFACES
from ssmgen.selftest import Case, Figures, SelfTestError
from tests.helpers import make_problem

SMALL = ("--batch", "1", "--dim", "32", "--seqlen", "64")
DEFAULT = "channels"  # the C variant that runs untuned


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def the_error(result: Result) -> str:
    """The one line that an error leaves on standard error."""
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    return lines[0]


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("ssmgen ")
    for command in ("tune", "show", "list", "doctor"):
        assert command in run("--help").stdout
        assert run(command, "--help").exit_code == 0


def test_show_prints_the_source_that_dispatch_would_use() -> None:
    problem = make_problem("linear_scan", dim=32, seqlen=64)
    found = resolve(problem, targets.target("cpu"))
    assert found is not None
    result = run("show", "linear_scan", *SMALL, "--target", "cpu")
    assert result.exit_code == 0
    assert result.stdout == found.variant.source(problem, found.config).text
    assert str(found.config) in result.stderr
    assert tune_command(problem) in result.stderr


def test_show_takes_options_and_a_config() -> None:
    problem = make_problem("selective_scan", dim=32, seqlen=64, z=True, layout="channel")
    space = targets.target("cpu").space(problem)
    config = space.configs[space.variants[0].name][-1]
    arguments = ("--option", "z", "--option", "layout=channel", "--config", str(config), "--target", "cpu")
    result = run("show", "selective_scan", "--d-state", "16", *SMALL, *arguments)
    assert result.stdout == space.variant(config).source(problem, config).text


def test_show_gives_the_kernel_of_the_gradients() -> None:
    shown = run("show", "selective_scan", "--d-state", "16", *SMALL, "--target", "cpu", "--backward")
    assert "void selective_scan_backward(" in shown.stdout
    assert "--training" in shown.stderr
    saved = run("show", "selective_scan", "--target", "sm_90", "--backward", "--option", "saved=4")
    assert "def selective_scan_backward(" in saved.stdout
    assert "def recompute_states(" not in saved.stdout


def test_show_compiles_for_stages_below_the_source() -> None:
    result = run("show", "linear_scan", *SMALL, "--target", "cpu", "--stage", "asm")
    assert ".text" in result.stdout


@pytest.mark.parametrize("dtype", ["bf16", "fp64", "c128"])
def test_the_cauchy_product_takes_the_complex_dtype(dtype: str) -> None:
    result = run("show", "cauchy_mult", "--dtype", dtype, "--dim", "4", "--seqlen", "64", "--target", "cpu")
    assert result.exit_code == 0
    assert ("c64" if dtype == "bf16" else "c128") in result.stdout.splitlines()[0]


def test_sizes_that_an_op_does_not_take_are_mentioned() -> None:
    result = run("show", "cauchy_mult", "--d-state", "64", "--target", "cpu")
    assert result.exit_code == 0
    assert "--poles" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "selective_state_update", "--target", "cpu", "--backward"), "no kernel for the gradients"),
        (("show", "selectve_scan"), "Did you mean 'selective_scan'?"),
        (("show", "linear_scan", "--target", "cpv"), "Did you mean 'cpu'?"),
        (("show", "linear_scan", "--target", "reference"), "choose another with --target"),
        (("show", "linear_scan", "--target", "cpu", "--stage", "ptx"), "source"),
        (("show", "linear_scan", "--target", "cpu", "--dtype", "fp23"), "fp32"),
        (("show", "selective_scan", "--target", "cpu", "--dtype", "c64"), "takes the dtypes fp32"),
        (("show", "linear_scan", "--target", "cpu", "--option", "z"), "unknown option of linear_scan 'z'"),
        (("show", "linear_scan", "--target", "cpu", "--option", "layout=row"), "one of time, channel"),
        (("show", "linear_scan", "--target", "cpu", "--config", "channels("), "is not a config"),
        (("show", "linear_scan", "--target", "cpu", "--config", "none(a=1)"), "unknown variant 'none'"),
        (("show", "linear_scan", "--target", "cpu", "--config", "channels(lanes=5)"), "must"),
        (("tune", "linear_scam"), "Did you mean 'linear_scan'?"),
        (("tune", "linear_scan", "--target", "interpret"), "tune for cpu"),
        (("tune", "linear_scan", "--target", "sm_90", "--top-k", "3"), "only named"),
        (("tune", "linear_scan", "--target", "reference"), "nothing to tune"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    assert message in the_error(run(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("show", "linear_scan", "--batch", "-1"),
        ("show", "linear_scan", "--dim", "many"),
        ("tune", "--budget", "0"),
        ("tune", "--max-trials", "0"),
        ("tune", "--d-stat", "16"),
        ("tnue",),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_errors_are_json_where_json_was_asked_for() -> None:
    result = run("tune", "linear_scam", "--json")
    assert result.exit_code == 1
    assert "linear_scam" in json.loads(result.stdout)["error"]
    assert result.stderr == ""


def test_a_folder_that_cannot_be_written_is_found_before_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SSMGEN_CONFIG_DIR", str(tmp_path / "file" / "configs"))
    message = the_error(run("tune", "linear_scan", *SMALL, "--target", "cpu"))
    assert "set SSMGEN_CONFIG_DIR" in message


def test_a_corrupt_config_file_stops_tuning_and_is_left_alone() -> None:
    path = store.config_path(settings.user_config_dir(), targets.target("cpu").facts, "linear_scan")
    path.parent.mkdir(parents=True)
    path.write_text("{ half a")
    assert str(path) in the_error(run("tune", "linear_scan", *SMALL, "--target", "cpu"))
    result = run("show", "linear_scan", *SMALL, "--target", "cpu")
    assert result.exit_code == 0
    assert f"warning: {path}" in result.stderr
    assert run("list").exit_code == 0
    assert path.read_text() == "{ half a"


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CC", "/nonexistent")
    result = run("show", "linear_scan", *SMALL, "--target", "cpu", "--stage", "asm")
    assert "SSMGEN_CC" in the_error(result)
    assert run("show", "linear_scan", *SMALL, "--target", "cpu").exit_code == 0


def test_doctor_says_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = run("doctor", "--json")
    data = json.loads(healthy.stdout)
    assert healthy.exit_code == (0 if data["usable"] else 1)
    findings = {finding["name"]: finding for finding in data["findings"]}
    for name in ("python", "torch", "triton", "numpy", "optuna", "jinja2", "cpu", "kernel cache"):
        assert findings[name]["value"]
    for variable in settings.VARIABLES:
        assert variable.name in findings
    assert "Targets" in run("doctor").stdout


def test_doctor_fails_where_nothing_serves_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CC", "/nonexistent")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    targets.target.cache_clear()
    result = run("doctor")
    assert result.exit_code == 1
    assert "/nonexistent" in result.stdout


def test_doctor_names_an_unknown_default_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_TARGET", "tpu")
    assert "no such target" in run("doctor").stdout


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What makes the self-test one check with a given failure."""

    def install(failure: str) -> None:
        def run() -> Figures:
            if failure:
                raise SelfTestError(failure)
            return Figures(3e-7, 2e-6)

        case = Case("cpu", "results", make_problem("linear_scan"), None, run)
        monkeypatch.setattr("ssmgen.report.selftest.present_targets", lambda: (targets.target("cpu"),))
        monkeypatch.setattr("ssmgen.report.selftest.cases", lambda target: [case])

    return install


def test_the_self_test_shows_what_passed(one_check: Callable[[str], None]) -> None:
    one_check("")
    result = run("doctor", "--self-test")
    assert result.exit_code == 0
    assert "1 of 1 checks passed" in result.stdout
    assert "linear_scan forward, fp32" in result.stdout
    assert "3.0e-07   2e-06" in result.stdout
    assert "1 of 1 checks, the last on cpu" in result.stderr


def test_a_failed_self_test_is_an_error(one_check: Callable[[str], None]) -> None:
    one_check("out is off by 1.0e-02, more than 2e-06")
    result = run("doctor", "--self-test")
    assert result.exit_code == 1
    assert "off by 1.0e-02" in result.stdout
    assert "0 of 1 checks passed" in result.stdout
    result = run("doctor", "--self-test", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)["self_test"]
    assert not data["passed"]
    assert data["checks"][0]["failure"].startswith("out is off")
    assert result.stderr == ""


def test_list_shows_ops_and_their_kernels() -> None:
    data = json.loads(run("list", "--json").stdout)
    assert [op["op"] for op in data["ops"]] == list(INTERFACES)
    for op in data["ops"]:
        assert {kernel["language"] for kernel in op["kernels"]} == {"c", "triton"}
        for target in ("cpu", "sm_90"):
            assert sum(kernel["configs"].get(target, 0) for kernel in op["kernels"]) > 0
    assert data["tuned"] == []
    text = run("list").stdout
    assert "No tuned configs yet" in text
    assert DEFAULT in text


def test_a_warm_up_fills_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path))
    sizes = ("--dim", "3", "--seqlen", "40", "--dtype", "fp32", "--training")
    result = run("warmup", "linear_scan", *sizes)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.partition(")")[0] for line in sorted(lines)] == [
        "linear_scan (batch=1, dim=3, seqlen=40",
        "linear_scan backward (batch=1, dim=3, seqlen=40",
    ]
    assert all(", default; " in line for line in lines)
    assert "To tune it: ssmgen tune linear_scan --dim 3 --seqlen 40" in result.stderr
    libraries = sorted(tmp_path.rglob("*.so"))
    assert len(libraries) == 2
    (forward, backward) = json.loads(run("warmup", "linear_scan", *sizes, "--json").stdout)["prepared"]
    assert {forward["direction"], backward["direction"]} == {"forward", "backward"}
    assert forward["dims"] == {"batch": 1, "dim": 3, "seqlen": 40}
    assert sorted(tmp_path.rglob("*.so")) == libraries
