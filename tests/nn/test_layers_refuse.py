"""What the layers refuse, and how they say so."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from ssmgen.errors import InvalidInputError, TargetUnavailableError, UnknownNameError
from ssmgen.nn import S4, S4D
from ssmgen.ops import fft_conv
from tests.nn.layers import Make, one_of_each


def test_what_does_not_fit_says_so() -> None:
    layer = S4D(4, 8)
    u = torch.randn(2, 10, 4)
    for wrong in (u[0], u[..., :3], u[:, :0]):
        with pytest.raises(InvalidInputError, match="d_model=4"):
            layer(wrong)
    for state in (layer.default_state(3), layer.default_state(2).real):
        with pytest.raises(InvalidInputError, match="default_state"):
            layer(u, state)
    with pytest.raises(InvalidInputError, match="even"):
        S4D(4, 7)
    with pytest.raises(InvalidInputError, match="real pole"):
        S4(4, 7)
    with pytest.raises(InvalidInputError, match="dt_min"):
        S4(4, dt_min=1.0)
    with pytest.raises(InvalidInputError, match="l_max"):
        S4(4, l_max=0)
    with pytest.raises(InvalidInputError, match="at least 1"):
        S4D(0)
    with pytest.raises(UnknownNameError, match="zoh"):
        S4D(4, discretisation="euler")
    with pytest.raises(UnknownNameError, match="legs"):
        S4D(4, init="hippo")
    with pytest.raises(UnknownNameError, match="legt"):
        S4(4, measure="lagt")


@one_of_each
@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.complex128], ids=str
)
def test_inputs_that_are_not_floating_point_are_refused(make: Make, dtype: torch.dtype) -> None:
    layer = make(4, 8)
    u = torch.ones(2, 10, 4).to(dtype)
    with pytest.raises(InvalidInputError, match=r"u is torch.*u\.to\(torch\.float32\)"):
        layer(u)
    with pytest.raises(InvalidInputError, match=r"u is torch.*u\.to\(torch\.float32\)"):
        layer.step(u[:, 0], layer.default_state(2))


@one_of_each
def test_what_is_no_tensor_is_refused(make: Make) -> None:
    layer = make(4, 8)
    with pytest.raises(InvalidInputError, match=r"u must be a torch\.Tensor, not ndarray"):
        layer(np.ones((2, 10, 4), np.float32))
    with pytest.raises(InvalidInputError, match=r"u must be a torch\.Tensor, not ndarray"):
        layer.step(np.ones((2, 4), np.float32), layer.default_state(2))
    with pytest.raises(InvalidInputError, match=r"state must be a torch\.Tensor, not ndarray"):
        layer(torch.ones(2, 10, 4), np.zeros((2, 4, 4), np.complex64))


@one_of_each
def test_a_state_of_another_dtype_or_device_is_refused(make: Make) -> None:
    layer = make(4, 8)
    before, u = layer.default_state(2), torch.ones(2, 10, 4)
    wide = copy.deepcopy(layer).double()
    for owner, state in ((wide, before), (layer, wide.default_state(2)), (layer, before.to("meta"))):
        with pytest.raises(InvalidInputError, match=r"make a new one with default_state\(2\)"):
            owner(u, state)
        with pytest.raises(InvalidInputError, match=r"make a new one with default_state\(2\)"):
            owner.step(u[:, 0], state)


@one_of_each
def test_a_device_without_autocast_and_kernels_says_so(make: Make) -> None:
    layer = make(4, 8, device="meta")
    u = torch.ones(2, 10, 4, device="meta")
    with pytest.raises(TargetUnavailableError, match="meta have no kernels"):
        layer(u)
    y, state = layer.step(u[:, 0], layer.default_state(2))
    assert (y.shape, state.shape) == ((2, 4), (2, 4, 4))
    assert fft_conv(u.mT, torch.ones(4, 10, device="meta")).shape == (2, 4, 10)


@one_of_each
@pytest.mark.parametrize("wrong", [0, -2, 2.5, 4.0, True, "4", None])
def test_sizes_are_integers_of_at_least_1(make: Make, wrong: object) -> None:
    said = "must be an integer of at least 1, not "
    for name, use in {
        "d_model": lambda: make(wrong, 8),
        "d_state": lambda: make(4, wrong),
        "channels": lambda: make(4, 8, channels=wrong),
        "l_max": lambda: S4(4, 8, l_max=wrong),
        "length": lambda: make(4, 8).kernel(wrong),
        "batch": lambda: make(4, 8).default_state(wrong),
    }.items():
        with pytest.raises(InvalidInputError, match=f"{name} {said}"):
            use()


@one_of_each
def test_step_sizes_are_finite_and_in_order(make: Make) -> None:
    inf, nan = float("inf"), float("nan")
    for dt_min, dt_max in (
        (0, 1),
        (-1, 1),
        (0.2, 0.1),
        (0.1, inf),
        (inf, inf),
        (nan, 1),
        (0.1, nan),
        ("a", 1),
    ):
        with pytest.raises(InvalidInputError, match="dt_min"):
            make(4, 8, dt_min=dt_min, dt_max=dt_max)


@one_of_each
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, "float32"], ids=str)
def test_parameters_are_of_a_real_floating_point_dtype(make: Make, dtype: object) -> None:
    with pytest.raises(InvalidInputError, match="dtype must be a real floating-point dtype"):
        make(4, 8, dtype=dtype)
