"""What constructors and functions of `ssmgen.nn` ask of numbers and dtypes."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch

from ssmgen.errors import InvalidInputError
from ssmgen.ops.op import require_tensor

__all__ = ["parameter_dtype", "require_count", "require_real_input", "require_steps", "require_window"]


def require_count(name: str, value: object) -> None:
    """Raise an `InvalidInputError` unless it is an integer of at least 1; a traced length is one too."""
    is_whole = isinstance(value, (Integral, torch.SymInt)) and not isinstance(value, bool)
    if not is_whole or value < 1:  # type: ignore[operator]
        raise InvalidInputError(f"{name} must be an integer of at least 1, not {value!r}.")


def require_steps(dt_min: object, dt_max: object) -> None:
    """Raise an `InvalidInputError` unless both are finite, and 0 < dt_min <= dt_max."""
    numbers = [float(x) for x in (dt_min, dt_max) if isinstance(x, Real)]
    if len(numbers) < 2 or not 0 < numbers[0] <= numbers[1] < math.inf:
        raise InvalidInputError(
            f"dt_min {dt_min!r} must be a positive number, and at most dt_max {dt_max!r}, which must be finite."
        )


def require_window(window: object) -> None:
    """Raise an `InvalidInputError` unless it is a finite number above 0."""
    if not isinstance(window, Real) or not 0 < float(window) < math.inf:
        raise InvalidInputError(
            f"window must be a positive, finite part of the signal's length, not {window!r}."
        )


def require_real_input(name: str, x: object) -> None:
    """Raise an `InvalidInputError` unless it is a real tensor."""
    if require_tensor(name, x).is_complex():
        raise InvalidInputError(f"{name} is complex, but must be real: take each part by itself.")


def parameter_dtype(dtype: object) -> torch.dtype:
    """That of the parameters of a layer that is asked for a dtype, or for None: at least float32.

    Raises:
        InvalidInputError: It is no floating-point dtype, or complex.
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidInputError(
            f"dtype must be a real floating-point dtype, as torch.float32, not {dtype!r}; complex parameters are kept "
            "as pairs of it."
        )
    return dtype if dtype.itemsize > 4 else torch.float32
