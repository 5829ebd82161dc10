"""Bad calls get one error that says what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ssmgen
from ssmgen.errors import InvalidInputError, TargetUnavailableError, UnknownNameError, UntunedWarning

U = torch.randn(2, 6, 5)
A = -torch.rand(6, 4)
ROWS = torch.randn(2, 4, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"u": U[0]}, "u must be"),
        ({"delta": U[:, :, :4]}, r"delta has shape \(2, 6, 4\).*seqlen=5"),
        ({"A": A[:5]}, "A has shape"),
        ({"A": A.to(torch.int32)}, "A is torch.int32"),
        ({"A": A + 0j, "D": torch.randn(6) + 0j}, "D is torch.complex64; it must be real"),
        ({"initial_state": torch.randn(1, 6, 4)}, r"initial_state has shape \(1, 6, 4\).*batch=2"),
        ({"initial_state": torch.randn(2, 6, 4) + 0j}, "initial_state is torch.complex64.*where A is real"),
        ({"cu_seqlens": torch.tensor([0, 5])}, "a batch of 1, but with cu_seqlens u has a batch of 2"),
        ({"cu_seqlens": torch.tensor([0.0, 5.0])}, "cu_seqlens must be"),
        ({"cu_seqlens": torch.tensor([0])}, "cu_seqlens must be.*at least one sequence"),
        ({"B": ROWS[:, :3]}, "B has shape.*d_state=4"),
        ({"C": torch.randn(2, 4, 4, 5)}, "the 4 groups.*divide dim=6"),
        ({"C": torch.randn(2, 1, 1, 4, 5)}, "C has shape.*must be"),
        ({"D": torch.randn(5)}, "D has shape"),
        ({"z": U[:1]}, "z has shape"),
        ({"u": U.to(torch.int32)}, "u is torch.int32"),
        ({"u": [1.0]}, "an input of selective_scan must be a torch.Tensor, not list"),
        ({"u": U[:, :, :0], "delta": U[:, :, :0], "B": ROWS[:, :, :0], "C": ROWS[:, :, :0]}, "at least 1"),
        ({"A": A.to("meta")}, "several devices"),
        ({"B": None}, "B must be a torch.Tensor, not NoneType"),
        ({"B": torch.randn(6, 4, dtype=torch.complex64)}, r"B is torch.complex64; it must be"),
        ({"C": torch.ones(6, 4, dtype=torch.int64)}, "C is torch.int64"),
        ({"target": 5}, "target must be the name of one"),
    ],
)
def test_selective_scan(change: dict[str, object], words: str) -> None:
    inputs: dict[str, object] = {"u": U, "delta": U, "A": A, "B": ROWS, "C": ROWS, **change}
    with pytest.raises(InvalidInputError, match=words):
        ssmgen.selective_scan(**inputs)  # type: ignore[call-overload]


def test_linear_scan() -> None:
    with pytest.raises(InvalidInputError, match="one shape"):
        ssmgen.linear_scan(U, U[:1])
    with pytest.raises(InvalidInputError, match="initial_state has shape"):
        ssmgen.linear_scan(U, U, initial_state=U)
    with pytest.raises(InvalidInputError, match=r"initial_state is torch\.complex64"):
        ssmgen.linear_scan(U, U, initial_state=torch.randn(2, 6, dtype=torch.complex64))
    with pytest.raises(InvalidInputError, match="at least 1"):
        ssmgen.linear_scan(U[:0], U[:0])
    with pytest.raises(InvalidInputError, match=r"a must be a torch\.Tensor, not NoneType"):
        ssmgen.linear_scan(None, U)  # type: ignore[arg-type]


def test_cauchy_mult() -> None:
    v, z = torch.randn(2, 3, dtype=torch.complex64), torch.randn(4, dtype=torch.complex64)
    with pytest.raises(InvalidInputError, match="as many poles"):
        ssmgen.cauchy_mult(v, z, v[:, :2])
    with pytest.raises(InvalidInputError, match="do not broadcast"):
        ssmgen.cauchy_mult(v, z.expand(3, 4), v)


def test_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    a = torch.rand(3)
    with pytest.raises(UnknownNameError, match=r"unknown target 'cqu'\. Did you mean 'cpu'"):
        ssmgen.linear_scan(a, a, target="cqu")
    with pytest.raises(TargetUnavailableError):
        ssmgen.linear_scan(a, a, target="sm_90")
    monkeypatch.setenv("SSMGEN_TARGET", "nowhere")
    with pytest.raises(UnknownNameError, match="nowhere"):
        ssmgen.linear_scan(a, a)


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSMGEN_CACHE_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(TargetUnavailableError, match="set SSMGEN_CACHE_DIR"),
        pytest.warns(UntunedWarning),
    ):
        ssmgen.linear_scan(U[0, 0], U[0, 0])
