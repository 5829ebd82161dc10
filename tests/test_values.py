"""Problem and Config: their text forms, classes and distances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssmgen.config import Config
from ssmgen.errors import InvalidInputError
from ssmgen.problem import RUNTIME_DIMS, Problem
from tests.helpers import make_problem

_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_words = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_values = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), _words)
_configs = st.builds(Config.of, _names, st.dictionaries(_names, _values, max_size=5))


@given(_configs)
def test_a_config_is_its_text(config: Config) -> None:
    assert Config.parse(str(config)) == config
    assert [type(v) for _, v in Config.parse(str(config)).params] == [type(v) for _, v in config.params]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sequential()",
        "a(b)",
        "a(b=1",
        "a(b=1,b=2)",
        "a(b=__import__('os'))",
        "a(b=1)\nimport os",
        "a b()",
    ],
)
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="config"):
        Config.parse(text)


def test_a_config_written_by_hand() -> None:
    config = Config.parse(" sequential( unroll = 4, block_d=128 , fast=true, exp=poly )")
    assert str(config) == "sequential(block_d=128,exp=poly,fast=true,unroll=4)"
    assert config.integer("unroll") == 4
    assert config["fast"] is True
    with pytest.raises(KeyError):
        config["nothing"]


@st.composite
def _problems(draw: st.DrawFn) -> Problem:
    sizes = st.integers(1, 1 << 20)
    problem = make_problem("selective_scan", draw(st.sampled_from(["fp32", "bf16"])), z=draw(st.booleans()))
    return problem.with_dims(**{name: draw(sizes) for name in ("batch", "dim", "seqlen")})


@given(_problems(), _problems())
def test_distance_is_a_metric_on_what_may_differ(a: Problem, b: Problem) -> None:
    assert a.distance(a) == 0
    assert a.distance(b) == b.distance(a)
    comparable = a.dtype == b.dtype and a.options == b.options
    assert (a.distance(b) is not None) == comparable
    assert a.distance(a.with_dims(d_state=a["d_state"] + 1)) is None


@given(_problems())
def test_a_class_rounds_the_run_time_sizes_up(problem: Problem) -> None:
    bucketed = problem.problem_class()
    assert bucketed.problem_class() == bucketed
    for name, size in problem.dims:
        if name in RUNTIME_DIMS:
            assert size <= bucketed[name] < 2 * size
            assert bucketed[name] & (bucketed[name] - 1) == 0
        else:
            assert bucketed[name] == size


def test_names_that_do_not_exist() -> None:
    problem = make_problem("linear_scan")
    with pytest.raises(KeyError):
        problem["d_state"]
    with pytest.raises(KeyError):
        problem.option("z")
    with pytest.raises(KeyError):
        problem.with_dims(d_state=3)
